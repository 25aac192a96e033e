using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cuda.Tests;

/// <summary>How many warps compute a task of sequences, and that it does not matter to the result.</summary>
[Collection(nameof(ConformanceTests))]
public sealed class SequenceRuleTests
{
    private const ItemClass Four = ItemClass.Sequence, Ahead = ItemClass.ShortSequence, Crowded = ItemClass.CrowdedSequence;

    [Fact]
    public void One_warp_computes_a_task_where_there_are_many()
    {
        var halves = new SequenceRule(132, HasBytes: false, HasLargeHeads: false);
        var bytes = halves with { HasBytes = true };
        Assert.Equal([Ahead, Four, Four], ClassesOf(halves, 128, false));
        Assert.Equal([Ahead, Ahead, Ahead], ClassesOf(halves, 1024, false));
        Assert.Equal([Crowded, Crowded, Four], ClassesOf(halves, 16384, false));
        Assert.Equal([Ahead, Ahead, Ahead], ClassesOf(bytes, 16384, false));
        // Beside nodes, few do.
        Assert.Equal([Ahead, Four, Four], ClassesOf(halves, 1024, true));
        Assert.Equal([Ahead, Four, Four], ClassesOf(bytes, 1024, true));
        Assert.Equal([Ahead, Ahead, Four], ClassesOf(bytes, 16384, true));
        // Nor does a warp have far more keys than the others.
        Assert.Equal(Four, bytes.ClassOf(1024, 300, 30, isBesideNodes: false));
        Assert.Equal(Ahead, bytes.ClassOf(1024, 90, 9, isBesideNodes: false));
        Assert.Equal([Crowded, Four, Four], ClassesOf(bytes with { HasLargeHeads = true }, 16384, false));

        static ItemClass[] ClassesOf(SequenceRule rule, int numTasks, bool isBesideNodes) =>
            [.. ((int[])[40, 128, 512]).Select(keys => rule.ClassOf(numTasks, keys, keys, isBesideNodes))];
    }

    [Theory]
    [InlineData(ElementType.BFloat16, 0)]
    [InlineData(ElementType.BFloat16, 30)]
    [InlineData(ElementType.BFloat16, 300)]
    [InlineData(ElementType.Int8, 0)]
    [InlineData(ElementType.Int8, 30)]
    [InlineData(ElementType.Int8, 300)]
    [InlineData(ElementType.Float8E4M3, 300)]
    public void Many_sequences_alone_behind_a_few_keys_and_beside_a_node_agree_with_the_reference(ElementType type, int prefix)
    {
        using CudaBackend backend = Gpu.Open();
        foreach ((int numHeads, int suffix) in ((int, int)[])[(12, 70), (32, 100), (12, 150)])
        {
            var scenario = new Scenario(new AttentionShape(numHeads, numHeads, 64), suffix) { Type = type };
            int root = prefix > 0 ? scenario.AddNode(-1, prefix) : -1;
            for (int i = 0; i < 132; i++) scenario.AddSequence(root, 1, suffix + i % 27);
            scenario.Fill().Verify(backend);
        }
    }
}
