using System.Text.Json;

namespace Hydragen.Cli.Tests;

public sealed class GenerateTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_line_has_path_sample_ids_text_and_finish_reason_and_nothing_else()
    {
        CliResult result = await Cli.GenerateAsync("--prompt", "These are", "--max-new-tokens", "3");
        JsonElement line = Assert.Single(result.Lines);
        Assert.Equal(["path", "sample", "ids", "text", "finish_reason"], line.EnumerateObject().Select(property => property.Name));
        Assert.Equal("[]", line.GetProperty("path").GetRawText());
        Assert.Equal(0, line.GetProperty("sample").GetInt32());
        Assert.Equal(3, line.GetProperty("ids").GetArrayLength());
        Assert.Equal(await DecodeAsync(line.GetProperty("ids")), line.GetProperty("text").GetString());
        Assert.Equal("length", line.GetProperty("finish_reason").GetString());
        Assert.Empty(result.Error);
    }

    [Fact]
    public async Task Log_probabilities_are_those_that_score_gives_the_same_tokens()
    {
        int[] prompt = [0, 20, 30, 40];
        string tree = _folder.Write("tree.json", JsonSerializer.Serialize(new { ids = prompt }));
        JsonElement line = Assert.Single((await Cli.GenerateAsync("--tree", tree, "--max-new-tokens", "6", "--logprobs", "--ignore-eos")).Lines);
        int[] ids = Ints(line.GetProperty("ids"));
        CliResult scored = await Cli.RunWithInputAsync(
            JsonSerializer.Serialize(new { ids = prompt.Concat(ids) }), "score", "--model", Cli.EmbeddedModel);
        float[] expected = [.. Assert.Single(scored.Lines).GetProperty("logprobs").EnumerateArray().Skip(prompt.Length).Select(value => value.GetSingle())];
        float[] found = [.. line.GetProperty("logprobs").EnumerateArray().Select(value => value.GetSingle())];
        Assert.Equal(6, found.Length);
        for (int i = 0; i < found.Length; i++) Assert.Equal(expected[i], found[i], 1e-3f);
    }

    [Fact]
    public async Task The_statistics_go_to_standard_error()
    {
        CliResult result = await Cli.GenerateAsync("--prompt", "a", "--max-new-tokens", "2", "--stats");
        Assert.Single(result.Lines);
        Assert.Contains("KV memory", result.Error, StringComparison.Ordinal);
        // 6,303,744 weights of two bytes, but norms, 13 of 256, in four.
        Assert.Contains("12.0 MiB", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task INT8_weights_are_named_and_counted_in_the_statistics()
    {
        CliResult result = await Cli.GenerateAsync("--prompt", "a", "--max-new-tokens", "2", "--stats", "--weight-type", "int8");
        Assert.Single(result.Lines);
        // A byte for each of 6,300,416 weights of products, eight for each of 20,003 channels, two for each of 402,176 numbers of the
        // table that look-ups read, norms and padding: 7,288,192 bytes.
        Assert.Contains("7.0 MiB, int8 weights", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_path_of_a_single_root_leaves_out_the_root_and_lines_stand_in_the_order_of_prompts_and_samples()
    {
        string tree = _folder.Write("tree.json", """
            {"text":"These are","samples":2,"children":[{"text":" the"},{"ids":[5],"children":[{"text":"x","samples":3},{"text":"y"}]}]}
            """);
        JsonElement[] lines = (await Cli.GenerateAsync("--tree", tree, "--max-new-tokens", "2")).Lines;
        Assert.Equal(["[]/0", "[]/1", "[0]/0", "[1,0]/0", "[1,0]/1", "[1,0]/2", "[1,1]/0"], lines.Select(Place));
    }

    [Fact]
    public async Task The_path_of_several_roots_begins_with_the_root()
    {
        string tree = _folder.Write("tree.json", """[{"text":"a"},{"text":"b","children":[{"text":"c"},{"text":"d"}]}]""");
        JsonElement[] lines = (await Cli.GenerateAsync("--tree", tree, "--max-new-tokens", "1")).Lines;
        Assert.Equal(["[0]/0", "[1,0]/0", "[1,1]/0"], lines.Select(Place));
        tree = _folder.Write("one.json", """[{"text":"a"}]""");
        Assert.Equal(["[0]/0"], (await Cli.GenerateAsync("--tree", tree, "--max-new-tokens", "1")).Lines.Select(Place));
    }

    [Fact]
    public async Task Levels_of_prompts_give_every_combination()
    {
        JsonElement[] lines = (await Cli.GenerateAsync("--prompts", "These are", "--prompts", " a| b", "--prompts", " c| d", "--max-new-tokens", "1")).Lines;
        Assert.Equal(["[0,0]/0", "[0,1]/0", "[1,0]/0", "[1,1]/0"], lines.Select(Place));
        lines = (await Cli.GenerateAsync("--prompts", "a|b", "--samples", "2", "--max-new-tokens", "1")).Lines;
        Assert.Equal(["[0]/0", "[0]/1", "[1]/0", "[1]/1"], lines.Select(Place));
    }

    [Fact]
    public async Task Flat_prompts_are_numbered()
    {
        JsonElement[] lines = (await Cli.GenerateAsync("--prompt", "b", "--prompt", "a", "--prompt", "b", "--max-new-tokens", "1")).Lines;
        Assert.Equal(["[0]/0", "[1]/0", "[2]/0"], lines.Select(Place));
    }

    [Fact]
    public async Task All_modes_of_sharing_give_the_same_tokens()
    {
        string[] args = ["--prompts", "These are the village records.\n", "--prompts", " Julia Gibson| Agnes Barlow", "--prompts", " has| hid", "--max-new-tokens", "12"];
        CliResult hydragen = await Cli.GenerateAsync(args);
        Assert.Equal(4, hydragen.Lines.Length);
        foreach (string mode in (string[])["hydragen", "paged", "copied"])
            Assert.Equal(hydragen.Output, (await Cli.GenerateAsync([.. args, "--sharing", mode])).Output);
    }

    [Fact]
    public async Task A_seed_repeats_samples_and_another_seed_changes_them()
    {
        string[] args = ["--prompt", "These are", "--samples", "4", "--max-new-tokens", "8", "--temperature", "2"];
        string first = (await Cli.GenerateAsync([.. args[..^2], "--seed", "5", "--top-p", "1"])).Output;
        Assert.NotEmpty(first);
        async Task<string> SampleAsync(string seed) =>
            (await Cli.RunAsync(["generate", "--model", Cli.EmbeddedModel, .. args, "--seed", seed])).Output;
        string sampled = await SampleAsync("5");
        Assert.Equal(sampled, await SampleAsync("5"));
        Assert.NotEqual(sampled, await SampleAsync("6"));
    }

    [Fact]
    public async Task A_stop_string_ends_a_completion_and_is_not_part_of_the_text()
    {
        string[] args = ["--prompt", "These are the village records.\n", "--max-new-tokens", "40"];
        string whole = Assert.Single((await Cli.GenerateAsync(args)).Lines).GetProperty("text").GetString()!;
        int end = whole.IndexOf('.', StringComparison.Ordinal);
        Assert.True(end > 0);
        JsonElement line = Assert.Single((await Cli.GenerateAsync([.. args, "--stop", "."])).Lines);
        Assert.Equal(whole[..end], line.GetProperty("text").GetString());
        Assert.Equal("stop", line.GetProperty("finish_reason").GetString());
    }

    [Fact]
    public async Task A_model_without_a_tokenizer_takes_ids_and_gives_no_text()
    {
        string model = _folder.CopyModel(("tokenizer.json", null));
        string tree = _folder.Write("tree.json", """{"ids":[0,5,6]}""");
        JsonElement line = Assert.Single((await Cli.RunAsync("generate", "--model", model, "--tree", tree, "--max-new-tokens", "2")).Lines);
        Assert.Equal(JsonValueKind.Null, line.GetProperty("text").ValueKind);
        (await Cli.RunAsync("generate", "--model", model, "--prompt", "a")).AssertBadInput("tokenizer");
        (await Cli.RunAsync("generate", "--model", model, "--tree", tree, "--stop", "x")).AssertBadInput("tokenizer");
    }

    [Fact]
    public async Task A_completion_ends_where_the_context_ends()
    {
        string tree = _folder.Write("tree.json", JsonSerializer.Serialize(new { ids = Enumerable.Repeat(5, 126) }));
        string config = await File.ReadAllTextAsync(Path.Combine(Cli.EmbeddedModel, "config.json"), TestContext.Current.CancellationToken);
        string model = _folder.CopyModel(("config.json", System.Text.Encoding.UTF8.GetBytes(config.Replace("16384", "128", StringComparison.Ordinal))));
        JsonElement line = Assert.Single((await Cli.RunAsync("generate", "--model", model, "--tree", tree, "--ignore-eos")).Lines);
        Assert.Equal(2, line.GetProperty("ids").GetArrayLength());
        Assert.Equal("length", line.GetProperty("finish_reason").GetString());
        tree = _folder.Write("long.json", JsonSerializer.Serialize(new { ids = Enumerable.Repeat(5, 128) }));
        (await Cli.RunAsync("generate", "--model", model, "--tree", tree)).AssertBadInput("128 tokens", "context");
    }

    [Theory]
    [InlineData("", "not valid JSON")]
    [InlineData("{", "not valid JSON")]
    [InlineData("""{"text":"a"} {"text":"b"}""", "not valid JSON")]
    [InlineData("null", "expected an object")]
    [InlineData("[]", "no prompt")]
    [InlineData("[1]", "node [0]")]
    [InlineData("""{"children":[{"text":"a"}]}""", "either \"text\" or \"ids\"")]
    [InlineData("""{"text":"a","ids":[1]}""", "either \"text\" or \"ids\"")]
    [InlineData("""{"text":null}""", "must be a string")]
    [InlineData("""{"text":"a","text":"b"}""", "Duplicate")]
    [InlineData("""{"text":"a","childs":[]}""", "unknown property \"childs\"")]
    [InlineData("""{"text":"a","children":{}}""", "must be an array")]
    [InlineData("""{"text":"a","children":[{"text":"b"},{"txt":"c"}]}""", "child 1")]
    [InlineData("""{"text":"\ud800"}""", "not valid Unicode")]
    [InlineData("""{"text":"a","samples":-1}""", "samples")]
    [InlineData("""{"text":"a","samples":0}""", "samples")]
    [InlineData("""{"text":"a","samples":2000000000}""", "samples")]
    [InlineData("""{"ids":[1.5]}""", "1.5")]
    [InlineData("""{"ids":["1"]}""", "not an integer")]
    [InlineData("""{"ids":[-1]}""", "token id -1")]
    [InlineData("""{"ids":[1571]}""", "token id 1571")]
    [InlineData("""{"ids":[2147483648]}""", "2147483648")]
    [InlineData("""{"ids":[]}""", "empty")]
    public async Task A_wrong_tree_is_refused_with_its_mistake(string json, string mistake) =>
        (await Cli.GenerateAsync("--tree", _folder.Write("tree.json", json))).AssertBadInput(mistake);

    [Fact]
    public async Task Deep_and_undecodable_trees_are_refused()
    {
        const int Depth = 20_000;
        string deep = string.Concat(Enumerable.Repeat("{\"text\":\"a\",\"children\":[", Depth)) + "{\"text\":\"b\"}" + string.Concat(Enumerable.Repeat("]}", Depth));
        (await Cli.GenerateAsync("--tree", _folder.Write("deep.json", deep))).AssertBadInput("depth");
        (await Cli.GenerateAsync("--tree", _folder.Write("bytes.json", [.. "{\"text\":\""u8, 0xFF, .. "\"}"u8]))).AssertBadInput("Unicode");
        (await Cli.GenerateAsync("--tree", _folder["missing.json"])).AssertBadInput("There is no file");
        (await Cli.GenerateAsync("--tree", _folder.Path)).AssertBadInput("it is a folder");
        (await Cli.GenerateAsync("--tree", "")).AssertBadInput("empty");
    }

    [Fact]
    public async Task Levels_that_multiply_to_too_many_completions_are_refused()
    {
        string[] levels = [.. Enumerable.Repeat((string[])["--prompts", "a|b|c|d|e|f|g|h|i|j"], 12).SelectMany(level => level)];
        (await Cli.GenerateAsync(levels)).AssertBadInput("more than 1000000 completions");
    }

    [Fact]
    public async Task A_byte_order_mark_before_a_tree_is_skipped()
    {
        string tree = _folder.Write("tree.json", [0xEF, 0xBB, 0xBF, .. "{\"text\":\"a\"}"u8]);
        Assert.Equal((await Cli.GenerateAsync("--prompt", "a", "--max-new-tokens", "3")).Output, (await Cli.GenerateAsync("--tree", tree, "--max-new-tokens", "3")).Output);
    }

    private static string Place(JsonElement line) => $"{line.GetProperty("path").GetRawText()}/{line.GetProperty("sample").GetInt32()}";

    private static int[] Ints(JsonElement array) => [.. array.EnumerateArray().Select(value => value.GetInt32())];

    private static async Task<string?> DecodeAsync(JsonElement ids)
    {
        CliResult decoded = await Cli.RunWithInputAsync($"{{\"ids\":{ids.GetRawText()}}}", "tokenize", "--tokenizer", Cli.EmbeddedModel, "--decode");
        return Assert.Single(decoded.Lines).GetProperty("text").GetString();
    }
}
