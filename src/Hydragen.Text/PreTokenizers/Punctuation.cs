using System.Text;

namespace Hydragen.Text.PreTokenizers;

/// <summary>What the pre-tokenizer Punctuation cuts at: ASCII punctuation and symbols, and the punctuation of Unicode 9.</summary>
/// <remarks>The implementation that tokenizer files are written for stayed with that version, and ids must not differ.</remarks>
internal static class Punctuation
{
    // Unassigned in Unicode 9, or not punctuation then.
    private static readonly (int First, int Last)[] Later =
    [
        (0x61D, 0x61D), (0x9FD, 0x9FD), (0xA76, 0xA76), (0xC77, 0xC77), (0xC84, 0xC84), (0x1B4E, 0x1B4F), (0x1B7D, 0x1B7F),
        (0x2E43, 0x2E5D), (0x10D6E, 0x10D6E), (0x10EAD, 0x10EAD), (0x10F55, 0x10F59), (0x10F86, 0x10F89), (0x113D4, 0x113D8),
        (0x1144B, 0x1144F), (0x1145A, 0x1145D), (0x11660, 0x1166C), (0x116B9, 0x116B9), (0x1183B, 0x1183B),
        (0x11944, 0x11946), (0x119E2, 0x119E2), (0x11A3F, 0x11A46), (0x11A9A, 0x11AA2), (0x11B00, 0x11B09),
        (0x11BE1, 0x11BE1), (0x11C41, 0x11C45), (0x11C70, 0x11C71), (0x11EF7, 0x11EF8), (0x11F43, 0x11F4F),
        (0x11FFF, 0x11FFF), (0x12FF1, 0x12FF2), (0x16D6D, 0x16D6F), (0x16E97, 0x16E9A), (0x16FE2, 0x16FE2),
        (0x1E5FF, 0x1E5FF), (0x1E95E, 0x1E95F),
    ];

    public static bool Contains(Rune rune)
    {
        if (rune.IsAscii)
            return rune.Value is > ' ' and < 0x7F && !Rune.IsLetterOrDigit(rune);
        // Two characters that have become something else since.
        if (rune.Value is 0x166D or 0x111C9)
            return true;
        return UnicodeClasses.IsPunctuation(Rune.GetUnicodeCategory(rune)) && !IsLater(rune.Value);
    }

    private static bool IsLater(int value)
    {
        foreach ((int first, int last) in Later)
        {
            if (value >= first && value <= last)
                return true;
        }

        return false;
    }
}
