using System.Globalization;
using System.Text;

namespace Hydragen.Text;

/// <summary>Character classes by code point, as the regular expressions of tokenizer files mean them.</summary>
/// <remarks>White space needs no helper: <see cref="char.IsWhiteSpace(char)"/> is the Unicode property White_Space.</remarks>
internal static class UnicodeClasses
{
    private const uint LetterMask =
        1u << (int)UnicodeCategory.UppercaseLetter | 1u << (int)UnicodeCategory.LowercaseLetter |
        1u << (int)UnicodeCategory.TitlecaseLetter | 1u << (int)UnicodeCategory.ModifierLetter |
        1u << (int)UnicodeCategory.OtherLetter;

    private const uint NumberMask =
        1u << (int)UnicodeCategory.DecimalDigitNumber | 1u << (int)UnicodeCategory.LetterNumber |
        1u << (int)UnicodeCategory.OtherNumber;

    private const uint MarkMask =
        1u << (int)UnicodeCategory.NonSpacingMark | 1u << (int)UnicodeCategory.SpacingCombiningMark |
        1u << (int)UnicodeCategory.EnclosingMark;

    private const uint PunctuationMask =
        1u << (int)UnicodeCategory.ConnectorPunctuation | 1u << (int)UnicodeCategory.DashPunctuation |
        1u << (int)UnicodeCategory.OpenPunctuation | 1u << (int)UnicodeCategory.ClosePunctuation |
        1u << (int)UnicodeCategory.InitialQuotePunctuation | 1u << (int)UnicodeCategory.FinalQuotePunctuation |
        1u << (int)UnicodeCategory.OtherPunctuation;

    private const uint WordMask = LetterMask | MarkMask |
        1u << (int)UnicodeCategory.DecimalDigitNumber | 1u << (int)UnicodeCategory.LetterNumber |
        1u << (int)UnicodeCategory.ConnectorPunctuation;

    /// <summary>The category of the code point at <paramref name="index"/> and its length in UTF-16 units.</summary>
    public static UnicodeCategory CategoryAt(ReadOnlySpan<char> text, int index, out int length)
    {
        char c = text[index];
        if (char.IsHighSurrogate(c) && index + 1 < text.Length && char.IsLowSurrogate(text[index + 1]))
        {
            length = 2;
            return CharUnicodeInfo.GetUnicodeCategory(char.ConvertToUtf32(c, text[index + 1]));
        }

        length = 1;
        return CharUnicodeInfo.GetUnicodeCategory(c);
    }

    /// <summary><c>\p{L}</c>.</summary>
    public static bool IsLetter(UnicodeCategory category) => (LetterMask >> (int)category & 1) != 0;

    /// <summary><c>\p{N}</c>.</summary>
    public static bool IsNumber(UnicodeCategory category) => (NumberMask >> (int)category & 1) != 0;

    /// <summary><c>\p{M}</c>.</summary>
    public static bool IsMark(UnicodeCategory category) => (MarkMask >> (int)category & 1) != 0;

    /// <summary><c>\p{P}</c>.</summary>
    public static bool IsPunctuation(UnicodeCategory category) => (PunctuationMask >> (int)category & 1) != 0;

    /// <summary><c>\w</c> of Unicode Technical Standard 18: Alphabetic, marks, decimal digits, connectors, join controls.</summary>
    public static bool IsWord(Rune rune)
    {
        // Alphabetic beyond letters, letter numbers and marks: the circled and squared Latin letters, which are symbols.
        return (WordMask >> (int)Rune.GetUnicodeCategory(rune) & 1) != 0 || rune.Value is
            0x200C or 0x200D or >= 0x24B6 and <= 0x24E9 or >= 0x1F130 and <= 0x1F149 or
            >= 0x1F150 and <= 0x1F169 or >= 0x1F170 and <= 0x1F189;
    }
}
