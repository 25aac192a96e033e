using System.Runtime.InteropServices;
using System.Text.Json;
using Hydragen.Models;

namespace Hydragen.Cli.Tests;

public sealed class ScoreTests : IDisposable
{
    private const int VocabularySize = 1571;
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Log_probabilities_are_the_log_softmax_of_the_logits_and_both_are_the_engines()
    {
        int[][] inputs = [[0, 20, 30, 40], [0, 20, 30, 41, 42], [7]];
        string path = _folder["logits.safetensors"];
        CliResult result = await Cli.RunWithInputAsync(
            string.Join("\n", inputs.Select(ids => JsonSerializer.Serialize(new { ids }))), "score", "--model", Cli.EmbeddedModel, "--logits", path);
        JsonElement[] lines = result.Lines;
        Assert.Equal(3, lines.Length);

        var expected = new float[inputs.Length][];
        await using (LanguageModel model = await LanguageModel.LoadAsync(Cli.EmbeddedModel, cancellationToken: TestContext.Current.CancellationToken))
            model.Engine.Score(inputs, scored => expected[scored.InputIndex] = scored.Logits!, keepLogits: true, cancellationToken: TestContext.Current.CancellationToken);

        using SafetensorsFile file = SafetensorsFile.Open(path);
        Assert.Equal(inputs.Length, file.Tensors.Count);
        for (int i = 0; i < inputs.Length; i++)
        {
            Assert.Equal(["ids", "logprobs"], lines[i].EnumerateObject().Select(property => property.Name));
            Assert.Equal(inputs[i], lines[i].GetProperty("ids").EnumerateArray().Select(value => value.GetInt32()));
            SafetensorsTensor tensor = file.Tensors[$"logits.{i}"];
            Assert.Equal([inputs[i].Length, VocabularySize], tensor.Shape.ToArray());
            var logits = new float[inputs[i].Length * VocabularySize];
            file.Read(tensor, 0, MemoryMarshal.AsBytes(logits.AsSpan()));
            Assert.Equal(expected[i], logits);

            JsonElement[] logProbabilities = [.. lines[i].GetProperty("logprobs").EnumerateArray()];
            Assert.Equal(inputs[i].Length, logProbabilities.Length);
            Assert.Equal(JsonValueKind.Null, logProbabilities[0].ValueKind);
            for (int token = 1; token < inputs[i].Length; token++)
                Assert.Equal(LogSoftmax(logits.AsSpan((token - 1) * VocabularySize, VocabularySize), inputs[i][token]), logProbabilities[token].GetDouble(), 1e-4);
        }
    }

    [Fact]
    public async Task INT8_weights_move_the_log_probabilities_a_little()
    {
        string[] args = ["score", "--model", Cli.EmbeddedModel];
        const string input = """{"text":"These are the facts."}""";
        double[] Probabilities(CliResult result) =>
            [.. Assert.Single(result.Lines).GetProperty("logprobs").EnumerateArray().Skip(1).Select(value => value.GetDouble())];
        double[] stored = Probabilities(await Cli.RunWithInputAsync(input, args));
        double[] rounded = Probabilities(await Cli.RunWithInputAsync(input, [.. args, "--weight-type", "int8"]));
        Assert.NotEqual(stored, rounded);
        for (int i = 0; i < stored.Length; i++) Assert.Equal(stored[i], rounded[i], 1.0);
    }

    [Fact]
    public async Task Text_is_scored_with_the_special_tokens_of_the_model()
    {
        CliResult result = await Cli.RunWithInputAsync("""{"text":"These are"}""", "score", "--model", Cli.EmbeddedModel);
        CliResult ids = await Cli.RunWithInputAsync("""{"text":"These are"}""", "tokenize", "--tokenizer", Cli.EmbeddedModel, "--special");
        Assert.Equal(
            Assert.Single(ids.Lines).GetProperty("ids").GetRawText(), Assert.Single(result.Lines).GetProperty("ids").GetRawText());
    }

    [Fact]
    public async Task Blank_lines_line_ends_and_a_byte_order_mark_do_not_count()
    {
        string input = _folder.Write("in.jsonl", [0xEF, 0xBB, 0xBF, .. "\r\n{\"ids\":[1,2]}\r\n\n{\"ids\":[3]}"u8]);
        Assert.Equal(2, (await Cli.RunAsync("score", "--model", Cli.EmbeddedModel, "--input", input)).Lines.Length);
    }

    [Theory]
    [InlineData("", "no line to score")]
    [InlineData("""{"ids":[1]}x""", "not valid JSON")]
    [InlineData("""{"ids":[1],"ids":[2]}""", "Duplicate")]
    [InlineData("""{"ids":[1],"text":"a"}""", "either")]
    [InlineData("{}", "either")]
    [InlineData("""{"ids":[]}""", "no token")]
    [InlineData("""{"ids":[1571]}""", "outside the vocabulary")]
    [InlineData("""{"ids":[-5]}""", "outside the vocabulary")]
    [InlineData("""{"text":"\udc00"}""", "not valid Unicode")]
    public async Task A_wrong_line_is_refused(string line, string mistake) =>
        (await Cli.RunAsync("score", "--model", Cli.EmbeddedModel, "--input", _folder.Write("in.jsonl", line))).AssertBadInput(mistake, "in.jsonl");

    [Fact]
    public async Task A_sequence_longer_than_the_context_is_refused() =>
        (await Cli.RunWithInputAsync(JsonSerializer.Serialize(new { ids = new int[16385] }), "score", "--model", Cli.EmbeddedModel))
            .AssertBadInput("16385", "16384");

    [Fact]
    public async Task An_output_that_cannot_be_written_is_refused_before_the_model_is_loaded()
    {
        string input = _folder.Write("in.jsonl", """{"ids":[1]}""");
        string[] start = ["score", "--model", _folder["no-model"], "--input", input, "--logits"];
        (await Cli.RunAsync([.. start, _folder["none/x.safetensors"]])).AssertBadInput("its folder does not exist");
        (await Cli.RunAsync([.. start, _folder.Path])).AssertBadInput("it is a folder");
        (await Cli.RunAsync([.. start, ""])).AssertBadInput("empty");
        (await Cli.RunAsync([.. start, input])).AssertBadInput("also the input");
        Assert.Equal("""{"ids":[1]}""", await File.ReadAllTextAsync(input, TestContext.Current.CancellationToken));
    }

    private static double LogSoftmax(ReadOnlySpan<float> logits, int token)
    {
        double max = double.NegativeInfinity, sum = 0;
        foreach (float logit in logits) max = Math.Max(max, logit);
        foreach (float logit in logits) sum += Math.Exp(logit - max);
        return logits[token] - max - Math.Log(sum);
    }
}
