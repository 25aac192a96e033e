using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cuda.Tests;

/// <summary>The cache, read through attention: a query that sees one token only yields its value.</summary>
[Collection(nameof(ConformanceTests))]
public sealed class CudaKvCacheTests
{
    private const int TokenSize = 3 * 24;

    private static readonly AttentionShape Shape = new(3, 3, 24);

    public static TheoryData<ElementType, int, int, int> Copies
    {
        get
        {
            var copies = new TheoryData<ElementType, int, int, int>();
            foreach (ElementType type in ElementTypes.All)
            {
                foreach ((int source, int destination, int count) in ((int, int, int)[])[
                    (0, 64, 64), (5, 84, 30), (3, 10, 40), (10, 3, 40), (63, 127, 1), (7, 7, 20), (0, 70, 0)])
                {
                    copies.Add(type, source, destination, count);
                }
            }
            return copies;
        }
    }

    [Theory]
    [InlineData(ElementType.Float32)]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Float16)]
    [InlineData(ElementType.Int8)]
    public void Growing_keeps_the_content(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        using KvCache cache = backend.CreateKvCache(new KvCacheShape(2, 3, 24, type), 2);
        float[] value = Write(cache, 1);
        foreach (int numPages in (int[])[3, 4, 50, 700, 10])
        {
            cache.Reserve(numPages);
            Assert.True(cache.NumPages >= numPages);
            Assert.Equal(value, ReadValues(backend, cache, 1));
        }
        Assert.Equal(700, cache.NumPages);
    }

    [Theory]
    [MemberData(nameof(Copies))]
    public void Tokens_are_copied_in_all_layers(ElementType type, int source, int destination, int numTokens)
    {
        using CudaBackend backend = Gpu.Open();
        using KvCache cache = backend.CreateKvCache(new KvCacheShape(2, 3, 24, type), 2);
        float[][] layers = [Write(cache, 0), Write(cache, 1)];
        cache.Copy(source, destination, numTokens);
        for (int layer = 0; layer < 2; layer++)
        {
            float[] expected = [.. layers[layer]];
            layers[layer].AsSpan(source * TokenSize, numTokens * TokenSize).CopyTo(expected.AsSpan(destination * TokenSize));
            Assert.Equal(expected, ReadValues(backend, cache, layer));
        }
    }

    [Fact]
    public void A_copied_key_scores_like_its_source()
    {
        using CudaBackend backend = Gpu.Open();
        foreach (ElementType type in ElementTypes.All)
        {
            var scenario = new Scenario(Shape, 3) { Type = type };
            scenario.AddSequence(-1, 1, 60);
            scenario.Fill();
            using KvCache cache = scenario.CreateCache(backend);
            AttentionPlan plan = scenario.Plan();
            (float[] expected, float[] expectedLogs) = scenario.Run(backend, plan, cache);
            // All tokens move up by three places within their page.
            int first = scenario.Sequences[0].Pages.Span[0] * KvCache.PageSize;
            cache.Copy(first, first + 3, 60);
            var builder = new AttentionPlanBuilder();
            builder.AddRows(59, 1);
            builder.AddSegment(0, 1, scenario.Sequences[0].Pages.Span, 3, 60, 0, AttentionMask.Full);
            (float[] output, float[] logs) = scenario.Run(backend, builder.Build(), cache);
            for (int i = 0; i < logs.Length; i++) Assert.Equal(expectedLogs[i], logs[i], Tolerance.LogSumExp * Math.Max(1, Math.Abs(expectedLogs[i])));
            // Weights may be rounded relative to another maximum than before.
            for (int i = 0; i < output.Length; i++)
                Assert.Equal(expected[i], output[i], Tolerance.Attention + 2 * Tolerance.RoundedWeights(2, scenario.WeightType(backend)));
        }
    }

    [Fact]
    public void Ranges_outside_a_page_or_the_cache_are_refused()
    {
        using CudaBackend backend = Gpu.Open();
        using KvCache cache = backend.CreateKvCache(new KvCacheShape(2, 3, 24, ElementType.BFloat16), 2);
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Copy(60, 0, 5));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Copy(0, 128, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Write(0, [128], new float[72], new float[72]));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Write(2, [1], new float[72], new float[72]));
        Assert.Throws<ArgumentException>(() => cache.Write(0, [1], new float[72], new float[71]));
        Assert.Equal(2 * 3 * 2 * 64 * 32 * 2, cache.BytesPerPage);
    }

    [Fact]
    public void A_cache_too_large_for_the_device_is_refused_and_unchanged()
    {
        using CudaBackend backend = Gpu.Open();
        using KvCache cache = backend.CreateKvCache(new KvCacheShape(2, 3, 24, ElementType.BFloat16), 2);
        float[] value = Write(cache, 1);
        Assert.Throws<InsufficientMemoryException>(() => cache.Reserve(int.MaxValue / 8));
        Assert.Equal(2, cache.NumPages);
        Assert.Equal(value, ReadValues(backend, cache, 1));
    }

    private static float[] Write(KvCache cache, int layer)
    {
        var random = new Random(layer);
        int[] slots = [.. Enumerable.Range(0, 2 * KvCache.PageSize)];
        float[] value = RandomTensors.Normal(random, slots.Length * TokenSize);
        KvRounding.Round(value, Shape.HeadDim, cache.Shape.ElementType);
        // In reverse, so that the order of slots matters.
        Array.Reverse(slots);
        cache.Write(layer, slots, RandomTensors.Normal(random, value.Length), Reverse(value));
        return value;
    }

    // Bytes meet FP32 queries, so that levels times scales are exact.
    private static ElementType QueryTypeFor(KvCache cache) => cache.Shape.ElementType.IsByte() ? ElementType.Float32 : cache.Shape.ElementType;

    private static float[] Reverse(float[] tokens) => [.. tokens.Chunk(TokenSize).Reverse().SelectMany(token => token)];

    /// <summary>Every token's value: row r sees token r alone.</summary>
    private static float[] ReadValues(CudaBackend backend, KvCache cache, int layer)
    {
        var builder = new AttentionPlanBuilder();
        for (int token = 0; token < 2 * KvCache.PageSize; token++)
        {
            builder.AddRows(token, 1);
            builder.AddSegment(token, 1, [token / KvCache.PageSize], token % KvCache.PageSize, 1, token, AttentionMask.Full);
        }
        AttentionPlan plan = builder.Build();
        using DeviceBuffer query = backend.Allocate(QueryTypeFor(cache), plan.NumRows * TokenSize);
        using DeviceBuffer output = backend.Allocate(ElementType.Float32, plan.NumRows * TokenSize);
        query.Upload(RandomTensors.Normal(new Random(9), plan.NumRows * TokenSize));
        backend.Attention(plan, Shape, AttentionOptions.Default, query, cache, layer, output, null);
        var values = new float[plan.NumRows * TokenSize];
        output.Download(values);
        return values;
    }
}
