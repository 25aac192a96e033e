using Hydragen.Core;

namespace Hydragen.Testing;

/// <summary>What every backend must do with scales of FP8 keys and values. Each method fails by an assertion; <c>type</c> is FP8.</summary>
public static class KvScaleConformance
{
    private static readonly KvScale[] Two = [new(1024, 64), new(1, 4096)];

    /// <summary>The types.</summary>
    public static IEnumerable<ElementType> Types => [ElementType.Float8E4M3, ElementType.Float8E5M2];

    /// <summary>The type of all keys and values, and beside it some of sequences and of prefixes.</summary>
    public static IEnumerable<(ElementType Suffix, ElementType Prefix)> MixedTypes =>
    [
        (ElementType.Float8E4M3, ElementType.Float8E4M3),
        (ElementType.Float8E5M2, ElementType.Float8E5M2),
        (ElementType.Float8E4M3, ElementType.Float8E5M2),
        (ElementType.BFloat16, ElementType.Float8E4M3),
        (ElementType.Float8E5M2, ElementType.BFloat16),
    ];

    /// <summary>Few and many vectors, whole pages and parts, one result a row and several, folded nodes, with and without options.</summary>
    public static void Attention(IAttentionBackend backend, ElementType suffixType, ElementType prefixType, ElementType queryType)
    {
        var limited = new AttentionOptions { SlidingWindow = 90, LogitSoftCap = 20 };
        var biased = new AttentionOptions { LogitSoftCap = 20, AlibiSlopes = AlibiSlopes.ForHeads(4) };
        (int HeadDim, int NumMany, AttentionOptions Options)[] cases =
        [
            (24, 3, limited), (64, 3, biased), (64, 70, AttentionOptions.Default), (64, 3, new AttentionOptions { Scale = -0.1f }),
            (128, 3, AttentionOptions.Default), (128, 70, limited with { LogitSoftCap = null }), (128, 40, biased), (256, 3, AttentionOptions.Default),
        ];
        foreach ((int headDim, int numMany, AttentionOptions options) in cases)
        {
            var scenario = new Scenario(new AttentionShape(4, 2, headDim), headDim)
            {
                KvType = suffixType,
                PrefixKvType = prefixType,
                QueryType = queryType,
                Options = options,
            };
            int root = scenario.AddNode(-1, 300), child = scenario.AddNode(root, 70), leaf = scenario.AddNode(child, 0);
            scenario.AddSequence(-1, 2, 70);
            for (int i = 0; i < numMany; i++) scenario.AddSequence(root, 1, i % 5 * 16);
            scenario.AddSequence(child, 9, 80);
            scenario.AddSequence(leaf, 3, 5);
            scenario.Fill();
            MovesNothing(backend, scenario, SharingMode.Hydragen, Two);
            if (headDim == 64) MovesNothing(backend, scenario, SharingMode.Paged, Two);
        }
    }

    /// <summary>Long keys, whose partial results are many, of one sequence and of some that share them.</summary>
    public static void Splits(IAttentionBackend backend, ElementType type, ElementType queryType)
    {
        foreach (int numSequences in (int[])[1, 5, 40])
        {
            var scenario = new Scenario(new AttentionShape(8, 2, 64), numSequences) { KvType = type, QueryType = queryType };
            int root = scenario.AddNode(-1, 2100);
            for (int i = 0; i < numSequences; i++) scenario.AddSequence(root, 1, i % 3 * 700);
            scenario.AddSequence(root, 130, 150);
            MovesNothing(backend, scenario.Fill(), SharingMode.Hydragen, Two);
        }
    }

    /// <summary>Scales of 1 are as if there were none, bit for bit, whatever the keys and values.</summary>
    public static void ScalesOfOne(IAttentionBackend backend, ElementType type)
    {
        var scenario = new Scenario(new AttentionShape(4, 2, 64), 3) { Type = type, ValueMean = 300 };
        int root = scenario.AddNode(-1, 300);
        for (int i = 0; i < 9; i++) scenario.AddSequence(root, 1, 7 * i);
        MovesNothing(backend, scenario.Fill(), SharingMode.Hydragen, KvScale.One, KvScale.One);
    }

