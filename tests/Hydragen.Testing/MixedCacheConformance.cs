using Hydragen.Core;

namespace Hydragen.Testing;

/// <summary>What every backend must do with caches in which prefixes have a type of their own. Each method fails by an assertion.</summary>
public static class MixedCacheConformance
{
    /// <summary>Pairs of types: of sequences, and of prefixes.</summary>
    public static IEnumerable<(ElementType Suffix, ElementType Prefix)> Types =>
    [
        (ElementType.Int8, ElementType.BFloat16),
        (ElementType.BFloat16, ElementType.Int8),
        (ElementType.BFloat16, ElementType.Float8E4M3),
        (ElementType.Float8E5M2, ElementType.Float16),
        (ElementType.Int8, ElementType.Float8E5M2),
        (ElementType.Float32, ElementType.BFloat16),
        (ElementType.Float16, ElementType.Float32),
    ];

    /// <summary>Trees with few and many rows, tails and none, long and empty nodes, shared and not, against the reference.</summary>
    public static void Attention(IAttentionBackend backend, ElementType suffixType, ElementType prefixType)
    {
        ElementType queryType = suffixType.IsByte() ? Scenario.QueryTypeFor(prefixType) : suffixType;
        foreach ((int headDim, int numMany) in ((int, int)[])[(24, 3), (64, 70), (128, 3)])
        {
            var scenario = new Scenario(new AttentionShape(4, 2, headDim), headDim)
            {
                KvType = suffixType,
                PrefixKvType = prefixType,
                QueryType = queryType,
                Options = headDim == 24 ? new AttentionOptions { SlidingWindow = 200, LogitSoftCap = 20 } : AttentionOptions.Default,
            };
            int root = scenario.AddNode(-1, 100), child = scenario.AddNode(root, 70), leaf = scenario.AddNode(child, 0);
            scenario.AddSequence(-1, 2, 70);
            for (int i = 0; i < numMany; i++) scenario.AddSequence(root, 1, i % 5 * 16);
            scenario.AddSequence(child, 9, 80);
            scenario.AddSequence(leaf, 3, 5);
            scenario.Fill();
            scenario.Verify(backend);
            if (headDim == 24) scenario.Verify(backend, SharingMode.Paged);
        }
    }

    /// <summary>A long prefix, whose partial results are many, above suffixes.</summary>
    public static void LongPrefix(IAttentionBackend backend, ElementType suffixType, ElementType prefixType)
    {
        var scenario = new Scenario(new AttentionShape(8, 2, 64), 5)
        {
            KvType = suffixType,
            PrefixKvType = prefixType,
            QueryType = suffixType.IsByte() ? Scenario.QueryTypeFor(prefixType) : suffixType,
        };
        int root = scenario.AddNode(-1, 2100);
        for (int i = 0; i < 5; i++) scenario.AddSequence(root, 1, 1 + 3 * i);
        scenario.Fill().Verify(backend);
    }

    /// <summary>A type for prefixes that is that of all others changes no bit.</summary>
    public static void SameType(IAttentionBackend backend, ElementType type)
    {
        (float[] Output, float[] LogSumExp) Run(ElementType? prefixType)
        {
            var scenario = new Scenario(new AttentionShape(4, 2, 64), 7) { Type = type, PrefixKvType = prefixType };
            int root = scenario.AddNode(-1, 300);
            for (int i = 0; i < 5; i++) scenario.AddSequence(root, 1, 7 * i);
            scenario.Fill();
            return scenario.Run(backend, scenario.Plan());
        }
        (float[] expected, float[] expectedLogs) = Run(null);
        (float[] actual, float[] actualLogs) = Run(type);
        Assert.Equal(expected, actual);
        Assert.Equal(expectedLogs, actualLogs);
    }

