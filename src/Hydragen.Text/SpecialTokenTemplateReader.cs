using Hydragen.Text.Json;

namespace Hydragen.Text;

/// <summary>Reads the section <c>post_processor</c>, as far as it concerns a single text.</summary>
internal static class SpecialTokenTemplateReader
{
    private const string Supported = "Sequence, TemplateProcessing, ByteLevel, BertProcessing, RobertaProcessing";

    // Far more control tokens than any model puts around a text.
    private const int MaximumLength = 1024;

    /// <param name="field">The post-processor.</param>
    /// <param name="vocabularySize">Ids must be below it.</param>
    public static SpecialTokenTemplate Read(JsonField field, int vocabularySize)
    {
        JsonField type = field.Required("type");
        switch (type.AsString())
        {
            case "Sequence":
                SpecialTokenTemplate template = SpecialTokenTemplate.Empty;
                foreach (JsonField processor in field.Required("processors").Items())
                {
                    template = template.Within(Read(processor, vocabularySize));
                    if (template.Before.Length + template.After.Length > MaximumLength)
                        throw field.Error($"more than {MaximumLength} tokens around a text are not supported");
                }

                return template;

            case "TemplateProcessing":
                return ReadTemplate(field, vocabularySize);

            // It moves offsets, which are not reported here.
            case "ByteLevel":
                return SpecialTokenTemplate.Empty;

            case "BertProcessing":
            case "RobertaProcessing":
                return new SpecialTokenTemplate(
                    [ReadPairId(field.Required("cls"), vocabularySize)], [ReadPairId(field.Required("sep"), vocabularySize)]);

            default:
                throw type.UnsupportedType("post-processor", type.AsString(), Supported);
        }
    }

    private static SpecialTokenTemplate ReadTemplate(JsonField field, int vocabularySize)
    {
        JsonField specialTokens = field.Required("special_tokens");
        JsonField single = field.Required("single");
        List<int> before = [];
        List<int> after = [];
        bool hasText = false;
        foreach (JsonField item in single.Items())
        {
            if (item.TryGet("Sequence", out JsonField sequence))
            {
                JsonField id = sequence.Required("id");
                if (id.AsString() != "A" || hasText)
                    throw id.Unexpected("the text \"A\" exactly once");
                hasText = true;
            }
            else if (item.TryGet("SpecialToken", out JsonField special))
            {
                JsonField token = specialTokens.Required(special.RequiredString("id"));
                foreach (JsonField id in token.Required("ids").Items())
                    (hasText ? after : before).Add(ReadId(id, vocabularySize));
                if (before.Count + after.Count > MaximumLength)
                    throw single.Error($"more than {MaximumLength} tokens around a text are not supported");
            }
            else
            {
                throw item.Unexpected("{\"SpecialToken\": ...} or {\"Sequence\": ...}");
            }
        }

        return hasText
            ? new SpecialTokenTemplate([.. before], [.. after])
            : throw single.Error("the template leaves the text out, expected {\"Sequence\": {\"id\": \"A\"}}");
    }

    private static int ReadPairId(JsonField pair, int vocabularySize)
    {
        JsonField[] items = [.. pair.Items()];
        return items.Length == 2 ? ReadId(items[1], vocabularySize) : throw pair.Unexpected("an array [\"token\", id]");
    }

    private static int ReadId(JsonField field, int vocabularySize) => field.AsInt32(0, vocabularySize - 1);
}
