using Hydragen.Core;

namespace Hydragen.Cpu.Tests;

public sealed class AttentionWorkTests
{
    private const int NumSequences = 40, PrefixLength = 2500, SuffixLength = 70;
    private static readonly AttentionShape Shape = new(8, 2, 64);

    [Theory]
    [InlineData(1, 96)]
    [InlineData(2, 96)]
    [InlineData(16, 96)]
    [InlineData(16, 256)]
    [InlineData(64, 256)]
    public void Every_vector_meets_every_key_once_and_prefixes_stand_first(int numThreads, int maxVectors)
    {
        AttentionPlan plan = MakePlan();
        var work = new AttentionWork(AttentionWork.DefaultWorkspaceFloats, numThreads);
        work.Compile(plan, Shape, new ItemLimits(maxVectors, TileShape.MaxRows));
        AttentionWave wave = Assert.Single(work.Waves.ToArray());
        Assert.Equal(work.Items.Length, wave.NumItems);
        var met = new HashSet<(int Segment, int Split, int KvHead, int Vector)>();
        for (int i = 0; i < work.Items.Length; i++)
        {
            AttentionItem item = work.Items[i];
            Assert.InRange(item.NumVectors, 1, maxVectors);
            Assert.Equal(i < wave.NumComputeBound, plan.Segments[item.Segment].NumRows > 1);
            for (int vector = 0; vector < item.NumVectors; vector++)
                Assert.True(met.Add((item.Segment, item.Split, item.KvHead, item.FirstVector + vector)));
        }
        // 3 splits of the prefix and one of each suffix.
        Assert.Equal((3 + 1) * NumSequences * Shape.NumHeads, met.Count);
    }

    [Theory]
    [InlineData(4)]
    [InlineData(10)]
    public void A_prefix_is_cut_into_several_items_a_thread(int numThreads)
    {
        var work = new AttentionWork(AttentionWork.DefaultWorkspaceFloats, numThreads);
        work.Compile(MakePlan(), Shape, new ItemLimits(256, TileShape.MaxRows));
        Assert.True(work.Waves[0].NumComputeBound >= 3 * numThreads);
    }

    [Fact]
    public void Items_that_read_the_same_keys_are_neighbours()
    {
        var work = new AttentionWork(AttentionWork.DefaultWorkspaceFloats, 4);
        work.Compile(MakePlan(), Shape, new ItemLimits(96, TileShape.MaxRows));
        var chunks = new List<(int Segment, int Split, int KvHead)>();
        foreach (AttentionItem item in work.Items)
        {
            if (chunks.Count == 0 || chunks[^1] != (item.Segment, item.Split, item.KvHead)) chunks.Add((item.Segment, item.Split, item.KvHead));
        }
        Assert.Equal(chunks.Count, chunks.Distinct().Count());
    }

    private static AttentionPlan MakePlan()
    {
        int prefixPages = (PrefixLength + KvCache.PageSize - 1) / KvCache.PageSize;
        int suffixPages = (SuffixLength + KvCache.PageSize - 1) / KvCache.PageSize;
        PlanNode[] nodes = [new PlanNode(-1, 0, PrefixLength, Enumerable.Range(0, prefixPages).ToArray())];
        PlanSequence[] sequences = [.. Enumerable.Range(0, NumSequences).Select(
            i => new PlanSequence(0, 1, PrefixLength, SuffixLength, Enumerable.Range(prefixPages + i * suffixPages, suffixPages).ToArray()))];
        return new TreePlanner().Plan(nodes, sequences, SharingMode.Hydragen, null);
    }
}