    /// <summary>Pages of each kind are made, told apart, given back and made again.</summary>
    public static void Pages(IAttentionBackend backend)
    {
        var shape = new KvCacheShape(2, 2, 32, ElementType.Int8, ElementType.Float32);
        using KvCache cache = backend.CreateKvCache(shape, 2);
        cache.Reserve(3, PageKind.Prefix);
        cache.Reserve(1, PageKind.Prefix);
        cache.Reserve(3);
        Assert.Equal(6, cache.NumPages);
        Assert.Equal((3, 3), (cache.NumPagesOf(PageKind.Suffix), cache.NumPagesOf(PageKind.Prefix)));
        PageKind[] kinds = [.. Enumerable.Range(0, 6).Select(cache.KindOf)];
        Assert.Equal([PageKind.Suffix, PageKind.Suffix, PageKind.Prefix, PageKind.Prefix, PageKind.Prefix, PageKind.Suffix], kinds);
        Assert.Equal(shape.BytesPerTokenOf(PageKind.Prefix) * KvCache.PageSize, cache.BytesOf(PageKind.Prefix));
        Assert.Equal(cache.BytesPerPage, cache.BytesOf(PageKind.Suffix));
        Assert.True(cache.BytesOf(PageKind.Prefix) > 3 * cache.BytesPerPage);

        long generation = cache.Generation;
        Assert.Equal(0, cache.Release(PageKind.Prefix, [true, true, true, true, true, true], 3, 3));
        Assert.Equal(0, cache.Release(PageKind.Prefix, new bool[6], 3, 0));
        Assert.Equal(3, cache.Release(PageKind.Prefix, new bool[6], 3, 3, isTrial: true));
        Assert.Equal((6, 3, generation), (cache.NumPages, cache.NumPagesOf(PageKind.Prefix), cache.Generation));
        Assert.Equal(3, cache.Release(PageKind.Prefix, [true, true, false, false, false, true], 3, 5));
        Assert.NotEqual(generation, cache.Generation);
        Assert.Equal((6, 0, 3), (cache.NumPages, cache.NumPagesOf(PageKind.Prefix), cache.NumPagesOf(PageKind.Suffix)));
        Assert.False(cache.HasPage(3));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.KindOf(3));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.CheckSlots([3 * KvCache.PageSize]));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Copy(0, 3 * KvCache.PageSize, 1));

        cache.Reserve(4);
        Assert.Equal((6, 4, 0), (cache.NumPages, cache.NumPagesOf(PageKind.Suffix), cache.NumPagesOf(PageKind.Prefix)));
        cache.Reserve(3, PageKind.Prefix);
        Assert.Equal((7, 4, 3), (cache.NumPages, cache.NumPagesOf(PageKind.Suffix), cache.NumPagesOf(PageKind.Prefix)));
        Assert.Equal(3, Enumerable.Range(0, 7).Count(page => cache.KindOf(page) == PageKind.Prefix));
    }

    /// <summary>Nothing reads or copies over the border between the kinds, and one line says so.</summary>
    public static void Borders(IAttentionBackend backend)
    {
        var shape = new AttentionShape(2, 2, 32);
        using KvCache cache = backend.CreateKvCache(new KvCacheShape(1, 2, 32, ElementType.Int8, ElementType.BFloat16), 2);
        cache.Reserve(1, PageKind.Prefix);
        ArgumentException copy = Assert.Throws<ArgumentException>(() => cache.Copy(0, 2 * KvCache.PageSize, 5));
        Assert.Contains("page 0 of sequences (int8)", copy.Message, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("page 2 of prefixes (bf16)", copy.Message, StringComparison.Ordinal);
        cache.Copy(0, KvCache.PageSize, 5);

        ArgumentException plan = Assert.Throws<ArgumentException>(() => Run(1, 2));
        Assert.Contains("must be of one kind", plan.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => Run(1, 3));
        Run(0, 1);

        void Run(params int[] pages)
        {
            var builder = new AttentionPlanBuilder();
            builder.AddRows(100, 1);
            builder.AddSegment(0, 1, pages, 0, 100, 0, AttentionMask.Full);
            using DeviceBuffer query = backend.Allocate(ElementType.BFloat16, 64), output = backend.Allocate(ElementType.Float32, 64);
            query.Upload(new float[64]);
            backend.Attention(builder.Build(), shape, AttentionOptions.Default, query, cache, 0, output, null);
        }
    }

    /// <summary>The operator over dense tensors: what it rounds nodes and sequences to, and what it refuses.</summary>
    public static void Operator(IAttentionBackend backend)
    {
        var shape = new AttentionShape(2, 1, 16);
        var random = new Random(9);
        float[] Numbers(int count) => RandomTensors.Normal(random, count);
        SharedPrefixNode[] nodes = [new(-1, 90, Numbers(90 * 16), Numbers(90 * 16))];
        SharedPrefixSequence[] sequences =
            [.. Enumerable.Range(0, 3).Select(i => new SharedPrefixSequence(0, 1, i + 1, Numbers(32), Numbers((i + 1) * 16), Numbers((i + 1) * 16)))];
        ReadOnlyMemory<float> Rounded(ReadOnlyMemory<float> values, ElementType type)
        {
            float[] rounded = values.ToArray();
            KvRounding.Round(rounded, 16, type);
            return rounded;
        }
        SharedPrefixResult[] expected = SharedPrefixAttention.ComputeReference(
            shape, AttentionOptions.Default, [nodes[0] with { Key = Rounded(nodes[0].Key, ElementType.Float16), Value = Rounded(nodes[0].Value, ElementType.Float16) }],
            [.. sequences.Select(s => s with { Key = Rounded(s.Key, ElementType.Float8E4M3), Value = Rounded(s.Value, ElementType.Float8E4M3) })]);
        foreach (SharingMode mode in (SharingMode[])[SharingMode.Hydragen, SharingMode.Paged])
        {
            SharedPrefixResult[] actual = SharedPrefixAttention.Compute(
                backend, shape, AttentionOptions.Default, nodes, sequences, mode, ElementType.Float8E4M3, ElementType.Float32, ElementType.Float16);
            for (int i = 0; i < expected.Length; i++)
            {
                for (int j = 0; j < 32; j++) Assert.Equal(expected[i].Output[j], actual[i].Output[j], Tolerance.Attention);
            }
        }
        ArgumentException refused = Assert.Throws<ArgumentException>(() => SharedPrefixAttention.Compute(
            backend, shape, AttentionOptions.Default, nodes, sequences, SharingMode.Copied, ElementType.Float8E4M3, ElementType.Float32, ElementType.Float16));
        Assert.Contains("type of their own", refused.Message, StringComparison.Ordinal);
    }
}
