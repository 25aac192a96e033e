using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cuda.Tests;

/// <summary>The work lists, without a GPU: every key of every row is computed exactly once, and parts have places of their own.</summary>
public sealed class AttentionWorkTests
{
    [Theory]
    [InlineData(1, long.MaxValue)]
    [InlineData(132, long.MaxValue)]
    [InlineData(132, 40_000)]
    [InlineData(3, 1)]
    public void Every_vector_meets_every_key_once(int numMultiprocessors, long workspaceBytes)
    {
        for (int seed = 0; seed < 30; seed++)
        {
            Scenario scenario = RandomTrees.Create(seed);
            foreach ((int narrow, bool isScalar) in ((int, bool)[])[(64, false), (8, false), (64, true)])
                Verify(scenario, new AttentionWork(new DeviceRates(numMultiprocessors, 5e12, 4e12), workspaceBytes), narrow, isScalar);
        }
        var large = new Scenario(new AttentionShape(6, 2, 24), 5);
        int root = large.AddNode(-1, 2500), child = large.AddNode(root, 1100);
        large.AddSequence(root, 140, 1200);
        for (int i = 0; i < 70; i++) large.AddSequence(child, 1 + i % 2, 3 * i + 2);
        large.Fill();
        foreach (int narrow in (int[])[64, 8]) Verify(large, new AttentionWork(new DeviceRates(numMultiprocessors, 5e12, 4e12), workspaceBytes), narrow, isScalar: false);
    }

    [Theory]
    [InlineData(1, long.MaxValue, false)]
    [InlineData(132, long.MaxValue, true)]
    [InlineData(132, 40_000, false)]
    [InlineData(3, 1, false)]
    public void Every_vector_meets_every_key_once_in_items_of_its_kind_of_pages(int numMultiprocessors, long workspaceBytes, bool isPrefixScalar)
    {
        foreach (SharingMode mode in (SharingMode[])[SharingMode.Hydragen, SharingMode.Paged])
        {
            var scenario = new Scenario(new AttentionShape(6, 2, 24), 5) { KvType = ElementType.Int8, PrefixKvType = ElementType.BFloat16 };
            int root = scenario.AddNode(-1, 900), child = scenario.AddNode(root, 60);
            scenario.AddSequence(-1, 90, 100);
            scenario.AddSequence(root, 90, 300);
            for (int i = 0; i < 70; i++) scenario.AddSequence(child, 1 + i % 2, i + 2);
            using var cache = new PagesOnly(scenario.Fill().CacheShape);
            scenario.MakePages(cache);
            Verify(
                scenario, scenario.Plan(mode), new AttentionWork(new DeviceRates(numMultiprocessors, 5e12, 4e12), workspaceBytes),
                [new PageReading(ElementType.Int8, [8, 8, 8, 64, 128, 8], false), new PageReading(ElementType.BFloat16, [8, 8, 8, 8, 64, 8], isPrefixScalar)], cache);
        }
    }

    [Fact]
    public void Trees_over_two_kinds_of_pages_fill_the_lists_of_their_kinds()
    {
        foreach ((int headDim, int numMany) in ((int, int)[])[(24, 3), (64, 70), (128, 3)])
        {
            foreach (int narrow in (int[])[64, 8])
            {
                var scenario = new Scenario(new AttentionShape(4, 2, headDim), headDim) { KvType = ElementType.BFloat16, PrefixKvType = ElementType.Int8 };
                int root = scenario.AddNode(-1, 100), child = scenario.AddNode(root, 70), leaf = scenario.AddNode(child, 0);
                scenario.AddSequence(-1, 2, 70);
                for (int i = 0; i < numMany; i++) scenario.AddSequence(root, 1, i % 5 * 16);
                scenario.AddSequence(child, 9, 80);
                scenario.AddSequence(leaf, 3, 5);
                using var cache = new PagesOnly(scenario.Fill().CacheShape);
                scenario.MakePages(cache);
                int[] vectorsPerItem = [8, 8, 8, narrow, 128, 8];
                Verify(
                    scenario, scenario.Plan(), new AttentionWork(new DeviceRates(132, 5e12, 4e12), long.MaxValue),
                    [new PageReading(ElementType.BFloat16, vectorsPerItem, false), new PageReading(ElementType.Int8, vectorsPerItem, false)], cache);
            }
        }
    }

    [Fact]
    public void Short_nodes_are_folded_into_their_sequences_and_long_ones_are_not()
    {
        NodeSharing folded = new(0, 1), shared = new(1, 0), none = new(0, 0);
        Assert.Equal((folded, true), SharingOf(8, 64, 100));
        Assert.Equal((shared, false), SharingOf(1024, 512, 100));
        Assert.Equal((shared, false), SharingOf(8, 8192, 100));
        // A node of one sequence, and one without keys of its own behind it.
        Assert.Equal((none, true), SharingOf(1, 100, 30));
        Assert.Equal((shared, false), SharingOf(4, 100, 0));

        static (NodeSharing, bool) SharingOf(int numSequences, int prefix, int suffix)
        {
            var scenario = new Scenario(new AttentionShape(8, 2, 128), 7);
            int root = scenario.AddNode(-1, prefix);
            for (int i = 0; i < numSequences; i++) scenario.AddSequence(root, 1, suffix);
            var work = new AttentionWork(new DeviceRates(132, 5e12, 4e12), long.MaxValue);
            work.Compile(scenario.Fill().Plan(), scenario.Shape, ElementType.BFloat16, [8, 8, 8, 64, 128, 8], isScalar: false);
            (NodeSharing, bool) result = (work.Sharing, work.HasNextItems);
            work.Compile(scenario.Plan(), scenario.Shape, ElementType.BFloat16, [8, 8, 8, 64, 128, 8], isScalar: true);
            Assert.Equal(0, work.Sharing.NumFolded);
            Assert.False(work.HasNextItems);
            return result;
        }
    }

