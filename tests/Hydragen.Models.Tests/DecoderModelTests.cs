using Hydragen.Core;

namespace Hydragen.Models.Tests;

public sealed class DecoderModelTests
{
    [Fact]
    public void Rows_of_several_sequences_and_pieces_do_not_influence_each_other()
    {
        using var folder = new TemporaryFolder();
        TinyLlama.Write(folder);
        using var backend = new ScalarBackend();
        using DecoderModel model = DecoderModel.Load(folder.Path, backend, ct: TestContext.Current.CancellationToken);
        int[] first = [1, 5, 3, 10, 7], second = [0, 9, 9];
        using KvCache cache = model.CreateKvCache(2);
        var builder = new AttentionPlanBuilder();
        builder.AddRows(0, 5);
        builder.AddRows(0, 3);
        builder.AddSegment(0, 5, [1], 0, 5, 0, AttentionMask.Causal);
        builder.AddSegment(5, 3, [0], 10, 3, 0, AttentionMask.Causal);
        var logits = new float[3 * TinyLlama.VocabularySize];
        model.Forward([.. first, .. second], [64, 65, 66, 67, 68, 10, 11, 12], builder.Build(), [7, 0, 4], cache, logits);
        float[] firstAlone = GoldenModel.Run(model, first, 2), secondAlone = GoldenModel.Run(model, second, 3);
        const int V = TinyLlama.VocabularySize;
        float[] expected = [.. secondAlone[(2 * V)..], .. firstAlone[..V], .. firstAlone[(4 * V)..]];
        Tolerance.AssertClose(expected, logits, 1e-6f);
    }

    [Fact]
    public void Logits_beyond_the_buffer_are_computed_in_pieces()
    {
        using var folder = new TemporaryFolder();
        const int NumTokens = 1 << 20;
        System.Text.Json.Nodes.JsonObject config = TinyLlama.Config();
        config["vocab_size"] = NumTokens;
        config["tie_word_embeddings"] = true;
        TinyLlama.Write(folder, config, tensors =>
        {
            tensors.Remove("lm_head.weight");
            tensors["model.embed_tokens.weight"] = TinyLlama.Tensor("model.embed_tokens.weight", [NumTokens, TinyLlama.HiddenSize]);
        });
        using var backend = new ScalarBackend();
        using DecoderModel model = DecoderModel.Load(
            folder.Path, backend, new DecoderOptions { MaxBatchRows = 20 }, ct: TestContext.Current.CancellationToken);
        using KvCache cache = model.CreateKvCache(1);
        var builder = new AttentionPlanBuilder();
        builder.AddRows(0, 2);
        builder.AddSegment(0, 2, [0], 0, 2, 0, AttentionMask.Causal);
        int[] rows = [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0];
        var logits = new float[rows.Length * NumTokens];
        model.Forward([1_000_000, 5], [0, 1], builder.Build(), rows, cache, logits);
        Assert.Equal(logits.AsSpan(0, NumTokens), logits.AsSpan(14 * NumTokens, NumTokens));
        Assert.Equal(logits.AsSpan(NumTokens, NumTokens), logits.AsSpan(16 * NumTokens, NumTokens));
        Assert.False(logits.AsSpan(0, NumTokens).SequenceEqual(logits.AsSpan(NumTokens, NumTokens)));
        Assert.All(rows.Select((_, i) => logits[(i + 1) * NumTokens - 1]), logit => Assert.NotEqual(0, logit));
    }

    [Fact]
    public void Bfloat16_activations_stay_close()
    {
        using var folder = new TemporaryFolder();
        TinyLlama.Write(folder);
        using var backend = new ScalarBackend();
        using DecoderModel single = DecoderModel.Load(folder.Path, backend, ct: TestContext.Current.CancellationToken);
        using DecoderModel half = DecoderModel.Load(
            folder.Path, backend, new DecoderOptions { ComputeType = ElementType.BFloat16 }, ct: TestContext.Current.CancellationToken);
        Assert.Equal(ElementType.BFloat16, half.KvCacheShape.ElementType);
        int[] ids = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5];
        float[] expected = GoldenModel.Run(single, ids, 11), actual = GoldenModel.Run(half, ids, 4);
        Tolerance.AssertClose(expected, actual, 0.05f);
        Assert.NotEqual(expected, actual);
    }

    [Fact]
    public void Arguments_that_do_not_fit_are_refused()
    {
        using var folder = new TemporaryFolder();
        TinyLlama.Write(folder);
        using var backend = new ScalarBackend();
        using DecoderModel model = DecoderModel.Load(folder.Path, backend, new DecoderOptions { MaxBatchRows = 3 }, ct: TestContext.Current.CancellationToken);
        using KvCache cache = model.CreateKvCache(1);
        using KvCache other = backend.CreateKvCache(model.KvCacheShape with { NumLayers = 1 }, 1);
        AttentionPlan plan = Plan(2);
        var logits = new float[TinyLlama.VocabularySize];
        model.Forward([1, 2], [0, 1], plan, [1], cache, logits);
        Assert.Throws<ArgumentException>(() => model.Forward([1, 2], [0, 1], plan, [1], cache, new float[3]));
        Assert.Throws<ArgumentException>(() => model.Forward([1, 2], [0, 1], plan, [2], cache, logits));
        Assert.Throws<ArgumentException>(() => model.Forward([1, 2], [0, 1], plan, [-1], cache, logits));
        Assert.Throws<ArgumentException>(() => model.Forward([1, TinyLlama.VocabularySize], [0, 1], plan, [1], cache, logits));
        Assert.Throws<ArgumentException>(() => model.Forward([1, -1], [0, 1], plan, [1], cache, logits));
        Assert.Throws<ArgumentException>(() => model.Forward([1, 2], [0, 64], plan, [1], cache, logits));
        Assert.Throws<ArgumentException>(() => model.Forward([1, 2], [0], plan, [1], cache, logits));
        Assert.Throws<ArgumentException>(() => model.Forward([1], [0], plan, [0], cache, logits));
        Assert.Throws<ArgumentException>(() => model.Forward([1, 2], [0, 1], plan, [1], other, logits));
        Assert.Throws<ArgumentException>(() => model.Forward([1, 2, 3, 4], [0, 1, 2, 3], Plan(4), [1], cache, logits));
        model.Forward([], [], Plan(0), [], cache, []);
        Assert.Throws<ArgumentOutOfRangeException>(() => new DecoderOptions { ComputeType = (ElementType)99 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new DecoderOptions { ComputeType = ElementType.Int8 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new DecoderOptions { KvType = (ElementType)99 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new DecoderOptions { PrefixKvType = (ElementType)99 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new DecoderOptions { MaxBatchRows = 0 });
    }

    private static AttentionPlan Plan(int numRows)
    {
        var builder = new AttentionPlanBuilder();
        builder.AddRows(0, numRows);
        builder.AddSegment(0, numRows, [0], 0, numRows, 0, AttentionMask.Causal);
        return builder.Build();
    }
}
