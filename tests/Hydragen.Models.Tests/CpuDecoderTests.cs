using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Models.Tests;

/// <summary>The forward pass on the CPU backend against the scalar oracle, at sizes that fit no vector.</summary>
public sealed class CpuDecoderTests
{
    [Theory]
    [InlineData("Llama", 16, 2, 1, 8, 5, 3, SafetensorsDtype.F32)]
    [InlineData("Llama", 120, 3, 3, 40, 97, 31, SafetensorsDtype.BF16)]
    [InlineData("Llama", 72, 3, 1, 24, 1, 1, SafetensorsDtype.F16)]
    [InlineData("Mistral", 33, 4, 2, 16, 101, 77, SafetensorsDtype.F32)]
    [InlineData("Qwen2", 35, 5, 1, 80, 67, 45, SafetensorsDtype.BF16)]
    [InlineData("Qwen3", 40, 8, 2, 24, 113, 17, SafetensorsDtype.F32)]
    [InlineData("Qwen3", 17, 32, 1, 256, 13, 19, SafetensorsDtype.BF16)]
    [InlineData("Phi3", 96, 4, 4, 24, 64, 50, SafetensorsDtype.BF16)]
    [InlineData("Gemma2", 48, 4, 2, 256, 33, 29, SafetensorsDtype.F32)]
    [InlineData("Gemma2", 56, 2, 1, 72, 127, 65, SafetensorsDtype.F16)]
    [InlineData("Granite", 65, 6, 3, 48, 71, 37, SafetensorsDtype.F32)]
    public void Odd_sizes_give_the_logits_of_the_oracle(
        string architecture, int hidden, int numHeads, int numKvHeads, int headDim, int vocabulary, int inner, SafetensorsDtype dtype)
    {
        using var folder = new TemporaryFolder();
        string window = architecture is "Mistral" or "Phi3" or "Gemma2" ? ", \"sliding_window\": 21" : "";
        RandomModel.Write(folder, $$"""
            {"architectures": ["{{architecture}}ForCausalLM"], "hidden_size": {{hidden}}, "num_attention_heads": {{numHeads}},
             "num_key_value_heads": {{numKvHeads}}, "head_dim": {{headDim}}, "vocab_size": {{vocabulary}}, "intermediate_size": {{inner}},
             "num_hidden_layers": 2{{window}}}
            """, dtype, seed: hidden);
        var random = new Random(7);
        int[] ids = [.. Enumerable.Range(0, 70).Select(_ => random.Next(vocabulary))];
        using var scalar = new ScalarBackend();
        using var cpu = new CpuBackend(new CpuOptions { NumThreads = 2 });
        using DecoderModel oracle = DecoderModel.Load(folder.Path, scalar, ct: TestContext.Current.CancellationToken);
        using DecoderModel model = DecoderModel.Load(folder.Path, cpu, ct: TestContext.Current.CancellationToken);
        float[] expected = GoldenModel.Run(oracle, ids, ids.Length);
        Tolerance.AssertClose(expected, GoldenModel.Run(model, ids, ids.Length), Tolerance.GoldenLogit);
        Tolerance.AssertClose(expected, GoldenModel.Run(model, ids, 9), Tolerance.GoldenLogit);
    }

    [Theory]
    [InlineData(ElementType.Float32)]
    [InlineData(ElementType.BFloat16)]
    public void A_decode_step_allocates_nothing(ElementType computeType)
    {
        using var golden = new GoldenModel("gemma2");
        using var backend = new CpuBackend(new CpuOptions { NumThreads = 2 });
        using DecoderModel model = DecoderModel.Load(
            golden.Folder, backend, new DecoderOptions { ComputeType = computeType }, ct: TestContext.Current.CancellationToken);
        using KvCache cache = model.CreateKvCache(3);
        var builder = new AttentionPlanBuilder();
        AttentionPlan plan = builder.Build();
        int[] ids = [5, 17], slots = new int[2], rows = [0, 1], shared = [0], own = [1, 2];
        var logits = new float[2 * model.Configuration.VocabularySize];
        builder.AddRows(0, 64);
        builder.AddSegment(0, 64, shared, 0, 64, 0, AttentionMask.Causal);
        model.Forward(new int[64], [.. Enumerable.Range(0, 64)], builder.Build(), [], cache, []);
        long allocated = 0;
        for (int step = 0; step < 60; step++)
        {
            if (step == 30) allocated = GC.GetAllocatedBytesForCurrentThread();
            builder.Clear();
            builder.AddRows(64 + step, 1);
            builder.AddRows(64 + step, 1);
            builder.AddSegment(0, 2, shared, 0, 64, 0, AttentionMask.Full);
            for (int i = 0; i < 2; i++)
            {
                builder.AddSegment(i, 1, own.AsSpan(i, 1), 0, step + 1, 64, AttentionMask.Full);
                slots[i] = own[i] * KvCache.PageSize + step;
            }
            builder.Build(plan);
            model.Forward(ids, slots, plan, rows, cache, logits);
        }
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - allocated);
        Assert.All(logits, logit => Assert.True(float.IsFinite(logit)));
    }
}
