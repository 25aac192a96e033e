using System.Globalization;

namespace Hydragen.Text.PreTokenizers;

/// <summary>The split patterns of the o200k family: words split where lower case turns to upper case.</summary>
/// <param name="maximumNumberLength">Most number characters in a piece.</param>
/// <param name="hasContractions">Whether a word takes a following contraction such as <c>'ll</c> with it.</param>
internal sealed class O200kScanner(int maximumNumberLength, bool hasContractions) : ScannerPattern
{
    public const string O200kPattern =
        @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" +
        @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" +
        @"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    public const string TekkenPattern =
        @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|" +
        @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|" +
        @"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    protected override int MatchEnd(ReadOnlySpan<char> text, int start)
    {
        int body = PrefixEnd(text, start);
        int end = LowerEndingWordEnd(text, body);
        if (end == body && body > start)
        {
            // A mark may be the prefix and may be the word itself; as a prefix it is tried first.
            body = start;
            end = LowerEndingWordEnd(text, body);
        }

        if (end == body)
        {
            body = PrefixEnd(text, start);
            end = SkipUpper(text, body);
            if (end == body)
            {
                body = start;
                end = SkipUpper(text, body);
            }
        }

        if (end > body)
            return hasContractions ? end + ContractionLength(text, end, ignoresCase: true) : end;

        end = SkipNumbers(text, start, maximumNumberLength);
        if (end == start)
            end = SymbolsEnd(text, start, includesSlash: true);
        return end > start ? end : LinesOrWhiteSpaceEnd(text, start);
    }

    /// <summary>The end of <c>[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+</c>, or <paramref name="start"/>.</summary>
    private static int LowerEndingWordEnd(ReadOnlySpan<char> text, int start)
    {
        // The first class takes all it can; if nothing of the second follows, it gives back from its last shared character on.
        int upperEnd = start;
        int sharedEnd = start;
        while (upperEnd < text.Length)
        {
            UnicodeCategory category = UnicodeClasses.CategoryAt(text, upperEnd, out int length);
            if (!IsUpper(category))
                break;
            upperEnd += length;
            if (IsLower(category))
                sharedEnd = upperEnd;
        }

        int lowerEnd = upperEnd;
        while (lowerEnd < text.Length && IsLower(UnicodeClasses.CategoryAt(text, lowerEnd, out int length)))
            lowerEnd += length;
        return lowerEnd > upperEnd ? lowerEnd : sharedEnd;
    }

    private static int SkipUpper(ReadOnlySpan<char> text, int start)
    {
        int end = start;
        while (end < text.Length && IsUpper(UnicodeClasses.CategoryAt(text, end, out int length)))
            end += length;
        return end;
    }

    private static bool IsUpper(UnicodeCategory category) =>
        category != UnicodeCategory.LowercaseLetter && (UnicodeClasses.IsLetter(category) || UnicodeClasses.IsMark(category));

    private static bool IsLower(UnicodeCategory category) =>
        category is UnicodeCategory.LowercaseLetter or UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter
        || UnicodeClasses.IsMark(category);
}