    // Narrow nodes have 8 vectors as on Hopper, where the sequence kernel computes what others have them for.
    private static void Verify(Scenario scenario, AttentionWork work, int vectorsOfNarrow, bool isScalar) =>
        Verify(scenario, scenario.Plan(), work, [new PageReading(ElementType.BFloat16, [8, 8, 8, vectorsOfNarrow, 128, 8], isScalar)], null);

    private static void Verify(Scenario scenario, AttentionPlan plan, AttentionWork work, PageReading[] readings, KvCache? mixed)
    {
        int group = scenario.Shape.GroupSize;
        work.Compile(plan, scenario.Shape, readings, mixed);
        Assert.Equal(readings.Length * AttentionKernels.NumClasses, work.NumLists);
        var keys = new List<int>[plan.NumRows * group];
        for (int i = 0; i < keys.Length; i++) keys[i] = [];
        var written = new HashSet<int>();
        foreach (AttentionWave wave in work.Waves)
        {
            var slots = new Dictionary<(int Slot, int Group), int>();
            for (int list = 0; list < work.NumLists; list++)
            {
                ItemRange range = wave.Items[list];
                var kind = (PageKind)(list / AttentionKernels.NumClasses);
                int vectorsPerItem = readings[(int)kind].VectorsPerItem[list % AttentionKernels.NumClasses];
                ReadOnlySpan<AttentionItem> items = work.Items.Slice(range.First, range.Count);
                int numContinued = 0;
                for (int task = 0; task < range.NumTasks; task++)
                {
                    AttentionItem item = items[task];
                    for (; item.Next != 0; item = items[item.Next])
                    {
                        AttentionItem next = items[item.Next];
                        Assert.True(item.Next >= range.NumTasks, "an item is two tasks' own");
                        Assert.Equal((item.FirstVector, item.NumVectors), (next.FirstVector, next.NumVectors));
                        AddKeys(item, kind);
                        numContinued++;
                    }
                    AddKeys(item, kind);
                    Assert.InRange(item.NumVectors, 1, vectorsPerItem);
                    for (int vector = item.FirstVector; vector < item.FirstVector + item.NumVectors; vector++)
                    {
                        int row = vector / group, slot = work.PartSlots[item.FirstPart + row - item.FirstVector / group];
                        if (slot < 0) Assert.True(written.Add(vector), $"vector {vector} has two results");
                        else slots.Add((slot + item.SplitAndMask / 2, vector % group), row);
                    }
                }
                Assert.Equal(range.Count - range.NumTasks, numContinued);
            }
            for (int i = wave.FirstMergeRow; i < wave.FirstMergeRow + wave.NumMergeRows; i++)
            {
                int row = work.MergeRows[3 * i], firstSlot = work.MergeRows[3 * i + 1], numParts = work.MergeRows[3 * i + 2];
                for (int g = 0; g < group; g++)
                {
                    Assert.True(written.Add(row * group + g), $"row {row} is merged and written");
                    for (int part = 0; part < numParts; part++)
                    {
                        Assert.True(slots.Remove((firstSlot + part, g), out int owner), $"part {part} of row {row} is missing");
                        Assert.Equal(row, owner);
                        Assert.InRange(firstSlot + part, 0, work.NumSlots - 1);
                    }
                }
            }
            Assert.Empty(slots);
        }
        Assert.Equal(plan.NumRows * group, written.Count);

        void AddKeys(AttentionItem item, PageKind kind)
        {
            Assert.True(item.NumKeys > 0);
            if (mixed is not null) Assert.Equal(kind, mixed.KindOf(plan.PageTable[item.FirstPage]));
            for (int vector = item.FirstVector; vector < item.FirstVector + item.NumVectors; vector++)
            {
                for (int key = 0; key < item.NumKeys; key++)
                {
                    int at = item.FirstSlot + key;
                    keys[vector].Add(plan.PageTable[item.FirstPage + at / KvCache.PageSize] * KvCache.PageSize + at % KvCache.PageSize);
                }
            }
        }

        for (int row = 0; row < plan.NumRows; row++)
        {
            var expected = new List<int>();
            foreach (AttentionSegment segment in plan.Segments)
            {
                if (row < segment.FirstRow || row >= segment.FirstRow + segment.NumRows) continue;
                for (int key = 0; key < segment.NumKeys; key++)
                {
                    int at = segment.FirstSlot + key;
                    expected.Add(plan.PageTable[segment.FirstPage + at / KvCache.PageSize] * KvCache.PageSize + at % KvCache.PageSize);
                }
            }
            expected.Sort();
            for (int g = 0; g < group; g++)
            {
                keys[row * group + g].Sort();
                Assert.Equal(expected, keys[row * group + g]);
            }
        }
    }
}
