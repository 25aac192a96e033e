using System.Globalization;

namespace Hydragen.Text.Expressions;

/// <summary>Reads the regular expressions of tokenizer files, as far as their meaning is beyond doubt.</summary>
/// <remarks>
/// Supported are literals, <c>.</c>, classes with ranges, <c>\s \S \d \D \p{..} \P{..}</c> with general categories, the escapes
/// <c>\r \n \t \f \uXXXX</c> and of punctuation, groups, <c>(?i:..)</c> of ASCII letters, alternatives, greedy and lazy
/// quantifiers, and a look-ahead at one class. Everything else is refused: <c>\w</c>, anchors, look-behind, back-references,
/// set operations and possessive quantifiers differ between engines or cannot be matched in linear time.
/// </remarks>
internal sealed class ExpressionParser
{
    private const int MaximumLength = 4096;
    private const int MaximumDepth = 32;
    private const int MaximumCount = 1000;

    private readonly string _pattern;
    private int _position;
    private int _depth;
    private bool _ignoresCase;

    private ExpressionParser(string pattern) => _pattern = pattern;

    private bool IsAtEnd => _position == _pattern.Length;

    /// <exception cref="FormatException">The expression is not supported; the message says why.</exception>
    public static Node Parse(string pattern)
    {
        if (pattern.Length > MaximumLength)
            throw new FormatException($"it has {pattern.Length} characters, at most {MaximumLength} are supported");
        ExpressionParser parser = new(pattern);
        Node node = parser.Alternatives();
        if (!parser.IsAtEnd)
            throw parser.Refusal("an unmatched ')'");
        return node.IsNullable ? throw new FormatException("it matches the empty text") : node;
    }

    private Node Alternatives()
    {
        if (++_depth > MaximumDepth)
            throw Refusal("groups nested too deep");
        List<Node> choices = [];
        do
        {
            List<Node> parts = [];
            while (!IsAtEnd && _pattern[_position] is not ('|' or ')'))
                parts.Add(Quantified(Atom()));
            choices.Add(parts.Count == 1 ? parts[0] : new Node.Sequence(parts));
        }
        while (Take("|"));
        _depth--;
        return choices.Count == 1 ? choices[0] : new Node.Choice(choices);
    }

    private Node Atom()
    {
        char c = _pattern[_position++];
        switch (c)
        {
            case '(':
                return Group();
            case '[':
                return new Node.One(Class());
            case '\\':
                CharacterClass escaped = new();
                if (Escape(escaped, out char character))
                    AddCharacter(escaped, character);
                return new Node.One(escaped.Complete());
            case '.':
                CharacterClass any = new();
                any.AddRange('\n', '\n');
                any.Negate();
                return new Node.One(any.Complete());
            case '^' or '$' or '*' or '+' or '?' or '{' or '}' or ']':
                throw Refusal($"'{c}' in this place");
            default:
                if (_ignoresCase && _position > 1 && FoldsTogether(_pattern[_position - 2], c))
                    throw Refusal("letters that one character stands for when case is ignored");
                CharacterClass literal = new();
                AddCharacter(literal, c);
                return new Node.One(literal.Complete());
        }
    }

    private Node Group()
    {
        bool outerIgnoresCase = _ignoresCase;
        bool isNegated = Take("?!");
        bool isLookAhead = isNegated || Take("?=");
        if (Take("?i:"))
            _ignoresCase = true;
        else if (!isLookAhead && !Take("?:") && Peek('?'))
            throw Refusal("a group that is none of (, (?:, (?i:, (?= and (?!");
        Node node = Alternatives();
        if (!Take(")"))
            throw Refusal("a group without end");
        _ignoresCase = outerIgnoresCase;
        if (!isLookAhead)
            return node;
        return node is Node.One one ? new Node.LookAhead(one.Class, isNegated) : throw Refusal("a look-ahead at more than one character");
    }

    private Node Quantified(Node node)
    {
        (int minimum, int maximum) = (0, int.MaxValue);
        bool isExact = false;
        if (Take("?"))
            maximum = 1;
        else if (Take("+"))
            minimum = 1;
        else if (Take("{"))
            (minimum, maximum, isExact) = Counts();
        else if (!Take("*"))
            return node;

        if (node.IsNullable)
            throw Refusal("a quantifier of something that matches the empty text");
        bool isLazy = !isExact && Take("?");
        if (!IsAtEnd && _pattern[_position] is '?' or '*' or '+' or '{')
            throw Refusal("a possessive or repeated quantifier");
        return new Node.Repeat(node, minimum, maximum, isLazy);
    }

