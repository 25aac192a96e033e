namespace Hydragen.Text.PreTokenizers;

/// <summary>The split pattern of GPT-2.</summary>
internal sealed class Gpt2Scanner : ScannerPattern
{
    public const string Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    protected override int MatchEnd(ReadOnlySpan<char> text, int start)
    {
        int contraction = ContractionLength(text, start, ignoresCase: false);
        if (contraction > 0)
            return start + contraction;

        int body = text[start] == ' ' ? start + 1 : start;
        int end = SkipLetters(text, body);
        if (end == body)
            end = SkipNumbers(text, body, int.MaxValue);
        if (end == body)
            end = SkipSymbols(text, body);
        return end > body ? end : WhiteSpaceEnd(text, start, SkipWhiteSpace(text, start));
    }
}
