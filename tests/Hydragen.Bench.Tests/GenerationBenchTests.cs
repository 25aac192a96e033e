using System.Text.Json;
using Hydragen.Cli;
using Hydragen.Cli.Bench;
using Hydragen.Core;
using Hydragen.Models;

namespace Hydragen.Bench.Tests;

public sealed class GenerationBenchTests
{
    private const string Tiny = "generate --random-model 2,64,4,2,96,300 --threads 2 --repeats 1";

    [Fact]
    public async Task Every_mode_of_every_point_gives_a_line_and_the_random_model_leaves_nothing_behind()
    {
        BenchRun run = await BenchRun.RunAsync($"{Tiny} --batch 1,5 --prefix 70 --new-tokens 4 --compute-type bf16 --json");
        JsonElement[] lines = run.Lines;
        Assert.Equal("header", lines[0].GetProperty("type").GetString());
        Assert.Equal(
            (string[])["1 hydragen", "1 paged", "1 copied", "1 no-attention", "5 hydragen", "5 paged", "5 copied", "5 no-attention"],
            lines[1..^1].Select(line => $"{line.GetProperty("batch").GetInt32()} {line.GetProperty("mode").GetString()}"));
        foreach (JsonElement line in lines[1..^1])
        {
            Assert.Equal("model", line.GetProperty("weight_type").GetString());
            Assert.True(line.GetProperty("decode_tokens_per_second").GetProperty("median").GetDouble() > 0);
            Assert.True(line.GetProperty("prefill_tokens_per_second").GetProperty("median").GetDouble() > 0);
            bool isCopied = line.GetProperty("mode").GetString() == "copied";
            int batch = line.GetProperty("batch").GetInt32();
            Assert.Equal(isCopied ? batch * 74 : 70 + batch * 4, line.GetProperty("kv_tokens").GetInt32());
        }
        Assert.Contains("S_TG t/s", run.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("int8", 18)]
    [InlineData("fp8-e4m3", 16)]
    [InlineData("bf16", 32)]
    public async Task Keys_and_values_have_a_type_of_their_own(string kvType, int bytesPerHead)
    {
        BenchRun run = await BenchRun.RunAsync($"{Tiny} --batch 2 --prefix 70 --new-tokens 4 --kv-type {kvType} --compute-type bf16 --modes hydragen --json");
        Assert.Equal(("bf16", kvType), (run.Lines[1].GetProperty("compute_type").GetString(), run.Lines[1].GetProperty("kv_type").GetString()));
        // Four pages of two layers with keys and values of two heads of 16 elements.
        Assert.Equal(4 * KvCache.PageSize * 2 * 2 * 2 * bytesPerHead, run.Lines[1].GetProperty("kv_bytes").GetInt64());
    }

    [Fact]
    public async Task Weights_can_be_INT8()
    {
        BenchRun run = await BenchRun.RunAsync($"{Tiny} --batch 2 --prefix 70 --new-tokens 4 --weight-type int8 --modes hydragen --json");
        Assert.Equal("int8", run.Lines[1].GetProperty("weight_type").GetString());
        Assert.True(run.Lines[1].GetProperty("decode_tokens_per_second").GetProperty("median").GetDouble() > 0);
    }

    [Fact]
    public async Task Prompts_of_the_sequences_own_are_computed_and_kept_for_each()
    {
        BenchRun run = await BenchRun.RunAsync($"{Tiny} --batch 3 --prefix 70 --suffix 0,20 --new-tokens 4 --modes hydragen,copied --json");
        Assert.Equal(
            (string[])["0 hydragen 82", "0 copied 222", "20 hydragen 142", "20 copied 282"],
            run.Lines[1..^1].Select(line =>
                $"{line.GetProperty("suffix").GetInt32()} {line.GetProperty("mode").GetString()} {line.GetProperty("kv_tokens").GetInt32()}"));
        // Computed tokens are those of the shared prompt, once, and of the three others.
        JsonElement own = run.Lines[3];
        Assert.Equal(
            70 + 3 * 20, own.GetProperty("prefill_tokens_per_second").GetProperty("median").GetDouble() * own.GetProperty("prefill_seconds")[0].GetDouble(), 1e-6);
    }

    [Fact]
    public async Task The_embedded_model_is_the_default()
    {
        BenchRun run = await BenchRun.RunAsync("generate --batch 2 --prefix 32 --new-tokens 2 --repeats 1 --modes hydragen --json");
        Assert.Equal("embedded", run.Lines[1].GetProperty("model").GetString());
    }

    [Fact]
    public async Task Lists_that_are_not_given_have_the_values_that_the_help_names()
    {
        BenchRun run = await BenchRun.RunAsync("generate --random-model 1,16,1,1,16,50 --threads 1 --repeats 1 --modes no-attention --json");
        Assert.Equal(
            from prefix in (int[])[1024, 4096] from batch in (int[])[1, 8, 32, 64] select (batch, prefix, 32),
            run.Lines[1..^1].Select(line => (
                line.GetProperty("batch").GetInt32(), line.GetProperty("prefix").GetInt32(), line.GetProperty("new_tokens").GetInt32())));
    }

    [Fact]
    public async Task What_does_not_fit_is_listed()
    {
        BenchRun run = await BenchRun.RunAsync($"{Tiny} --batch 64 --prefix 256 --new-tokens 4 --modes hydragen,copied --max-kv-memory 8 --json");
        Assert.True(run.Lines[1].TryGetProperty("decode_seconds", out _));
        Assert.Contains("MiB", run.Lines[2].GetProperty("skipped").GetString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("generate --random-model 1,2,3", "--random-model takes six numbers")]
    [InlineData("generate --random-model 1,64,5,1,64,100", "5 heads do not divide")]
    [InlineData("generate --random-model 1,64,4,3,64,100", "divide the 4 query heads")]
    [InlineData("generate --random-model 1,64,4,2,64,100 --model embedded", "not both")]
    [InlineData("generate --model /no/such/folder", "There is no model folder")]
    [InlineData("generate --new-tokens 1", "--new-tokens takes numbers from 2")]
    [InlineData("generate --batch many", "--batch takes numbers like")]
    [InlineData("generate --modes dense", "--modes takes some of hydragen,paged,copied,no-attention")]
    public async Task Bad_values_are_refused_in_one_line(string arguments, string part)
    {
        BenchRun run = await BenchRun.RunAsync(arguments);
        run.AssertBadInput(part);
    }

    [Fact]
    public async Task A_prompt_longer_than_the_models_context_is_refused()
    {
        BenchRun run = await BenchRun.RunAsync("generate --prefix 1000000 --batch 1");
        run.AssertBadInput("the model's context holds");
    }

    [Fact]
    public void A_random_model_has_as_many_weights_as_its_size_says_and_none_of_its_rows_are_alike()
    {
        var size = new ModelSize(NumLayers: 2, HiddenSize: 64, NumHeads: 4, NumKvHeads: 2, IntermediateSize: 96, VocabularySize: 300);
        using RandomModel model = RandomModel.Write(size, contextLength: 128);
        ModelConfiguration configuration = ModelConfiguration.Load(model.Folder);
        Assert.Equal(new AttentionShape(4, 2, 16), configuration.Heads);
        Assert.Equal(128, configuration.MaxContextLength);
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(model.Folder, "model.safetensors"));
        Assert.Equal(size.NumWeights, file.Tensors.Values.Sum(tensor => tensor.Shape.ToArray().Aggregate(1L, (product, extent) => product * extent)));
    }

    [Fact]
    public void Decode_work_counts_weights_and_attention_of_every_token_but_the_first()
    {
        var size = new ModelSize(2, 64, 4, 2, 96, 300);
        using RandomModel model = RandomModel.Write(size, contextLength: 128);
        ModelConfiguration configuration = ModelConfiguration.Load(model.Folder);
        var cell = new GenerationCell(Batch: 3, Prefix: 10, Suffix: 2, NewTokens: 5);
        long matrixWeights = 300 * 64 + 2 * (64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 64 * 96);
        double expected = 0;
        for (int token = 1; token < cell.NewTokens; token++)
            expected += cell.Batch * (2.0 * matrixWeights + 2 * 4.0 * 4 * 16 * (cell.Prefix + cell.Suffix + token));
        Assert.Equal(expected, GenerationSetup.DecodeFlops(configuration, cell, SharingMode.Hydragen), expected * 1e-9);
        Assert.Equal(3 * 4 * 2.0 * matrixWeights, GenerationSetup.DecodeFlops(configuration, cell, SharingMode.NoAttention), 1);
    }
}
