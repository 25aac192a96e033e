using System.Runtime.InteropServices;
using System.Text.Json;
using Hydragen.Models;

namespace Hydragen.Cli.Tests;

/// <summary>The embedded model, from the command line, against transformers in FP32.</summary>
public sealed class GoldenReaderTests : IDisposable
{
    /// <summary>Both sides compute in FP32 over BF16 weights; sums differ in order only.</summary>
    private const float LogitTolerance = 2e-3f;

    private readonly TemporaryFolder _folder = new();
    private readonly GoldenReader _golden = GoldenReader.Load();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Document_and_questions_have_the_same_ids()
    {
        CliResult document = await Cli.RunWithInputAsync(
            JsonSerializer.Serialize(new { text = _golden.Document }), "tokenize", "--tokenizer", Cli.EmbeddedModel, "--special");
        Assert.Equal(_golden.DocumentIds, Ids(Assert.Single(document.Lines)));
        CliResult prompts = await Cli.RunWithInputAsync(
            string.Join('\n', _golden.Cases.Select(item => JsonSerializer.Serialize(new { text = item.Prompt }))), "tokenize", "--tokenizer", Cli.EmbeddedModel);
        Assert.Equal(_golden.Cases.Select(item => item.PromptIds), prompts.Lines.Select(Ids));
    }

    [Theory]
    [InlineData("hydragen", "f32", "model")]
    [InlineData("paged", "f32", "model")]
    [InlineData("copied", "f32", "model")]
    [InlineData("hydragen", "bf16", "model")]
    [InlineData("copied", "bf16", "model")]
    [InlineData("hydragen", "f32", "int8")]
    [InlineData("copied", "bf16", "int8")]
    [InlineData("hydragen", "f32", "model", "int8")]
    [InlineData("hydragen", "bf16", "model", "fp8-e4m3")]
    [InlineData("copied", "f32", "model", "fp8-e5m2")]
    [InlineData("hydragen", "f32", "model", "auto", "int8")]
    [InlineData("hydragen", "bf16", "model", "int8", "bf16")]
    public async Task Greedy_answers_have_the_same_ids(string sharing, string computeType, string weightType, string kvType = "auto", string prefixKvType = "auto")
    {
        string tree = _folder.Write("tree.json", JsonSerializer.Serialize(new
        {
            text = _golden.Document,
            children = _golden.Cases.Select(item => new { text = item.Prompt }),
        }));
        CliResult result = await Cli.GenerateAsync(
            "--tree", tree, "--sharing", sharing, "--compute-type", computeType, "--weight-type", weightType, "--kv-type", kvType, "--prefix-kv-type", prefixKvType, "--max-new-tokens", $"{_golden.Cases.Max(item => item.AnswerIds.Count)}");
        JsonElement[] lines = result.Lines;
        Assert.Equal(_golden.Cases.Count, lines.Length);
        for (int i = 0; i < lines.Length; i++)
        {
            // The golden answers end with their line; what follows it is not compared.
            IReadOnlyList<int> expected = _golden.Cases[i].AnswerIds;
            Assert.Equal(expected, Ids(lines[i]).Take(expected.Count));
        }
    }

    [Fact]
    public async Task The_logits_of_the_first_token_are_the_same()
    {
        string logitsPath = _folder["logits.safetensors"];
        string input = string.Join('\n', _golden.Cases.Select(item => JsonSerializer.Serialize(new { ids = _golden.DocumentIds.Concat(item.PromptIds) })));
        (await Cli.RunWithInputAsync(input, "score", "--model", Cli.EmbeddedModel, "--logits", logitsPath)).AssertSuccess();
        using SafetensorsFile file = SafetensorsFile.Open(logitsPath);
        for (int i = 0; i < _golden.Cases.Count; i++)
        {
            GoldenReaderCase item = _golden.Cases[i];
            SafetensorsTensor tensor = file.Tensors[$"logits.{i}"];
            var last = new float[tensor.Shape[1]];
            file.Read(tensor, (tensor.Shape[0] - 1) * tensor.Shape[1] * sizeof(float), MemoryMarshal.AsBytes(last.AsSpan()));
            int[] order = [.. Enumerable.Range(0, last.Length).OrderByDescending(id => last[id]).Take(item.FirstTopIds.Count)];
            Assert.Equal(item.FirstTopIds[0], order[0]);
            for (int k = 0; k < item.FirstTopIds.Count; k++)
            {
                Assert.Equal(item.FirstTopLogits[k], last[item.FirstTopIds[k]], LogitTolerance);
                Assert.Equal(item.FirstTopLogits[k], last[order[k]], LogitTolerance);
            }
        }
    }

    private static int[] Ids(JsonElement line) => [.. line.GetProperty("ids").EnumerateArray().Select(value => value.GetInt32())];
}
