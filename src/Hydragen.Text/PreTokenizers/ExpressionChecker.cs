using System.Globalization;

namespace Hydragen.Text.PreTokenizers;

/// <summary>
/// Admits the regular expressions that mean the same here and in the engine that tokenizer files are written for.
/// </summary>
/// <remarks>
/// Admitted are literals, classes of characters, ranges, <c>\s \S \d \D \p{..} \P{..}</c> with general categories, the
/// escapes <c>\r \n \t \f \uXXXX</c> and of punctuation, groups, alternatives and greedy or lazy quantifiers. Everything whose
/// meaning differs between engines (<c>\w</c>, anchors, flags, look-around, set operations, possessive quantifiers) is not.
/// </remarks>
internal sealed class ExpressionChecker
{
    private const int MaximumLength = 4096;
    private const int MaximumDepth = 32;
    private const int MaximumCount = 1000;

    private static readonly HashSet<string> Categories =
    [
        "L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf",
        "Po", "S", "Sm", "Sc", "Sk", "So", "Z", "Zs", "Zl", "Zp",
    ];

    private readonly string _pattern;
    private readonly List<(char First, char Last)> _named = [];
    private int _position;

    private ExpressionChecker(string pattern) => _pattern = pattern;

    private bool IsAtEnd => _position == _pattern.Length;

    /// <summary>The characters that the expression names one by one or in ranges.</summary>
    /// <exception cref="FormatException">The expression is not admitted; the message says why.</exception>
    public static IReadOnlyList<(char First, char Last)> Check(string pattern)
    {
        if (pattern.Length > MaximumLength)
            throw new FormatException($"it has {pattern.Length} characters, at most {MaximumLength} are supported");
        ExpressionChecker checker = new(pattern);
        checker.Alternatives(depth: 0);
        return checker.IsAtEnd ? checker._named : throw checker.Refusal("an unmatched ')'");
    }

    private void Alternatives(int depth)
    {
        if (depth > MaximumDepth)
            throw Refusal("groups nested too deep");
        while (!IsAtEnd && _pattern[_position] != ')')
        {
            if (_pattern[_position] == '|')
            {
                _position++;
                continue;
            }

            Atom(depth);
            Quantifier();
        }
    }

    private void Atom(int depth)
    {
        char c = _pattern[_position++];
        switch (c)
        {
            case '(':
                if (Peek('?') && !Take("?:"))
                    throw Refusal("a group that starts with '(?' and is not '(?:'");
                Alternatives(depth + 1);
                if (!Take(")"))
                    throw Refusal("a group without end");
                break;
            case '[':
                Class();
                break;
            case '\\':
                Escape(out _);
                break;
            case '.':
                break;
            case '^' or '$' or '*' or '+' or '?' or '{' or '}' or ']':
                throw Refusal($"'{c}' in this place");
            default:
                Literal(c);
                break;
        }
    }

    private void Quantifier()
    {
        if (IsAtEnd)
            return;
        bool mayBeLazy = true;
        if (Take("{"))
        {
            int minimum = Number();
            int maximum = minimum;
            mayBeLazy = Take(",");
            if (mayBeLazy)
                maximum = Peek('}') ? MaximumCount : Number();
            if (!Take("}") || minimum > maximum || maximum > MaximumCount)
                throw Refusal("a repetition that is not {n}, {n,} or {n,m}");
        }
        else if (!Take("?") && !Take("*") && !Take("+"))
        {
            return;
        }

        if (mayBeLazy)
            Take("?");
        if (!IsAtEnd && _pattern[_position] is '?' or '*' or '+' or '{')
            throw Refusal("a possessive or repeated quantifier");
    }

    private void Class()
    {
        Take("^");
        bool isFirst = true;
        while (!Take("]"))
        {
            char first = '\0';
            bool isCharacter = ClassItem(isFirst, ref first);
            isFirst = false;
            if (Peek('-') && !PeekClassEnd())
            {
                _position++;
                char last = '\0';
                if (!isCharacter || !ClassItem(isFirst: false, ref last) || last < first)
                    throw Refusal("a range that is not from a character to a later one");
                _named.Add((first, last));
            }
        }

        if (isFirst)
            throw Refusal("an empty class");
    }

    /// <summary>One character or one escaped class; says whether it is a character.</summary>
    private bool ClassItem(bool isFirst, ref char character)
    {
        if (IsAtEnd)
            throw Refusal("a class without end");
        char c = _pattern[_position++];
        switch (c)
        {
            case '\\':
                return Escape(out character);
            case '[':
                throw Refusal("an unescaped '[' in a class");
            case '&' when Peek('&'):
                throw Refusal("'&&' in a class");
            case '-' when !isFirst && !Peek(']'):
                throw Refusal("an unescaped '-' in the middle of a class");
            default:
                Literal(c);
                character = c;
                return true;
        }
    }

    /// <summary>What follows a backslash; says whether it is a single character.</summary>
    private bool Escape(out char character)
    {
        character = '\0';
        if (IsAtEnd)
            throw Refusal("a backslash at the end");
        char c = _pattern[_position++];
        switch (c)
        {
            case 's' or 'S' or 'd' or 'D':
                return false;
            case 'p' or 'P':
                int end = _pattern.IndexOf('}', _position);
                if (!Take("{") || end < 0 || !Categories.Contains(_pattern[_position..end]))
                    throw Refusal("a property that is not a general category");
                _position = end + 1;
                return false;
            case 'r' or 'n' or 't' or 'f':
                character = c switch { 'r' => '\r', 'n' => '\n', 't' => '\t', _ => '\f' };
                break;
            case 'u':
                if (_position + 4 > _pattern.Length || !ushort.TryParse(
                    _pattern.AsSpan(_position, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ushort value)
                    || char.IsSurrogate((char)value))
                {
                    throw Refusal("an escape '\\u' without a character");
                }

                _position += 4;
                character = (char)value;
                break;
            default:
                if (!char.IsAscii(c) || char.IsAsciiLetterOrDigit(c) || c is '_' or <= ' ')
                    throw Refusal($"the escape '\\{c}'");
                character = c;
                break;
        }

        _named.Add((character, character));
        return true;
    }

    private void Literal(char c)
    {
        if (char.IsSurrogate(c))
            throw Refusal("a character above U+FFFF");
        _named.Add((c, c));
    }

    private int Number()
    {
        int start = _position;
        while (!IsAtEnd && char.IsAsciiDigit(_pattern[_position]))
            _position++;
        return int.TryParse(_pattern.AsSpan(start, _position - start), NumberStyles.None, CultureInfo.InvariantCulture, out int value)
            ? value
            : throw Refusal("a repetition without a number");
    }

    private bool Peek(char c) => !IsAtEnd && _pattern[_position] == c;

    private bool PeekClassEnd() => _position + 1 < _pattern.Length && _pattern[_position + 1] == ']';

    private bool Take(string text)
    {
        bool isNext = string.CompareOrdinal(_pattern, _position, text, 0, text.Length) == 0;
        if (isNext)
            _position += text.Length;
        return isNext;
    }

    private FormatException Refusal(string what) => new($"it has {what} at character {_position}");
}