    /// <summary>What is stored is what the host rounds to, bit for bit: subnormal numbers, ties, NaN and infinities, and what saturates.</summary>
    public static void Rounding(IAttentionBackend backend, ElementType type)
    {
        var shape = new AttentionShape(2, 2, 16);
        KvScale[] scales = [new(1, 8), new(1, KvScale.Largest / 1024)];
        float[] numbers =
        [
            0, -0f, 1, -1.0625f, 447, 464, 480, 1e5f, 1e-3f, 3e-6f, -7e-6f, 1e-38f, 1e-44f, 57344, 61440, -1e9f, 3e38f, -3e38f, float.PositiveInfinity,
            float.NegativeInfinity, float.NaN, 1.1875f, 1.3125f, 0.0009765625f, 0.0029296875f, 3584, 3712, 1e30f, -2.5e33f, 7e35f, 1e37f, 5e-2f,
        ];
        using KvCache cache = backend.CreateKvCache(new KvCacheShape(1, 2, 16, type), 1);
        cache.SetScales(PageKind.Suffix, scales);
        float[] value = [.. numbers[..16], .. numbers[16..], .. numbers[16..], .. numbers[..16]];
        cache.Write(0, [3, 60], new float[value.Length], value);
        foreach (int token in (int[])[0, 1])
        {
            var builder = new AttentionPlanBuilder();
            builder.AddRows(100, 1);
            builder.AddSegment(0, 1, [0], token == 0 ? 3 : 60, 1, 0, AttentionMask.Full);
            using DeviceBuffer query = backend.Allocate(ElementType.Float32, 32), output = backend.Allocate(ElementType.Float32, 32);
            query.Upload(new float[32]);
            backend.Attention(builder.Build(), shape, AttentionOptions.Default, query, cache, 0, output, null);
            var actual = new float[32];
            output.Download(actual);
            for (int head = 0; head < 2; head++)
            {
                float[] expected = value[(token * 32 + head * 16)..(token * 32 + head * 16 + 16)];
                KvRounding.Round(expected, 16, type, scales[head].Value);
                Assert.Equal(expected, actual[(head * 16)..(head * 16 + 16)]);
            }
        }
    }

    /// <summary>The operator over dense tensors, with a head far beyond the range of FP8: within the bound with scales, far outside without.</summary>
    public static void Operator(IAttentionBackend backend, ElementType type)
    {
        const int headDim = 32, numKeys = 200;
        float largest = Float8Bits.LargestOf(type), factor = largest * 30;
        var shape = new AttentionShape(2, 2, headDim);
        var random = new Random(11);
        float[] Numbers(int numTokens, float first, float second) =>
            [.. RandomTensors.Normal(random, numTokens * 2 * headDim).Select((number, i) => number * (i / headDim % 2 == 0 ? first : second))];
        SharedPrefixNode[] nodes = [new(-1, numKeys, Numbers(numKeys, factor, 1), Numbers(numKeys, 1, factor))];
        SharedPrefixSequence[] sequences = [.. Enumerable.Range(0, 3).Select(i => new SharedPrefixSequence(
            0, 1, i + 1, RandomTensors.Round(Numbers(1, 1 / factor, 1), ElementType.BFloat16), Numbers(i + 1, factor, 1), Numbers(i + 1, 1, factor)))];
        SharedPrefixResult[] Run(KvScaling scaling, ElementType kvType, ElementType? prefixType) => SharedPrefixAttention.Compute(
            backend, shape, AttentionOptions.Default, nodes, sequences, SharingMode.Hydragen, kvType, ElementType.BFloat16, prefixType, scaling);
        SharedPrefixResult[] exact = SharedPrefixAttention.ComputeReference(shape, AttentionOptions.Default, nodes, sequences);
        foreach (ElementType? prefixType in (ElementType?[])[null, ElementType.BFloat16])
        {
            SharedPrefixResult[] scaled = Run(KvScaling.Calibrated, type, prefixType), saturated = Run(KvScaling.None, type, prefixType);
            foreach ((SharedPrefixResult Expected, SharedPrefixResult Scaled, SharedPrefixResult Saturated) in exact.Zip(scaled, saturated))
            {
                // Of values of size 1, before they were multiplied: the errors that the bound allows for numbers within the range.
                double bound = type == ElementType.Float8E4M3 ? 0.25 : 0.5;
                Assert.True(Error(Expected, Scaled, 0, 1) < bound && Error(Expected, Scaled, headDim, factor) < bound);
                Assert.True(Math.Abs(Expected.LogSumExp[0] - Scaled.LogSumExp[0]) < bound);
                if (prefixType is not null) continue;
                Assert.True(Error(Expected, Saturated, headDim, factor) > 0.1 && Error(Expected, Saturated, headDim, factor) > 3 * Error(Expected, Scaled, headDim, factor));
                Assert.True(Math.Abs(Expected.LogSumExp[0] - Saturated.LogSumExp[0]) > 3 * Math.Abs(Expected.LogSumExp[0] - Scaled.LogSumExp[0]));
            }
        }
        ArgumentException refused = Assert.Throws<ArgumentException>(() => Run(KvScaling.Calibrated, ElementType.Int8, ElementType.BFloat16));
        Assert.Contains("the keys and values are int8 and bf16", refused.Message, StringComparison.Ordinal);

        static double Error(SharedPrefixResult expected, SharedPrefixResult actual, int first, float factor)
        {
            double largest = 0;
            for (int i = first; i < first + headDim; i++) largest = Math.Max(largest, Math.Abs(expected.Output[i] - actual.Output[i]) / factor);
            return largest;
        }
    }