    private (int Minimum, int Maximum, bool IsExact) Counts()
    {
        int minimum = Number();
        int maximum = minimum;
        bool isExact = !Take(",");
        if (!isExact)
            maximum = Peek('}') ? int.MaxValue : Number();
        if (!Take("}") || minimum > maximum || minimum > MaximumCount || maximum is > MaximumCount and < int.MaxValue || maximum == 0)
            throw Refusal($"a repetition that is not {{n}}, {{n,}} or {{n,m}} up to {MaximumCount}");
        return (minimum, maximum, isExact);
    }

    private CharacterClass Class()
    {
        CharacterClass output = new();
        if (Take("^"))
            output.Negate();
        bool isFirst = true;
        while (!Take("]"))
        {
            bool isCharacter = ClassItem(output, isFirst, out char first);
            isFirst = false;
            if (Peek('-') && !(_position + 1 < _pattern.Length && _pattern[_position + 1] == ']'))
            {
                _position++;
                if (!isCharacter || _ignoresCase || !ClassItem(output, isFirst: false, out char last) || last < first)
                    throw Refusal("a range that is not from a character to a later one");
                output.AddRange(first, last);
            }
            else if (isCharacter)
            {
                AddCharacter(output, first);
            }
        }

        return isFirst ? throw Refusal("an empty class") : output.Complete();
    }

    /// <summary>One character, or one escape for several characters; says whether it is a character.</summary>
    private bool ClassItem(CharacterClass output, bool isFirst, out char character)
    {
        if (IsAtEnd)
            throw Refusal("a class without end");
        character = _pattern[_position++];
        return character switch
        {
            '\\' => Escape(output, out character),
            '[' => throw Refusal("an unescaped '[' in a class"),
            '&' when Peek('&') => throw Refusal("'&&' in a class"),
            '-' when !isFirst && !Peek(']') => throw Refusal("an unescaped '-' in the middle of a class"),
            _ => true,
        };
    }

    /// <summary>What follows a backslash: one character, which is returned, or several, which are added.</summary>
    private bool Escape(CharacterClass output, out char character)
    {
        character = '\0';
        if (IsAtEnd)
            throw Refusal("a backslash at the end");
        char c = _pattern[_position++];
        switch (c)
        {
            case 's' or 'S':
                output.AddWhiteSpace(isNegated: c == 'S');
                return false;
            case 'd' or 'D':
                output.AddCategories(c == 'd' ? GeneralCategories.DecimalDigit : GeneralCategories.All & ~GeneralCategories.DecimalDigit);
                return false;
            case 'p' or 'P':
                uint mask = Category();
                output.AddCategories(c == 'p' ? mask : GeneralCategories.All & ~mask);
                return false;
            case 'r' or 'n' or 't' or 'f':
                character = c switch { 'r' => '\r', 'n' => '\n', 't' => '\t', _ => '\f' };
                return true;
            case 'u':
                character = CodeUnit();
                return true;
            default:
                if (!char.IsAscii(c) || char.IsAsciiLetterOrDigit(c) || c is '_' or <= ' ')
                    throw Refusal($"the escape '\\{c}'");
                character = c;
                return true;
        }
    }

    private uint Category()
    {
        int end = _pattern.IndexOf('}', _position);
        uint mask = Take("{") && end > 0 ? GeneralCategories.GetMask(_pattern[_position..end]) : 0;
        if (mask == 0 || _ignoresCase)
            throw Refusal("a property that is not a general category, or ignores case");
        _position = end + 1;
        return mask;
    }

    private char CodeUnit()
    {
        if (_position + 4 > _pattern.Length || !ushort.TryParse(
            _pattern.AsSpan(_position, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ushort value))
        {
            throw Refusal("an escape '\\u' without four hexadecimal digits");
        }

        _position += 4;
        return (char)value;
    }

    private void AddCharacter(CharacterClass output, char c)
    {
        if (char.IsSurrogate(c))
            throw Refusal("a character above U+FFFF");
        output.AddRange(c, c);
        if (!_ignoresCase)
            return;
        if (c >= 0x80)
            throw Refusal("a character outside ASCII where case is ignored");
        if (char.IsAsciiLetter(c))
            output.AddRange(c ^ 0x20, c ^ 0x20);

        // The long s and the Kelvin sign are the only other characters that fold to ASCII letters.
        if (c is 's' or 'S')
            output.AddRange(0x17F, 0x17F);
        if (c is 'k' or 'K')
            output.AddRange(0x212A, 0x212A);
    }

    /// <summary>Whether a single character (ß and the ligatures) equals the two letters when case is ignored.</summary>
    private static bool FoldsTogether(char first, char second) =>
        (char.ToLowerInvariant(first), char.ToLowerInvariant(second)) is ('s', 's' or 't') or ('f', 'f' or 'i' or 'l');

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

    private bool Take(string text)
    {
        bool isNext = string.CompareOrdinal(_pattern, _position, text, 0, text.Length) == 0;
        if (isNext)
            _position += text.Length;
        return isNext;
    }

    private FormatException Refusal(string what) => new($"it has {what} at character {_position}");
}
