using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cuda.Tests;

/// <summary>What holds bit for bit.</summary>
[Collection(nameof(ConformanceTests))]
public sealed class DeterminismTests
{
    [Fact]
    public void The_same_plan_gives_the_same_bits()
    {
        using CudaBackend backend = Gpu.Open(), another = Gpu.Open();
        for (int seed = 300; seed < 306; seed++)
        {
            Scenario scenario = RandomTrees.Create(seed);
            (float[] Output, float[] LogSumExp) expected = scenario.Run(backend, scenario.Plan());
            AssertSameBits(expected, scenario.Run(backend, scenario.Plan()));
            AssertSameBits(expected, scenario.Run(another, scenario.Plan()));
        }
    }

    [Fact]
    public void Pages_may_lie_anywhere()
    {
        using CudaBackend backend = Gpu.Open();
        for (int seed = 100; seed < 110; seed++)
        {
            Scenario scenario = RandomTrees.Create(seed);
            Scenario moved = scenario.MovePages(seed);
            AssertSameBits(scenario.Run(backend, scenario.Plan()), moved.Run(backend, moved.Plan()));
        }
    }

    [Theory]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Float32)]
    public void The_size_of_the_workspace_changes_nothing_but_the_waves(ElementType type)
    {
        var scenario = new Scenario(new AttentionShape(6, 2, 24), 5) { Type = type };
        int root = scenario.AddNode(-1, 2500), child = scenario.AddNode(root, 1100);
        scenario.AddSequence(root, 40, 1200);
        scenario.AddSequence(child, 3, 30);
        scenario.AddSequence(child, 1, 0);
        scenario.AddSequence(-1, 2, 0);
        scenario.Fill();
        foreach (long bytes in (long[])[1, 100_000, AttentionWork.DefaultWorkspaceBytes])
        {
            using CudaBackend backend = Gpu.Open(bytes);
            scenario.Verify(backend);
        }
    }

    [Theory]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Float16)]
    [InlineData(ElementType.Float32)]
    public void A_NaN_stays_in_the_sequence_that_has_it(ElementType type)
    {
        using CudaBackend backend = Gpu.Open();
        var scenario = new Scenario(new AttentionShape(4, 2, 40), 10) { Type = type };
        int root = scenario.AddNode(-1, 1500);
        for (int i = 0; i < 12; i++) scenario.AddSequence(root, 1 + i % 3, 3 + i);
        scenario.Fill();
        const int rowSize = 160, poisonedQuery = 2, poisonedKeys = 5;
        (float[] clean, float[] cleanLogs) = scenario.Run(backend, scenario.Plan());

        scenario.Query.AsSpan(scenario.FirstRow(poisonedQuery) * rowSize, scenario.Sequences[poisonedQuery].NumQueries * rowSize).Fill(float.NaN);
        int slot = scenario.Sequences[poisonedKeys].Pages.Span[0] * KvCache.PageSize;
        scenario.Key.AsSpan(slot * 80, 80).Fill(float.NaN);
        scenario.Value.AsSpan(slot * 80, 80).Fill(float.NaN);
        (float[] output, float[] logs) = scenario.Run(backend, scenario.Plan());

        for (int sequence = 0; sequence < 12; sequence++)
        {
            int first = scenario.FirstRow(sequence), count = scenario.Sequences[sequence].NumQueries;
            Span<float> found = output.AsSpan(first * rowSize, count * rowSize);
            if (sequence is poisonedQuery or poisonedKeys) Assert.All(found.ToArray(), x => Assert.True(float.IsNaN(x)));
            else
            {
                Assert.Equal(clean.AsSpan(first * rowSize, count * rowSize), found);
                Assert.Equal(cleanLogs.AsSpan(first * 4, count * 4), logs.AsSpan(first * 4, count * 4));
            }
        }
    }

    private static void AssertSameBits((float[] Output, float[] LogSumExp) expected, (float[] Output, float[] LogSumExp) actual)
    {
        Assert.Equal(expected.Output, actual.Output);
        Assert.Equal(expected.LogSumExp, actual.LogSumExp);
    }
}