    /// <summary>The largest magnitudes of each head among some tokens of each dense type; NaN and infinities do not count.</summary>
    public static void Magnitudes(IAttentionBackend backend)
    {
        foreach (ElementType type in ElementTypes.Dense)
        {
            foreach (int headDim in (int[])[8, 64, 200])
            {
                var random = new Random(headDim);
                int tokenSize = 3 * headDim;
                int[] slots = [.. Enumerable.Range(0, 192).Where(slot => slot % 7 != 3)];
                float[] key = RandomTensors.Round(RandomTensors.Normal(random, slots.Length * tokenSize), type);
                float[] value = RandomTensors.Round(RandomTensors.Normal(random, slots.Length * tokenSize), type);
                (key[0], key[2 * headDim], value[headDim], value[headDim + 1]) = (float.NaN, float.NegativeInfinity, float.PositiveInfinity, -100);
                using KvCache cache = backend.CreateKvCache(new KvCacheShape(2, 3, headDim, type), 4);
                cache.Write(1, slots, key, value);
                var largest = new KvMagnitude[3];
                cache.FindLargest(1, slots, largest);
                for (int head = 0; head < 3; head++) Assert.Equal(KvMagnitude.Of(key, value, 3, headDim, head), largest[head]);
                Assert.Equal(100, largest[1].Value);
                cache.FindLargest(0, slots, largest);
                Assert.All(largest, magnitude => Assert.Equal(default, magnitude));
                cache.FindLargest(1, [], largest);
                Assert.All(largest, magnitude => Assert.Equal(default, magnitude));
                // Only the tokens that are named.
                cache.FindLargest(1, slots.AsSpan(1, 1), largest);
                Assert.Equal(KvMagnitude.Of(key.AsSpan(tokenSize, tokenSize), value.AsSpan(tokenSize, tokenSize), 3, headDim, 2), largest[2]);
            }
        }
    }

    /// <summary>What is refused, in one clear line.</summary>
    public static void Refusals(IAttentionBackend backend)
    {
        var shape = new KvCacheShape(1, 2, 16, ElementType.Float8E4M3);
        using KvCache cache = backend.CreateKvCache(shape, 1), plain = backend.CreateKvCache(shape with { ElementType = ElementType.Int8 }, 1);
        Assert.True(cache.ScalesOf(PageKind.Suffix).IsEmpty);
        Assert.Contains("int8", Assert.Throws<ArgumentException>(() => plain.SetScales(PageKind.Suffix, Two)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => cache.SetScales(PageKind.Suffix, Two.AsSpan(0, 1)));
        foreach (float scale in (float[])[0, 0.5f, 3, -2, float.NaN, float.PositiveInfinity, 2 * KvScale.Largest])
            Assert.Throws<ArgumentException>(() => cache.SetScales(PageKind.Suffix, [KvScale.One, new KvScale(1, scale)]));
        Assert.Throws<ArgumentException>(() => cache.FindLargest(0, [0], new KvMagnitude[2]));
        cache.SetScales(PageKind.Suffix, [KvScale.One, KvScale.One]);
        Assert.Equal([KvScale.One, KvScale.One], cache.Calibrate(PageKind.Suffix, [default, new KvMagnitude(1, 2)]));
        Assert.Throws<ArgumentException>(() => cache.Calibrate(PageKind.Suffix, [default]));
        Assert.Throws<ArgumentException>(() => plain.Calibrate(PageKind.Suffix, new KvMagnitude[2]));
        Assert.Equal([KvScale.One, new KvScale(1, 16)], cache.Calibrate(PageKind.Suffix, [default, new KvMagnitude(1, 2000)]));
        Assert.Equal([KvScale.One, new KvScale(1, 16)], cache.ScalesOf(PageKind.Suffix).ToArray());
        cache.SetScales(PageKind.Suffix, Two);
        cache.Write(0, [0], new float[32], new float[32]);
        InvalidOperationException late = Assert.Throws<InvalidOperationException>(() => cache.SetScales(PageKind.Suffix, Two));
        Assert.Contains("written", late.Message, StringComparison.Ordinal);
        Assert.Equal(Two, cache.ScalesOf(PageKind.Suffix).ToArray());
        Assert.Equal(Two[1], cache.ScaleOf(PageKind.Prefix, 0, 1));
    }

    /// <summary>With scales that numbers were multiplied with, results are those without, times the scales of values, bit for bit.</summary>
    private static void MovesNothing(IAttentionBackend backend, Scenario scenario, SharingMode mode, params KvScale[] scales)
    {
        AttentionPlan plan = scenario.Plan(mode);
        // Divided queries would be subnormal numbers of FP16.
        if (scenario.QueryType == ElementType.Float16) scales = [.. scales.Select(scale => scale with { Key = 1 })];
        (float[] expected, float[] expectedLogs) = scenario.Run(backend, plan);
        (float[] actual, float[] actualLogs) = scenario.Scaled(scales).Run(backend, plan);
        AttentionShape shape = scenario.Shape;
        for (int i = 0; i < expected.Length; i++) expected[i] *= scales[i / shape.HeadDim % shape.NumHeads / shape.GroupSize].Value;
        Assert.Equal(expected, actual);
        Assert.Equal(expectedLogs, actualLogs);
    }
}
