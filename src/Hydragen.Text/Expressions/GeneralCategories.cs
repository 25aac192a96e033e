using System.Globalization;

namespace Hydragen.Text.Expressions;

/// <summary>The names of general categories in expressions, such as <c>Lu</c> and <c>L</c>.</summary>
internal static class GeneralCategories
{
    private static readonly Dictionary<string, UnicodeCategory> Names = new()
    {
        ["Lu"] = UnicodeCategory.UppercaseLetter,
        ["Ll"] = UnicodeCategory.LowercaseLetter,
        ["Lt"] = UnicodeCategory.TitlecaseLetter,
        ["Lm"] = UnicodeCategory.ModifierLetter,
        ["Lo"] = UnicodeCategory.OtherLetter,
        ["Mn"] = UnicodeCategory.NonSpacingMark,
        ["Mc"] = UnicodeCategory.SpacingCombiningMark,
        ["Me"] = UnicodeCategory.EnclosingMark,
        ["Nd"] = UnicodeCategory.DecimalDigitNumber,
        ["Nl"] = UnicodeCategory.LetterNumber,
        ["No"] = UnicodeCategory.OtherNumber,
        ["Zs"] = UnicodeCategory.SpaceSeparator,
        ["Zl"] = UnicodeCategory.LineSeparator,
        ["Zp"] = UnicodeCategory.ParagraphSeparator,
        ["Pc"] = UnicodeCategory.ConnectorPunctuation,
        ["Pd"] = UnicodeCategory.DashPunctuation,
        ["Ps"] = UnicodeCategory.OpenPunctuation,
        ["Pe"] = UnicodeCategory.ClosePunctuation,
        ["Pi"] = UnicodeCategory.InitialQuotePunctuation,
        ["Pf"] = UnicodeCategory.FinalQuotePunctuation,
        ["Po"] = UnicodeCategory.OtherPunctuation,
        ["Sm"] = UnicodeCategory.MathSymbol,
        ["Sc"] = UnicodeCategory.CurrencySymbol,
        ["Sk"] = UnicodeCategory.ModifierSymbol,
        ["So"] = UnicodeCategory.OtherSymbol,
    };

    public const uint All = (1u << 30) - 1;

    public static uint DecimalDigit => 1u << (int)UnicodeCategory.DecimalDigitNumber;

    /// <summary>The mask of a category or, for one letter, of all categories that begin with it; 0 for an unknown name.</summary>
    public static uint GetMask(string name)
    {
        uint mask = 0;
        foreach ((string category, UnicodeCategory value) in Names)
        {
            if (category == name || name.Length == 1 && category[0] == name[0])
                mask |= 1u << (int)value;
        }

        return mask;
    }
}
