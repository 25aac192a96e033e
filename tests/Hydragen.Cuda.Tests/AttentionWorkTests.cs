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
            foreach (bool isScalar in (bool[])[false, true]) Verify(scenario, new AttentionWork(new DeviceRates(numMultiprocessors, 5e12, 4e12), workspaceBytes), isScalar);
        }
        var large = new Scenario(new AttentionShape(6, 2, 24), 5);
        int root = large.AddNode(-1, 2500), child = large.AddNode(root, 1100);
        large.AddSequence(root, 140, 1200);
        for (int i = 0; i < 70; i++) large.AddSequence(child, 1 + i % 2, 3 * i + 2);
        Verify(large.Fill(), new AttentionWork(new DeviceRates(numMultiprocessors, 5e12, 4e12), workspaceBytes), false);
    }

    private static void Verify(Scenario scenario, AttentionWork work, bool isScalar)
    {
        AttentionPlan plan = scenario.Plan();
        int group = scenario.Shape.GroupSize;
        int[] vectorsPerItem = [8, 8, 64, 128, 8];
        work.Compile(plan, scenario.Shape, ElementType.BFloat16, vectorsPerItem, isScalar);
        var keys = new List<int>[plan.NumRows * group];
        for (int i = 0; i < keys.Length; i++) keys[i] = [];
        var written = new HashSet<int>();
        foreach (AttentionWave wave in work.Waves)
        {
            var slots = new Dictionary<(int Slot, int Group), int>();
            for (int itemClass = 0; itemClass < wave.Items.Length; itemClass++)
            {
                (int first, int count) = wave.Items[itemClass];
                foreach (AttentionItem item in work.Items.Slice(first, count))
                {
                    Assert.InRange(item.NumVectors, 1, vectorsPerItem[itemClass]);
                    Assert.True(item.NumKeys > 0);
                    for (int vector = item.FirstVector; vector < item.FirstVector + item.NumVectors; vector++)
                    {
                        int row = vector / group, slot = work.PartSlots[item.FirstPart + row - item.FirstVector / group];
                        for (int key = 0; key < item.NumKeys; key++)
                        {
                            int at = item.FirstSlot + key;
                            keys[vector].Add(plan.PageTable[item.FirstPage + at / KvCache.PageSize] * KvCache.PageSize + at % KvCache.PageSize);
                        }
                        if (slot < 0) Assert.True(written.Add(vector), $"vector {vector} has two results");
                        else slots.Add((slot + item.SplitAndMask / 2, vector % group), row);
                    }
                }
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
