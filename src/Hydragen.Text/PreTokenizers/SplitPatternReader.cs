using Hydragen.Text.Json;

namespace Hydragen.Text.PreTokenizers;

/// <summary>Reads a split pattern: a fixed text, or a regular expression that has a scanner.</summary>
internal static class SplitPatternReader
{
    public static SplitPattern Read(JsonField field)
    {
        if (field.TryGet("String", out JsonField literal))
        {
            string text = literal.AsString();
            return text.Length > 0 ? new LiteralPattern(text) : throw literal.Unexpected("a text that is not empty");
        }

        JsonField regex = field.Required("Regex");
        return regex.AsString() switch
        {
            Gpt2Scanner.Pattern => new Gpt2Scanner(),
            Cl100kScanner.Llama3Pattern => new Cl100kScanner(maximumNumberLength: 3),
            Cl100kScanner.Qwen2Pattern => new Cl100kScanner(maximumNumberLength: 1),
            O200kScanner.O200kPattern => new O200kScanner(maximumNumberLength: 3, hasContractions: true),
            O200kScanner.TekkenPattern => new O200kScanner(maximumNumberLength: 1, hasContractions: false),
            _ => throw regex.Error("this regular expression is not supported; supported are the split patterns of GPT-2, Llama-3, Qwen-2 and o200k"),
        };
    }
}
