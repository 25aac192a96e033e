using System.Globalization;

namespace Hydragen.Text.PreTokenizers;

/// <summary>Base of the hand-written scanners: regular expressions whose matches follow one another without gaps.</summary>
/// <remarks>
/// Every character belongs to some alternative of these expressions, so a match starts wherever the one before it ended.
/// Each scanner's time is linear in the text: what a look-ahead reads is a part of the same match or of the next.
/// </remarks>
internal abstract class ScannerPattern : SplitPattern
{
    public sealed override bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int length)
    {
        start = from;
        length = MatchEnd(text, from) - from;
        return true;
    }

    /// <summary>The end of the match that starts at <paramref name="start"/>, which is inside the text.</summary>
    protected abstract int MatchEnd(ReadOnlySpan<char> text, int start);

    /// <summary>The end of the longest run of letters from <paramref name="start"/>.</summary>
    protected static int SkipLetters(ReadOnlySpan<char> text, int start)
    {
        int end = start;
        while (end < text.Length)
        {
            char c = text[end];
            if (char.IsAsciiLetter(c))
                end++;
            else if (c >= 0x80 && UnicodeClasses.IsLetter(UnicodeClasses.CategoryAt(text, end, out int length)))
                end += length;
            else
                break;
        }

        return end;
    }

    /// <summary>The end of the run of at most <paramref name="maximum"/> numbers from <paramref name="start"/>.</summary>
    protected static int SkipNumbers(ReadOnlySpan<char> text, int start, int maximum)
    {
        int end = start;
        for (; maximum > 0 && end < text.Length; maximum--)
        {
            if (!UnicodeClasses.IsNumber(UnicodeClasses.CategoryAt(text, end, out int length)))
                break;
            end += length;
        }

        return end;
    }

    /// <summary>The end of the longest run of what is neither white space nor letter nor number.</summary>
    protected static int SkipSymbols(ReadOnlySpan<char> text, int start)
    {
        int end = start;
        while (end < text.Length && !char.IsWhiteSpace(text[end]))
        {
            UnicodeCategory category = UnicodeClasses.CategoryAt(text, end, out int length);
            if (UnicodeClasses.IsLetter(category) || UnicodeClasses.IsNumber(category))
                break;
            end += length;
        }

        return end;
    }

    protected static int SkipWhiteSpace(ReadOnlySpan<char> text, int start)
    {
        int end = start;
        while (end < text.Length && char.IsWhiteSpace(text[end]))
            end++;
        return end;
    }

    /// <summary>The end of <c>\s+(?!\S)|\s+</c> for a run of white space from <paramref name="start"/> to <paramref name="runEnd"/>.</summary>
    /// <remarks>The last character of the run is left to what follows it, unless it is all there is or nothing follows.</remarks>
    protected static int WhiteSpaceEnd(ReadOnlySpan<char> text, int start, int runEnd) =>
        runEnd < text.Length && runEnd - start > 1 ? runEnd - 1 : runEnd;

    /// <summary>The end of <c>[^\r\n\p{L}\p{N}]?</c>.</summary>
    protected static int PrefixEnd(ReadOnlySpan<char> text, int start)
    {
        UnicodeCategory category = UnicodeClasses.CategoryAt(text, start, out int length);
        bool isPrefix = text[start] is not ('\r' or '\n') && !UnicodeClasses.IsLetter(category) && !UnicodeClasses.IsNumber(category);
        return isPrefix ? start + length : start;
    }

    /// <summary>The end of <c> ?[^\s\p{L}\p{N}]+[\r\n]*</c> (or <c>[\r\n/]*</c>), or <paramref name="start"/>.</summary>
    protected static int SymbolsEnd(ReadOnlySpan<char> text, int start, bool includesSlash)
    {
        int body = text[start] == ' ' ? start + 1 : start;
        int end = SkipSymbols(text, body);
        if (end == body)
            return start;
        while (end < text.Length && (text[end] is '\r' or '\n' || includesSlash && text[end] == '/'))
            end++;
        return end;
    }

    /// <summary>The end of <c>\s*[\r\n]+|\s+(?!\S)|\s+</c>: white space up to the run's last line break, if it has one.</summary>
    protected static int LinesOrWhiteSpaceEnd(ReadOnlySpan<char> text, int start)
    {
        int runEnd = SkipWhiteSpace(text, start);
        int lastBreak = text[start..runEnd].LastIndexOfAny('\r', '\n');
        return lastBreak >= 0 ? start + lastBreak + 1 : WhiteSpaceEnd(text, start, runEnd);
    }

    /// <summary>The length of <c>'s|'t|'re|'ve|'m|'ll|'d</c> at <paramref name="start"/>, or 0.</summary>
    protected static int ContractionLength(ReadOnlySpan<char> text, int start, bool ignoresCase)
    {
        if (start + 1 >= text.Length || text[start] != '\'')
            return 0;
        char first = Fold(text[start + 1], ignoresCase);
        if (first is 's' or 't' or 'm' or 'd')
            return 2;
        if (start + 2 >= text.Length)
            return 0;
        char second = Fold(text[start + 2], ignoresCase);
        return (first, second) is ('r', 'e') or ('v', 'e') or ('l', 'l') ? 3 : 0;
    }

    // Without regard to case, U+017F (long s) equals s; no other character outside ASCII folds to one of these letters.
    private static char Fold(char c, bool ignoresCase) =>
        !ignoresCase ? c : c == '\u017F' ? 's' : char.IsAsciiLetterUpper(c) ? (char)(c | 0x20) : c;
}
