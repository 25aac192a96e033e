using Hydragen.Core;

namespace Hydragen.Engine.Tests;

/// <summary>Engines whose prefixes have a type of their own in KV memory.</summary>
public sealed class MixedCacheTests
{
    private static readonly GenerationOptions Greedy = new() { MaxNewTokens = 30, Sampling = SamplingOptions.Greedy, IgnoreEos = true, LogProbabilities = true };

    [Theory]
    [InlineData(ElementType.Float32)]
    [InlineData(ElementType.Int8)]
    public void The_type_of_all_KV_memory_for_prefixes_changes_nothing(ElementType type)
    {
        using var plain = new TinyModel(kvType: type);
        using var same = new TinyModel(kvType: type, prefixKvType: type);
        PromptNode[] prompts = SharedPrompts(new Random(1), 130, 6);
        Assert.Equal(Prompts.Updates(plain, prompts, Greedy, isExact: true), Prompts.Updates(same, prompts, Greedy, isExact: true));
        Assert.Equal(plain.Engine.MaxKvBytes, same.Engine.MaxKvBytes);
        Assert.False(same.Model.KvCacheShape.IsMixed);
    }

    [Theory]
    [InlineData(ElementType.Int8, ElementType.Float32)]
    [InlineData(ElementType.BFloat16, ElementType.Int8)]
    public void Prefixes_and_sequences_take_the_bytes_of_their_types(ElementType kvType, ElementType prefixKvType)
    {
        using var model = new TinyModel(kvType: kvType, prefixKvType: prefixKvType);
        long prefixBytes = model.BytesOf(PageKind.Prefix), suffixBytes = model.BytesOf(PageKind.Suffix);
        Assert.NotEqual(prefixBytes, suffixBytes);
        using (PrefixHandle prefix = model.Engine.CreatePrefix(Prompts.Ids(Prompts.Random(new Random(2), 150))))
        {
            Assert.Equal(3 * prefixBytes, model.Engine.KvBytesInUse);
            GenerationStatistics statistics = model.Engine.Generate([Prompts.Ids(1, 2), Prompts.Ids(3)], Greedy, prefix: prefix);
            Assert.Equal(3 * prefixBytes + 2 * suffixBytes, statistics.PeakKvBytes);
            // What the prompts of a call have in common is a prefix too, and a prompt that nobody shares is not.
            statistics = model.Engine.Generate(SharedPrompts(new Random(3), 70, 4), Greedy, prefix: prefix);
            Assert.Equal((3 + 2) * prefixBytes + 4 * suffixBytes, statistics.PeakKvBytes);
            statistics = model.Engine.Generate([Prompts.Ids(Prompts.Random(new Random(4), 100))], Greedy);
            Assert.Equal(3 * prefixBytes + 3 * suffixBytes, statistics.PeakKvBytes);
        }
        Assert.Equal(0, model.Engine.KvBytesInUse);
        model.Engine.CheckIntegrity();
    }

    [Fact]
    public void Only_what_lies_in_a_prefix_is_rounded_to_its_type()
    {
        using var exact = new TinyModel();
        using var mixed = new TinyModel(prefixKvType: ElementType.Float8E5M2);
        int[] tokens = Prompts.Random(new Random(5), 90);
        PromptNode[] alone = [Prompts.Ids(tokens)], twice = [Prompts.Ids([.. tokens, 1]), Prompts.Ids([.. tokens, 2])];
        Assert.Equal(Prompts.Updates(exact, alone, Greedy, isExact: true), Prompts.Updates(mixed, alone, Greedy, isExact: true));
        Assert.NotEqual(Prompts.Updates(exact, twice, Greedy, isExact: true), Prompts.Updates(mixed, twice, Greedy, isExact: true));
        Assert.Equal(
            Prompts.Updates(mixed, twice, Greedy, isExact: true), Prompts.Updates(mixed, twice, Greedy with { Sharing = SharingMode.Paged }, isExact: true));
    }

