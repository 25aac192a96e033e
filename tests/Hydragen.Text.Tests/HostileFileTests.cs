using System.Text;
using System.Text.Json.Nodes;

namespace Hydragen.Text.Tests;

/// <summary>Files that are broken or malicious: each must end in one clear exception.</summary>
public sealed class HostileFileTests
{
    private static readonly string Valid = TestFiles.ByteLevelJson(
        ["a b", "ab c"],
        addedTokens: """[{"id":258,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}]""",
        postProcessor: """{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[258],"tokens":["<s>"]}}}""");

    [Fact]
    public void The_file_that_the_cases_break_is_valid()
    {
        Assert.Equal([258, 257], TestFiles.Parse(Valid).Encode("abc"));
    }

    [Theory]
    [InlineData("model", null, "$")]
    [InlineData("model", "[]", "$.model")]
    [InlineData("model.type", "\"WordPiece\"", "$.model.type")]
    [InlineData("model.type", "7", "$.model.type")]
    [InlineData("model.vocab", "[]", "$.model.vocab")]
    [InlineData("model.vocab", "{}", "$.model.merges[0]")]
    [InlineData("model.vocab", "{\"a\":0,\"b\":0}", "$.model.vocab[\"b\"]")]
    [InlineData("model.vocab", "{\"a\":-1}", "$.model.vocab[\"a\"]")]
    [InlineData("model.vocab", "{\"a\":1.5}", "$.model.vocab[\"a\"]")]
    [InlineData("model.vocab", "{\"a\":1e3}", "$.model.vocab[\"a\"]")]
    [InlineData("model.vocab", "{\"a\":2147483648}", "$.model.vocab[\"a\"]")]
    [InlineData("model.vocab", "{\"a\":16777217}", "$.model.vocab[\"a\"]")]
    [InlineData("model.vocab", "{\"a\":\"0\"}", "$.model.vocab[\"a\"]")]
    [InlineData("model.vocab", "{\"a\":0,\"\\u0061\":1}", "$")]
    [InlineData("model.vocab", "{\"\\ud800\":0}", "$")]
    [InlineData("model.merges", "{}", "$.model.merges")]
    [InlineData("model.merges", "[\"a b\",[\"a\",\"b\"]]", "$.model.merges[1]")]
    [InlineData("model.merges", "[\"ab\"]", "$.model.merges[0]")]
    [InlineData("model.merges", "[\"a b c\"]", "$.model.merges[0]")]
    [InlineData("model.merges", "[[\"a\"]]", "$.model.merges[0]")]
    [InlineData("model.merges", "[[\"a\",1]]", "$.model.merges[0]")]
    [InlineData("model.merges", "[\"a zz\"]", "$.model.merges[0]")]
    [InlineData("model.merges", "[\"zz a\"]", "$.model.merges[0]")]
    [InlineData("model.merges", "[\"b a\"]", "$.model.merges[0]")]
    [InlineData("model.dropout", "0.1", "$.model.dropout")]
    [InlineData("model.dropout", "\"x\"", "$.model.dropout")]
    [InlineData("model.byte_fallback", "1", "$.model.byte_fallback")]
    [InlineData("model.unk_token", "[]", "$.model.unk_token")]
    [InlineData("model.continuing_subword_prefix", "\"##\"", "$.model.merges[0]")]
    [InlineData("added_tokens", "{}", "$.added_tokens")]
    [InlineData("added_tokens", "[7]", "$.added_tokens[0]")]
    [InlineData("added_tokens", "[{\"id\":1}]", "$.added_tokens[0]")]
    [InlineData("added_tokens", "[{\"id\":1,\"content\":\"zz\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}]", "$.added_tokens[0]")]
    [InlineData("added_tokens", "[{\"id\":1,\"content\":\"a\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}]", "$.added_tokens[0]")]
    [InlineData("normalizer", "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}", "$.normalizer.type")]
    [InlineData("normalizer", "{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"x\"}", "$.normalizer.pattern.String")]
    [InlineData("normalizer", "{}", "$.normalizer")]
    [InlineData("normalizer", "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"}]}", "$.normalizer")]
    [InlineData("pre_tokenizer", "{\"type\":\"UnicodeScripts\"}", "$.pre_tokenizer.type")]
    [InlineData("pre_tokenizer", "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a+)+$\"},\"behavior\":\"Isolated\"}", "$.pre_tokenizer.pattern.Regex")]
    [InlineData("pre_tokenizer", "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"}", "$.pre_tokenizer.pattern.Regex")]
    [InlineData("pre_tokenizer", "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?<=a)b\"},\"behavior\":\"Isolated\"}", "$.pre_tokenizer.pattern.Regex")]
    [InlineData("pre_tokenizer", "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\p{Klingon}\"},\"behavior\":\"Isolated\"}", "$.pre_tokenizer.pattern.Regex")]
    [InlineData("pre_tokenizer", "{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"Sideways\"}", "$.pre_tokenizer.behavior")]
    [InlineData("pre_tokenizer", "{\"type\":\"Metaspace\",\"replacement\":\"xy\"}", "$.pre_tokenizer.replacement")]
    [InlineData("pre_tokenizer", "{\"type\":\"Metaspace\",\"replacement\":\"x\",\"add_prefix_space\":false,\"prepend_scheme\":\"always\"}", "$.pre_tokenizer.prepend_scheme")]
    [InlineData("decoder", "{\"type\":\"CTC\"}", "$.decoder.type")]
    [InlineData("decoder", "{\"type\":\"Strip\",\"content\":\" \",\"start\":-1,\"stop\":0}", "$.decoder.start")]
    [InlineData("post_processor", "{\"type\":\"Unheard\"}", "$.post_processor.type")]
    [InlineData("post_processor.single", "[{\"SpecialToken\":{\"id\":\"<x>\",\"type_id\":0}}]", "$.post_processor.special_tokens")]
    [InlineData("post_processor.single", "[{\"Sequence\":{\"id\":\"B\",\"type_id\":0}}]", "$.post_processor.single[0].Sequence.id")]
    [InlineData("post_processor.single", "[]", "$.post_processor.single")]
    [InlineData("post_processor.special_tokens", "{\"<s>\":{\"id\":\"<s>\",\"ids\":[259],\"tokens\":[\"<s>\"]}}", "$.post_processor.special_tokens.<s>.ids[0]")]
    public void A_broken_field_is_refused_by_its_path(string field, string? value, string path)
    {
        TokenizerFormatException refusal = Assert.Throws<TokenizerFormatException>(() => TestFiles.Parse(With(field, value)));

        Assert.Equal(path, refusal.Path);
        Assert.StartsWith($"test: {path}: ", refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refusal.Message);
    }

    [Fact]
    public void Messages_stay_short_and_on_one_line_whatever_the_file_says()
    {
        string name = TestFiles.Quote("x\n\u2028\u0085" + string.Concat(Enumerable.Repeat("😀", 5000)));

        foreach ((string field, string value) in ((string, string)[])
        [
            ("model.vocab", $"{{{name}:-1}}"), ("model.type", name), ("model.merges", $"[{name}]"), ("model.merges", $"[[\"a\",{name}]]"),
            ("post_processor.single", $"[{{\"SpecialToken\":{{\"id\":{name},\"type_id\":0}}}}]"), ("normalizer", $"{{\"type\":{name}}}"),
            ("pre_tokenizer", $"{{\"type\":\"Split\",\"pattern\":{{\"Regex\":{name}}},\"behavior\":\"Isolated\"}}"), ("model", $"{{{name}:1,{name}:1}}"),
        ])
        {
            string message = Assert.Throws<TokenizerFormatException>(() => TestFiles.Parse(With(field, value))).Message;
            Assert.DoesNotContain(message, char.IsControl);
            Assert.InRange(message.Length, 20, 400);
        }
    }

    [Fact]
    public void A_valid_file_cut_at_any_byte_is_refused()
    {
        byte[] bytes = Encoding.UTF8.GetBytes(Valid);
        for (int length = 0; length < bytes.Length; length++)
            Assert.Throws<TokenizerFormatException>(() => Tokenizer.Parse(bytes.AsSpan(0, length), "test"));
    }

    [Fact]
    public void A_valid_file_with_any_byte_changed_loads_or_is_refused()
    {
        byte[] bytes = Encoding.UTF8.GetBytes(Valid);
        Random random = new(5);
        int numRefused = 0;
        for (int position = 0; position < bytes.Length; position++)
        {
            byte original = bytes[position];
            bytes[position] = (byte)random.Next(256);
            try
            {
                _ = Tokenizer.Parse(bytes.AsSpan(), "test").Encode("abc ' 1 <s>");
            }
            catch (TokenizerFormatException)
            {
                numRefused++;
            }

            bytes[position] = original;
        }

        Assert.InRange(numRefused, bytes.Length / 2, bytes.Length);
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("\uFEFF{}")]
    [InlineData("{\"model\":{},\"model\":{}}")]
    [InlineData("{\"model\":{}} {}")]
    public void Other_documents_are_refused(string json)
    {
        Assert.Throws<TokenizerFormatException>(() => TestFiles.Parse(json));
    }

    [Theory]
    [InlineData("normalizer", "normalizers")]
    [InlineData("pre_tokenizer", "pretokenizers")]
    [InlineData("decoder", "decoders")]
    [InlineData("post_processor", "processors")]
    public void Sequences_nested_a_thousand_deep_are_refused(string section, string member)
    {
        StringBuilder nested = new();
        for (int i = 0; i < 1000; i++)
            nested.Append($$"""{"type":"Sequence","{{member}}":[""");
        nested.Insert(nested.Length, "]}", 1000);
        string json = $$"""{"{{section}}":{{nested}}}""";

        Assert.Throws<TokenizerFormatException>(() => TestFiles.Parse(json));
    }

    [Fact]
    public void Hundreds_of_thousands_of_tokens_and_merges_load()
    {
        // All words of up to four letters, each merged from its beginning and its last letter.
        List<string> tokens = [.. "abcdefghijklmnopqrst".Select(c => c.ToString())];
        for (int first = 0; tokens[first].Length < 4; first++)
            tokens.AddRange(tokens.Take(20).Select(letter => tokens[first] + letter).ToArray());
        string vocabulary = string.Join(',', tokens.Select((token, id) => $"\"{token}\":{id}"));
        string merges = string.Join(',', tokens.Skip(20).Select(token => $"[\"{token[..^1]}\",\"{token[^1]}\"]"));

        Tokenizer tokenizer = TestFiles.Parse($"{{\"model\":{{\"type\":\"BPE\",\"vocab\":{{{vocabulary}}},\"merges\":[{merges}]}}}}");

        Assert.Equal(168_420, tokenizer.VocabularySize);
        Assert.Equal(["qr", "st", "aa", "aab"], tokenizer.Encode("qrstaaaab").Select(id => tokenizer.IdToToken(id)!));
    }

    [Fact]
    public void One_huge_id_costs_no_memory()
    {
        string json = """{"model":{"type":"BPE","vocab":{"a":0,"b":16777216},"merges":[]}}""";
        TestFiles.Parse(json);
        long before = GC.GetAllocatedBytesForCurrentThread();

        Tokenizer tokenizer = TestFiles.Parse(json);

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 4 << 20);
        Assert.Equal(16777217, tokenizer.VocabularySize);
        Assert.Equal([0, 16777216], tokenizer.Encode("ab"));
        Assert.Null(tokenizer.IdToToken(5));
        Assert.Equal("a b", tokenizer.Decode([0, 5, 16777216]));
    }

    [Fact]
    public void Duplicate_merges_and_gaps_between_ids_are_accepted()
    {
        Tokenizer tokenizer = TestFiles.Parse(
            """{"model":{"type":"BPE","vocab":{"a":0,"b":10,"c":20,"ab":30,"bc":40},"merges":["a b","b c","a b"]}}""");

        // The later of two equal merges counts, which makes "b c" the stronger one.
        Assert.Equal([0, 40], tokenizer.Encode("abc"));
    }

    [Fact]
    public void Merges_of_pieces_with_spaces_need_the_form_of_pairs()
    {
        Tokenizer tokenizer = TestFiles.Parse(
            """{"model":{"type":"BPE","vocab":{"a":0," ":1,"a ":2,"a a":3},"merges":[["a"," "],["a ","a"]]}}""");

        Assert.Equal([3], tokenizer.Encode("a a"));
    }

    [Fact]
    public void A_missing_unknown_token_is_named_when_a_text_needs_it()
    {
        Tokenizer tokenizer = TestFiles.Parse("""{"model":{"type":"BPE","unk_token":"<u>","vocab":{"a":0},"merges":[]}}""");

        Assert.Equal([0], tokenizer.Encode("a"));
        Assert.Contains("<u>", Assert.Throws<TokenizerFormatException>(() => tokenizer.Encode("ab")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_larger_than_any_tokenizer_is_refused_unread()
    {
        string path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        try
        {
            using (FileStream stream = File.Create(path))
                stream.SetLength(3L << 30);
            long before = GC.GetAllocatedBytesForCurrentThread();

            TokenizerFormatException refusal = Assert.Throws<TokenizerFormatException>(() => Tokenizer.Load(path));

            Assert.Contains("3221225472 bytes", refusal.Message, StringComparison.Ordinal);
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void A_missing_file_is_an_input_output_error()
    {
        Assert.ThrowsAny<IOException>(() => Tokenizer.Load(Path.Combine(Golden.Folder, "no-such-tokenizer", "tokenizer.json")));
    }

    private static string With(string field, string? value)
    {
        JsonNode root = JsonNode.Parse(Valid)!;
        string[] names = field.Split('.');
        JsonObject parent = root.AsObject();
        foreach (string name in names[..^1])
            parent = parent[name]!.AsObject();

        // Spliced in as text, so that the value may be something that no JSON writer would write.
        parent[names[^1]] = "PLACEHOLDER";
        if (value is null)
            parent.Remove(names[^1]);
        return root.ToJsonString().Replace("\"PLACEHOLDER\"", value, StringComparison.Ordinal);
    }
}
