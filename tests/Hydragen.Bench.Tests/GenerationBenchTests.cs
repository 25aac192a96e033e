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
    public async Task Every_mode_of_every_point_gives_a_line()
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
    public async Task Prefixes_have_a_type_of_their_own_and_are_not_copied_then()
    {
        BenchRun run = await BenchRun.RunAsync($"{Tiny} --batch 1,2 --prefix 70 --new-tokens 4 --kv-type int8 --prefix-kv-type bf16 --json");
        Assert.Equal(
            (string[])["1 hydragen", "1 paged", "1 no-attention", "2 hydragen", "2 paged", "2 no-attention"],
            run.Lines[1..^1].Select(line => $"{line.GetProperty("batch").GetInt32()} {line.GetProperty("mode").GetString()}"));
        foreach (JsonElement line in run.Lines[1..^1])
        {
            Assert.Equal(("int8", "bf16"), (line.GetProperty("kv_type").GetString(), line.GetProperty("prefix_kv_type").GetString()));
            // Pages of two layers with keys and values of two heads of 16 elements: one sequence has its prompt for itself.
            int batch = line.GetProperty("batch").GetInt32(), bytesPerHead = batch == 1 ? 2 * 18 : 2 * 32 + 2 * 18;
            Assert.Equal(KvCache.PageSize * 2 * 2 * 2 * bytesPerHead, line.GetProperty("kv_bytes").GetInt64());
        }
        Assert.Contains("does not go with --prefix-kv-type", (await BenchRun.RunAsync($"{Tiny} --prefix-kv-type int8 --modes hydragen,copied")).Error, StringComparison.Ordinal);
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
    [InlineData("generate --protocol dense", "--protocol must be custom, paper, needles or tree")]
    [InlineData("generate --protocol needles --batch 4", "--batch does not go with --protocol needles")]
    [InlineData("generate --protocol paper --suffix 4", "--suffix does not go with --protocol paper")]
    [InlineData("generate --questions 4", "--questions does not go with --protocol custom")]
    [InlineData("generate --protocol tree --new-tokens 4,5", "--new-tokens takes one number with --protocol tree")]
    [InlineData("generate --protocol paper --modes one-level", "--modes one-level does not go with --protocol paper")]
    [InlineData("generate --protocol needles --random-model 1,16,1,1,16,50 --threads 1", "needs a model with a tokenizer")]
    [InlineData("generate --protocol needles --document-tokens 16380 --questions 2", "the model's context holds")]
    [InlineData("generate --protocol needles --document-tokens 3", "--document-tokens 3")]
    [InlineData("generate --resume /no/such/folder/x.jsonl", "its folder does not exist")]
    [InlineData("generate --new-tokens 1", "--new-tokens takes numbers from 2")]
    [InlineData("generate --batch many", "--batch takes numbers like")]
    [InlineData("generate --modes dense", "--modes takes some of hydragen,paged,copied,no-attention,one-level")]
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
    public async Task Random_models_have_the_shapes_of_their_names_and_the_output_says_that_they_are_random()
    {
        Assert.Equal(13.02, ModelSize.Named["codellama-13b"].NumWeights / 1e9, 0.01);
        Assert.Equal(6.74, ModelSize.Named["codellama-7b"].NumWeights / 1e9, 0.01);
        Assert.Equal(33.74, ModelSize.Named["codellama-34b"].NumWeights / 1e9, 0.01);
        Assert.Equal(8.03, ModelSize.Named["llama3-8b"].NumWeights / 1e9, 0.01);
        BenchRun run = await BenchRun.RunAsync($"{Tiny} --batch 1 --prefix 5 --new-tokens 2 --modes hydragen");
        Assert.Contains("random 2,64,4,2,96,300 (BF16", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_random_model_has_as_many_weights_as_its_size_says_and_no_two_of_its_matrices_are_alike()
    {
        var size = new ModelSize(NumLayers: 2, HiddenSize: 64, NumHeads: 4, NumKvHeads: 2, IntermediateSize: 96, VocabularySize: 300);
        using WeightStore store = RandomModel.Weights(size);
        Assert.Equal(size.NumWeights, store.Tensors.Values.Sum(tensor => tensor.Tensor.Shape.Aggregate(1L, (product, extent) => product * extent)));
        var beginnings = new HashSet<string>();
        foreach ((string name, WeightTensor tensor) in store.Tensors)
        {
            if (name.Contains("norm", StringComparison.Ordinal)) continue;
            var values = new float[64];
            tensor.File.ReadSingles(tensor.Tensor, 0, values);
            Assert.True(beginnings.Add(string.Join(' ', values)), name);
            Assert.DoesNotContain(0f, values);

            // Reading from any place on gives the same numbers as reading from the start.
            var later = new float[32];
            tensor.File.ReadSingles(tensor.Tensor, 32, later);
            Assert.Equal(values[32..], later);
        }
    }

    [Fact]
    public void Work_counts_weights_attention_and_bytes_of_every_token_but_the_first()
    {
        var size = new ModelSize(2, 64, 4, 2, 96, 300);
        ModelConfiguration configuration = RandomModel.Configuration(size, contextLength: 128);
        ModelWork work = ModelWork.Of(configuration, weightBytes: 1000, kvBytes: 10);
        var cell = new GenerationCell(Batch: 3, Prefix: 10, Suffix: 2, NewTokens: 5);
        long layerWeights = 2 * (64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 64 * 96), matrixWeights = 300 * 64 + layerWeights;
        double flops = 0, shared = 0, copied = 0;
        for (int token = 1; token < cell.NewTokens; token++)
        {
            flops += cell.Batch * (2.0 * matrixWeights + 2 * 4.0 * 4 * 16 * (cell.Prefix + cell.Suffix + token));
            shared += 1000 + 10 * (cell.Prefix + cell.Batch * (cell.Suffix + token));
            copied += 1000 + 10 * cell.Batch * (cell.Prefix + cell.Suffix + token);
        }
        Assert.Equal(flops, work.DecodeFlops(cell, SharingMode.Hydragen), flops * 1e-9);
        Assert.Equal(3 * 4 * 2.0 * matrixWeights, work.DecodeFlops(cell, SharingMode.NoAttention), 1);
        Assert.Equal(shared, work.DecodeBytes(cell, SharingMode.Hydragen), 1e-6);
        Assert.Equal(copied, work.DecodeBytes(cell, SharingMode.Paged), 1e-6);
        Assert.Equal(4 * 1000, work.DecodeBytes(cell, SharingMode.NoAttention), 1e-6);

        double prefill = 0;
        for (int position = 6; position < 9; position++) prefill += 2.0 * layerWeights + 2 * 4.0 * 4 * 16 * (position + 1);
        Assert.Equal(prefill, work.PrefillFlops(6, 3, SharingMode.Copied), prefill * 1e-9);
        Assert.Equal(3 * 2.0 * layerWeights, work.PrefillFlops(6, 3, SharingMode.NoAttention), 1e-3);
    }
}
