using System.Text.Json;
using Hydragen.Text.AddedTokens;
using Hydragen.Text.Decoders;
using Hydragen.Text.Json;
using Hydragen.Text.Models;
using Hydragen.Text.Normalizers;
using Hydragen.Text.PreTokenizers;

namespace Hydragen.Text;

/// <summary>Reads a tokenizer.json section by section and puts the parts together.</summary>
internal static class TokenizerReader
{
    // Components nest a few levels deep; a deeper file is an attack on the stack.
    private const int MaximumDepth = 64;

    public static TokenizerParts Read(ReadOnlyMemory<byte> utf8Json, string source)
    {
        using JsonDocument document = Parse(utf8Json, source);
        JsonField root = new(source, "$", document.RootElement);
        root.RequireKind(JsonValueKind.Object, "an object");

        BytePairModel model = BytePairModelReader.Read(root.Required("model"), source);
        List<AddedToken> addedTokens = root.TryGet("added_tokens", out JsonField added) ? AddedTokenReader.Read(added, model.Vocabulary) : [];
        Normalizer? normalizer = root.TryGet("normalizer", out JsonField normalizerField) ? NormalizerReader.Read(normalizerField) : null;
        Vocabulary vocabulary = new(model.Vocabulary, addedTokens, normalizer);
        if (vocabulary.Size == 0)
            throw root.Required("model").Required("vocab").Error("the vocabulary is empty");
        return new TokenizerParts(
            vocabulary,
            model,
            addedTokens,
            normalizer,
            root.TryGet("pre_tokenizer", out JsonField preTokenizer) ? PreTokenizerReader.Read(preTokenizer) : null,
            root.TryGet("post_processor", out JsonField processor)
                ? SpecialTokenTemplateReader.Read(processor, vocabulary.Size)
                : SpecialTokenTemplate.Empty,
            root.TryGet("decoder", out JsonField decoder) ? DecoderReader.Read(decoder) : new SpaceJoinDecoder());
    }

    private static JsonDocument Parse(ReadOnlyMemory<byte> utf8Json, string source)
    {
        JsonDocumentOptions options = new() { AllowDuplicateProperties = false, MaxDepth = MaximumDepth };
        try
        {
            return JsonDocument.Parse(utf8Json, options);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentException)
        {
            string place = e is JsonException { LineNumber: { } line, BytePositionInLine: { } column }
                ? $" (line {line + 1}, byte {column + 1})"
                : "";
            throw new TokenizerFormatException(source, "$", $"not valid JSON{place}: {FirstSentence(e.Message)}", e);
        }
    }

    // The runtime's messages go on with positions that are reported in a better form already.
    private static string FirstSentence(string message)
    {
        int end = message.IndexOf(" LineNumber", StringComparison.Ordinal);
        return JsonField.Shorten(end < 0 ? message : message[..end], maximumLength: 200);
    }
}
