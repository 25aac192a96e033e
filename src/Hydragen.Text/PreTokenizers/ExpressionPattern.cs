using System.Globalization;
using System.Text.RegularExpressions;

namespace Hydragen.Text.PreTokenizers;

/// <summary>Finds the matches of a regular expression that has no scanner, without backtracking.</summary>
/// <remarks>
/// The runtime's engine sees UTF-16 units, tokenizer files mean code points. An admitted expression tells code points above
/// U+FFFF apart by general category only, so each is replaced by a character below of the same category that the expression
/// does not name, and the result is exact.
/// </remarks>
internal sealed class ExpressionPattern : SplitPattern
{
    private const int NumCategories = 30;

    // A backstop: an admitted expression is matched in one pass, so no real text comes near.
    private static readonly TimeSpan MatchTimeout = TimeSpan.FromSeconds(10);

    private readonly Regex _regex;
    private readonly char[] _standIns;

    /// <exception cref="FormatException">The expression is not supported; the message says why.</exception>
    public ExpressionPattern(string pattern)
    {
        IReadOnlyList<(char First, char Last)> named = ExpressionChecker.Check(pattern);
        try
        {
            _regex = new Regex(
                pattern, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, MatchTimeout);
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            throw new FormatException("it is not a valid regular expression", e);
        }

        if (_regex.IsMatch(""))
            throw new FormatException("it matches the empty text");
        _standIns = ChooseStandIns(named);
    }

    public override SplitPattern PrepareFor(ReadOnlySpan<char> text) =>
        text.IndexOfAnyInRange('\uD800', '\uDFFF') < 0 ? this : new Prepared(this, text);

    public override bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int length)
    {
        foreach (ValueMatch match in _regex.EnumerateMatches(text, from))
        {
            (start, length) = (match.Index, match.Length);
            return true;
        }

        (start, length) = (0, 0);
        return false;
    }

    private static char[] ChooseStandIns(IReadOnlyList<(char First, char Last)> named)
    {
        bool[] isNamed = new bool[0x10000];
        foreach ((char first, char last) in named)
            isNamed.AsSpan(first, last - first + 1).Fill(true);
        char[] standIns = new char[NumCategories];
        for (char c = '\u0100'; c < '\uFFFF'; c++)
        {
            int category = (int)CharUnicodeInfo.GetUnicodeCategory(c);
            if (standIns[category] == '\0' && !isNamed[c] && !char.IsWhiteSpace(c))
                standIns[category] = c;
        }

        // Categories without members above U+FFFF need no stand-in.
        for (int category = 0; category < NumCategories; category++)
        {
            bool isNeeded = (UnicodeCategory)category is not (UnicodeCategory.SpaceSeparator or UnicodeCategory.LineSeparator
                or UnicodeCategory.ParagraphSeparator or UnicodeCategory.Control or UnicodeCategory.Surrogate);
            if (isNeeded && standIns[category] == '\0')
                throw new FormatException($"it names every character of the category {(UnicodeCategory)category}");
        }

        return standIns;
    }

    /// <summary>The search in one text, with stand-ins in place of surrogate pairs. Matches must be asked for in order.</summary>
    private sealed class Prepared : SplitPattern
    {
        private readonly ExpressionPattern _pattern;
        private readonly char[] _characters;

        // Where each character of the replaced text starts in the original one.
        private readonly int[] _origins;
        private readonly int _length;
        private int _position;

        public Prepared(ExpressionPattern pattern, ReadOnlySpan<char> text)
        {
            _pattern = pattern;
            _characters = new char[text.Length];
            _origins = new int[text.Length + 1];
            for (int i = 0, length; i < text.Length; i += length)
            {
                UnicodeCategory category = UnicodeClasses.CategoryAt(text, i, out length);
                _characters[_length] = length == 2 ? pattern._standIns[(int)category] : text[i];
                _origins[_length++] = i;
            }

            _origins[_length] = text.Length;
        }

        public override bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int length)
        {
            if (!_pattern.TryFind(_characters.AsSpan(0, _length), _position, out int first, out int count))
            {
                (start, length) = (0, 0);
                return false;
            }

            _position = first + count;
            start = _origins[first];
            length = _origins[_position] - start;
            return true;
        }
    }
}
