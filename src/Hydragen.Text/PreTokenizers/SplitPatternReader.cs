using Hydragen.Text.Expressions;
using Hydragen.Text.Json;

namespace Hydragen.Text.PreTokenizers;

/// <summary>Reads a split pattern: a fixed text, or a regular expression that has a scanner or that the general matcher takes.</summary>
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
            Cl100kScanner.Llama3Pattern or Cl100kScanner.Gpt4Pattern => new Cl100kScanner(maximumNumberLength: 3),
            Cl100kScanner.Qwen2Pattern => new Cl100kScanner(maximumNumberLength: 1),
            O200kScanner.O200kPattern => new O200kScanner(maximumNumberLength: 3, hasContractions: true),
            O200kScanner.TekkenPattern => new O200kScanner(maximumNumberLength: 1, hasContractions: false),
            string other => ReadExpression(regex, other),
        };
    }

    private static ExpressionPattern ReadExpression(JsonField field, string expression)
    {
        try
        {
            return new ExpressionPattern(expression);
        }
        catch (FormatException e)
        {
            throw field.Error(
                $"this regular expression is not supported: {e.Message}; "
                + "supported are the split patterns of GPT-2, GPT-4, Llama-3, Qwen-2, o200k and Tekken, and simpler ones", e);
        }
    }
}
