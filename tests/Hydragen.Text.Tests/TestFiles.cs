using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Hydragen.Text.Tests;

/// <summary>Small tokenizer files written by hand.</summary>
internal static class TestFiles
{
    public const string ByteLevel = """{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}""";

    /// <summary>All 256 byte stand-ins with ids in byte order, then <paramref name="merges"/> from id 256 on.</summary>
    public static string ByteLevelJson(
        string[] merges, string preTokenizer = ByteLevel, string addedTokens = "[]", string normalizer = "null",
        string postProcessor = "null", bool ignoresMerges = false)
    {
        StringBuilder vocabulary = new();
        Dictionary<string, int> ids = [];
        for (int value = 0; value < 256; value++)
            Add(StandIn(value).ToString());
        foreach (string merge in merges)
            Add(merge.Replace(" ", "", StringComparison.Ordinal));
        return $$"""
            {"version":"1.0","truncation":null,"padding":null,"added_tokens":{{addedTokens}},"normalizer":{{normalizer}},
            "pre_tokenizer":{{preTokenizer}},"post_processor":{{postProcessor}},"decoder":{{ByteLevel}},
            "model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,
            "fuse_unk":false,"byte_fallback":false,"ignore_merges":{{(ignoresMerges ? "true" : "false")}},
            "vocab":{ {{vocabulary}} },"merges":[{{string.Join(",", merges.Select(m => Quote(m)))}}] } }
            """;

        void Add(string token)
        {
            if (!ids.TryAdd(token, ids.Count))
                return;
            if (vocabulary.Length > 0)
                vocabulary.Append(',');
            vocabulary.Append(Quote(token)).Append(':').Append((ids.Count - 1).ToString(CultureInfo.InvariantCulture));
        }
    }

    public static Tokenizer Parse(string json) => Tokenizer.Parse(Encoding.UTF8.GetBytes(json), "test");

    public static string Quote(string text) => $"\"{JsonEncodedText.Encode(text)}\"";

    private static char StandIn(int value)
    {
        if (value is > ' ' and < 0x7F or >= 0xA1 and <= 0xAC or >= 0xAE)
            return (char)value;
        int before = Enumerable.Range(0, value).Count(v => v is not (> ' ' and < 0x7F or >= 0xA1 and <= 0xAC or >= 0xAE));
        return (char)(256 + before);
    }
}
