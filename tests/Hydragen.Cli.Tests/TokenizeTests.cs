using System.Text.Json;

namespace Hydragen.Cli.Tests;

public sealed class TokenizeTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("Hello, world")]
    [InlineData("")]
    [InlineData("  two  spaces\tand a\r\nline ")]
    [InlineData("naïve 東京 🙂 \u0000 \u200d")]
    public async Task Text_survives_the_way_to_ids_and_back(string text)
    {
        CliResult ids = await Cli.RunWithInputAsync(JsonSerializer.Serialize(new { text }), "tokenize", "--tokenizer", Cli.EmbeddedModel);
        Assert.Equal(["ids"], Assert.Single(ids.Lines).EnumerateObject().Select(property => property.Name));
        CliResult back = await Cli.RunWithInputAsync(ids.Output, "tokenize", "--tokenizer", Cli.EmbeddedModel, "--decode");
        Assert.Equal(text, Assert.Single(back.Lines).GetProperty("text").GetString());
    }

    [Fact]
    public async Task Special_adds_the_tokens_of_the_post_processor_and_keeps_them_when_decoding()
    {
        const string Line = """{"text":"Hello"}""";
        string folder = Cli.EmbeddedModel, file = Path.Combine(folder, "tokenizer.json");
        int[] plain = Ids(Assert.Single((await Cli.RunWithInputAsync(Line, "tokenize", "--tokenizer", file)).Lines));
        CliResult special = await Cli.RunWithInputAsync(Line, "tokenize", "--tokenizer", folder, "--special");
        Assert.Equal([0, .. plain], Ids(Assert.Single(special.Lines)));
        string kept = (await Cli.RunWithInputAsync(special.Output, "tokenize", "--tokenizer", folder, "--special", "--decode")).Lines[0].GetProperty("text").GetString()!;
        string skipped = (await Cli.RunWithInputAsync(special.Output, "tokenize", "--tokenizer", folder, "--decode")).Lines[0].GetProperty("text").GetString()!;
        Assert.Equal("Hello", skipped);
        Assert.EndsWith("Hello", kept, StringComparison.Ordinal);
        Assert.NotEqual(skipped, kept);
    }

    [Fact]
    public async Task Byte_order_mark_line_ends_and_blank_lines_are_not_text()
    {
        byte[] bytes = [0xEF, 0xBB, 0xBF, .. "{\"text\":\"a\"}\r\n\r\n  \n{\"text\":\"b\",\"id\":7}"u8];
        CliResult fromFile = await Cli.RunAsync("tokenize", "--tokenizer", Cli.EmbeddedModel, "--input", _folder.Write("in.jsonl", bytes));
        Assert.Equal(2, fromFile.Lines.Length);
        Assert.Equal(fromFile.Output, (await Cli.RunWithInputAsync(bytes, "tokenize", "--tokenizer", Cli.EmbeddedModel)).Output);
    }

    [Theory]
    [InlineData("""{"text":"a"}{"text":"b"}""", "not valid JSON")]
    [InlineData("""{"text":""", "not valid JSON")]
    [InlineData("[1]", "expected a JSON object")]
    [InlineData("""{"ids":[1]}""", "no \"text\"")]
    [InlineData("""{"text":5}""", "must be a string")]
    [InlineData("""{"text":"a","text":"b"}""", "Duplicate")]
    [InlineData("""{"text":"\ud83d"}""", "not valid Unicode")]
    public async Task A_wrong_line_is_named(string line, string mistake) =>
        (await Cli.RunWithInputAsync("\n" + line, "tokenize", "--tokenizer", Cli.EmbeddedModel)).AssertBadInput("standard input, line 2", mistake);

    [Theory]
    [InlineData("""{"ids":[-1]}""", "-1")]
    [InlineData("""{"ids":[1571]}""", "outside the vocabulary")]
    [InlineData("""{"ids":[1e9]}""", "1e9")]
    [InlineData("""{"ids":[99999999999]}""", "99999999999")]
    [InlineData("""{"ids":7}""", "array of integers")]
    [InlineData("""{"text":"a"}""", "no \"ids\"")]
    public async Task Wrong_ids_are_refused(string line, string mistake) =>
        (await Cli.RunWithInputAsync(line, "tokenize", "--tokenizer", Cli.EmbeddedModel, "--decode")).AssertBadInput("line 1", mistake);

    [Fact]
    public async Task Hostile_input_is_refused()
    {
        (await Cli.RunWithInputAsync([.. "{\"text\":\""u8, 0xFF, .. "\"}"u8], "tokenize", "--tokenizer", Cli.EmbeddedModel)).AssertBadInput("not UTF-8");
        string deep = "{\"text\":" + new string('[', 100_000) + new string(']', 100_000) + "}";
        (await Cli.RunWithInputAsync(deep, "tokenize", "--tokenizer", Cli.EmbeddedModel)).AssertBadInput("depth");
        (await Cli.RunAsync("tokenize", "--tokenizer", Cli.EmbeddedModel, "--input", _folder["missing"])).AssertBadInput("There is no file");
        (await Cli.RunAsync("tokenize", "--tokenizer", Cli.EmbeddedModel, "--input", _folder.Path)).AssertBadInput("folder");
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("""{"model":{"type":"WordPiece","vocab":{}}}""")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}}""")]
    [InlineData("""{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}}""")]
    public async Task A_malformed_tokenizer_is_refused_with_the_file(string json) =>
        (await Cli.RunAsync("tokenize", "--tokenizer", _folder.Write("tokenizer.json", json))).AssertBadInput("tokenizer.json");

    [Fact]
    public async Task A_missing_tokenizer_is_refused()
    {
        (await Cli.RunAsync("tokenize", "--tokenizer", _folder["none.json"])).AssertBadInput("none.json");
        (await Cli.RunAsync("tokenize", "--tokenizer", "")).AssertBadInput("--tokenizer");
        (await Cli.RunAsync("tokenize", "--tokenizer", _folder.Path)).AssertBadInput("tokenizer.json");
    }

    private static int[] Ids(JsonElement line) => [.. line.GetProperty("ids").EnumerateArray().Select(value => value.GetInt32())];
}
