namespace Hydragen.Text.PreTokenizers;

/// <summary>The split patterns of Llama-3 (numbers in groups of up to three) and Qwen-2 (single digits).</summary>
/// <param name="maximumNumberLength">Most number characters in a piece.</param>
internal sealed class Cl100kScanner(int maximumNumberLength) : ScannerPattern
{
    public const string Llama3Pattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    public const string Qwen2Pattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>Written with possessive quantifiers, it matches exactly what <see cref="Llama3Pattern"/> matches.</summary>
    public const string Gpt4Pattern =
        @"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";

    protected override int MatchEnd(ReadOnlySpan<char> text, int start)
    {
        int contraction = ContractionLength(text, start, ignoresCase: true);
        if (contraction > 0)
            return start + contraction;

        int end = LettersEnd(text, start);
        if (end == start)
            end = SkipNumbers(text, start, maximumNumberLength);
        if (end == start)
            end = SymbolsEnd(text, start, includesSlash: false);
        return end > start ? end : LinesOrWhiteSpaceEnd(text, start);
    }

    /// <summary><c>[^\r\n\p{L}\p{N}]?\p{L}+</c>.</summary>
    private static int LettersEnd(ReadOnlySpan<char> text, int start)
    {
        int end = SkipLetters(text, start);
        if (end > start)
            return end;
        int body = PrefixEnd(text, start);
        end = SkipLetters(text, body);
        return end > body ? end : start;
    }
}