    [Theory]
    [InlineData(ElementType.Int8, ElementType.Float32, 9)]
    [InlineData(ElementType.Float32, ElementType.Int8, 2)]
    public void Little_memory_makes_sequences_wait_and_changes_nothing_else(ElementType kvType, ElementType prefixKvType, int numSuffixPages)
    {
        using var roomy = new TinyModel(kvType: kvType, prefixKvType: prefixKvType);
        long budget = 3 * roomy.BytesOf(PageKind.Prefix) + numSuffixPages * roomy.BytesOf(PageKind.Suffix);
        using var tight = new TinyModel(kvType: kvType, prefixKvType: prefixKvType, maxKvBytes: budget);
        PromptNode[] prompts = SharedPrompts(new Random(6), 150, 12);
        Dictionary<(int, int), GenerationResult> expected = Prompts.Collect(onResult => roomy.Engine.Generate(prompts, Greedy, null, onResult));
        GenerationStatistics statistics = null!;
        Dictionary<(int, int), GenerationResult> results = Prompts.Collect(onResult => statistics = tight.Engine.Generate(prompts, Greedy, null, onResult));
        foreach (((int, int) key, GenerationResult result) in expected) Assert.Equal(result.TokenIds, results[key].TokenIds);
        Assert.InRange(statistics.PeakBatchSize, 1, numSuffixPages);
        Assert.InRange(statistics.PeakKvBytes, 1, budget);
        tight.Engine.CheckIntegrity();
        Assert.Equal(0, tight.Engine.KvBytesInUse);
    }

    [Theory]
    [InlineData(ElementType.Int8, ElementType.Float32)]
    [InlineData(ElementType.Float32, ElementType.Int8)]
    public void Memory_goes_from_sequences_to_prefixes_and_back(ElementType kvType, ElementType prefixKvType)
    {
        using var probe = new TinyModel(kvType: kvType, prefixKvType: prefixKvType);
        long budget = 6 * Math.Max(probe.BytesOf(PageKind.Prefix), probe.BytesOf(PageKind.Suffix));
        using var model = new TinyModel(kvType: kvType, prefixKvType: prefixKvType, maxKvBytes: budget);
        Assert.InRange(model.Engine.MaxKvBytes, budget - probe.BytesPerPage, budget);
        var random = new Random(7);
        for (int round = 0; round < 3; round++)
        {
            // First nothing but sequences, as many as fit; then prefixes until there is no more memory.
            PromptNode[] unshared = [.. Enumerable.Range(0, 40).Select(_ => Prompts.Ids(Prompts.Random(random, 60)))];
            Assert.Equal(40, model.Engine.Generate(unshared, Greedy with { MaxNewTokens = 4 }).Completions);
            model.Engine.CheckIntegrity();
            var prefixes = new List<PrefixHandle>();
            long numPrefixes = budget / model.BytesOf(PageKind.Prefix);
            while (prefixes.Count < numPrefixes) prefixes.Add(model.Engine.CreatePrefix(Prompts.Ids(Prompts.Random(random, 64))));
            Assert.Throws<OutOfKvMemoryException>(() => model.Engine.CreatePrefix(Prompts.Ids(1)));
            model.Engine.CheckIntegrity();
            foreach (PrefixHandle prefix in prefixes) prefix.Dispose();
            Assert.Equal(0, model.Engine.KvBytesInUse);
        }
    }

    [Fact]
    public void Copies_of_prefixes_are_refused_by_name_and_nothing_is_kept()
    {
        using var model = new TinyModel(prefixKvType: ElementType.BFloat16);
        GenerationOptions copied = Greedy with { Sharing = SharingMode.Copied };
        ArgumentException exception = Assert.Throws<ArgumentException>(() => model.Engine.Generate([Prompts.Ids(1)], copied));
        Assert.Contains("Copied", exception.Message, StringComparison.Ordinal);
        Assert.Equal(0, model.Engine.KvBytesInUse);
        // Scoring copies nothing.
        int scored = 0;
        model.Engine.Score([[1, 2, 3]], _ => scored++, copied);
        Assert.Equal(1, scored);
    }

    [Fact]
    public void A_budget_below_a_page_of_either_kind_is_refused()
    {
        using var probe = new TinyModel(kvType: ElementType.Int8, prefixKvType: ElementType.Float32);
        Assert.Throws<ArgumentException>(() => new TinyModel(
            kvType: ElementType.Int8, prefixKvType: ElementType.Float32, maxKvBytes: probe.BytesOf(PageKind.Prefix) - 1).Dispose());
    }

    private static PromptNode[] SharedPrompts(Random random, int numShared, int count)
    {
        int[] shared = Prompts.Random(random, numShared);
        return [.. Enumerable.Range(0, count).Select(i => Prompts.Ids([.. shared, i, .. Prompts.Random(random, 1 + i)]))];
    }
}
