using System.Text.Json;
using Hydragen.Text.Json;

namespace Hydragen.Text.Models;

/// <summary>Reads the section <c>model</c>.</summary>
internal static class BytePairModelReader
{
    /// <summary>Largest token id accepted: far above every real vocabulary, far below what would exhaust memory.</summary>
    public const int MaximumId = 16 * 1024 * 1024;

    public static BytePairModel Read(JsonField model, string source)
    {
        // Files older than the field "type" exist; a byte-pair model is then known by its merges.
        string type = model.OptionalString("type") ?? (model.TryGet("merges", out _) ? "BPE" : "");
        if (type != "BPE")
        {
            throw type.Length == 0
                ? model.Error("the field 'type' is missing, expected \"BPE\"")
                : model.Required("type").UnsupportedType("model", type, "BPE");
        }

        if (model.TryGet("dropout", out JsonField dropout))
        {
            dropout.RequireKind(JsonValueKind.Number, "null or 0");
            if (dropout.Element.GetDouble() != 0)
                throw dropout.Unexpected("null or 0: encoding with random dropout is not supported");
        }

        BytePairOptions options = new(
            source,
            model.OptionalString("unk_token"),
            model.OptionalBoolean("fuse_unk", false),
            model.OptionalBoolean("byte_fallback", false),
            model.OptionalBoolean("ignore_merges", false),
            model.OptionalString("continuing_subword_prefix") ?? "",
            model.OptionalString("end_of_word_suffix") ?? "");
        Dictionary<string, int> vocabulary = ReadVocabulary(model.Required("vocab"));
        MergeTable merges = ReadMerges(model.Required("merges"), vocabulary, options.ContinuingPrefix);
        return new BytePairModel(options, vocabulary, merges);
    }

    /// <summary>A token id: a whole number from 0 to <see cref="MaximumId"/>.</summary>
    public static int ReadId(JsonField field) => field.AsInt32(0, MaximumId);

    private static Dictionary<string, int> ReadVocabulary(JsonField field)
    {
        field.RequireKind(JsonValueKind.Object, "an object from tokens to ids");
        Dictionary<string, int> vocabulary = new(field.Element.GetPropertyCount());
        HashSet<int> ids = new(vocabulary.Capacity);
        foreach (JsonProperty property in field.Element.EnumerateObject())
        {
            string token = field.ReadName(property);
            if (property.Value.ValueKind != JsonValueKind.Number || !property.Value.TryGetInt32(out int id) || id is < 0 or > MaximumId)
                id = ReadId(field.Member(token, property.Value));
            if (!ids.Add(id))
                throw field.Member(token, property.Value).Error($"the id {id} belongs to another token already; ids must be unique");
            vocabulary.Add(token, id);
        }

        return vocabulary;
    }

    private static MergeTable ReadMerges(JsonField field, Dictionary<string, int> vocabulary, string continuingPrefix)
    {
        field.RequireKind(JsonValueKind.Array, "an array of merges");
        MergeTable merges = new();
        Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> lookup = vocabulary.GetAlternateLookup<ReadOnlySpan<char>>();
        char[] buffer = new char[256];
        JsonValueKind form = JsonValueKind.Undefined;
        int index = 0;
        int rank = 0;
        foreach (JsonElement element in field.Element.EnumerateArray())
        {
            JsonField Place() => field.Item(index, element);

            form = form == JsonValueKind.Undefined ? element.ValueKind : form;
            if (element.ValueKind != form)
                throw Place().Unexpected("the same form as the merges before it");
            ReadOnlySpan<char> left, right;
            if (form == JsonValueKind.String)
            {
                string line = field.ReadString(element);
                if (line.StartsWith("#version", StringComparison.Ordinal))
                {
                    index++;
                    continue;
                }

                int space = line.IndexOf(' ', StringComparison.Ordinal);
                if (space < 0 || line.AsSpan(space + 1).Contains(' '))
                    throw Place().Unexpected("two tokens with one space between them");
                left = line.AsSpan(0, space);
                right = line.AsSpan(space + 1);
            }
            else if (form == JsonValueKind.Array && element.GetArrayLength() == 2
                && element[0].ValueKind == JsonValueKind.String && element[1].ValueKind == JsonValueKind.String)
            {
                left = field.ReadString(element[0]);
                right = field.ReadString(element[1]);
            }
            else
            {
                throw Place().Unexpected("a string \"left right\" or an array [\"left\", \"right\"]");
            }

            if (!lookup.TryGetValue(left, out int leftId))
                throw Place().Error($"the token '{JsonField.Shorten(left.ToString())}' is not in the vocabulary");
            if (!lookup.TryGetValue(right, out int rightId))
                throw Place().Error($"the token '{JsonField.Shorten(right.ToString())}' is not in the vocabulary");
            if (!right.StartsWith(continuingPrefix))
                throw Place().Error($"the token '{JsonField.Shorten(right.ToString())}' lacks the continuing_subword_prefix");

            right = right[continuingPrefix.Length..];
            int length = left.Length + right.Length;
            if (length > buffer.Length)
                buffer = new char[Math.Max(length, 2 * buffer.Length)];
            left.CopyTo(buffer);
            right.CopyTo(buffer.AsSpan(left.Length));
            if (!lookup.TryGetValue(buffer.AsSpan(0, length), out int result))
                throw Place().Error($"the merged token '{JsonField.Shorten(new string(buffer, 0, length))}' is not in the vocabulary");
            merges.Set(leftId, rightId, rank++, result);
            index++;
        }

        return merges;
    }
}
