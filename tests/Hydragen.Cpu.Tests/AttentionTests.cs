using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

public sealed class AttentionTests
{
    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Every_head_dimension_agrees_with_the_reference(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        for (int headDim = 8; headDim <= 256; headDim += 8)
        {
            var scenario = new Scenario(new AttentionShape(4, 2, headDim), headDim);
            int root = scenario.AddNode(-1, 70);
            scenario.AddSequence(root, 1, 5);
            scenario.AddSequence(root, 3, 20);
            scenario.AddSequence(-1, 1, 65);
            scenario.Fill().Verify(backend);
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Every_group_size_agrees_with_the_reference(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (int group in (int[])[1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32])
        {
            var scenario = new Scenario(new AttentionShape(group * 2, 2, 24), group);
            int root = scenario.AddNode(-1, 130);
            for (int i = 0; i < 7; i++) scenario.AddSequence(root, 1, 1 + 9 * i);
            scenario.Fill().Verify(backend);
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Lengths_around_every_tile_and_page_size_agree_with_the_reference(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        int[] lengths = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 79, 80, 81, 127, 128, 129, 1023, 1024, 1025, 2047, 2048, 2049];
        foreach (int length in lengths)
        {
            var scenario = new Scenario(new AttentionShape(4, 2, 16), length);
            int root = scenario.AddNode(-1, length);
            scenario.AddSequence(root, 1, 0);
            scenario.AddSequence(root, 1, 1);
            scenario.AddSequence(root, 1, length);
            scenario.Fill().Verify(backend);
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Causal_queries_agree_with_the_reference(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        for (int numQueries = 1; numQueries <= 17; numQueries++)
        {
            var scenario = new Scenario(new AttentionShape(6, 2, 40), numQueries);
            int root = scenario.AddNode(-1, 33);
            scenario.AddSequence(root, numQueries, numQueries);
            scenario.AddSequence(root, numQueries, numQueries + 13);
            scenario.AddSequence(-1, numQueries, 64 + numQueries / 2 + 8);
            scenario.AddSequence(-1, numQueries, 0);
            scenario.Fill().Verify(backend);
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void A_long_prefill_agrees_with_the_reference(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        var scenario = new Scenario(new AttentionShape(2, 1, 32), 7);
        scenario.AddSequence(-1, 300, 1400);
        scenario.AddSequence(-1, 150, 150);
        scenario.Fill().Verify(backend);
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Random_trees_agree_with_the_reference_in_both_sharing_modes_bit_for_bit(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        for (int seed = 0; seed < 25; seed++)
        {
            Scenario scenario = RandomTree(seed);
            scenario.Verify(backend);
            scenario.Verify(backend, SharingMode.Paged);
            (float[] shared, float[] sharedLogs) = scenario.Run(backend, scenario.Plan());
            (float[] paged, float[] pagedLogs) = scenario.Run(backend, scenario.Plan(SharingMode.Paged));
            Assert.Equal(shared, paged);
            Assert.Equal(sharedLogs, pagedLogs);
        }
    }

    internal static Scenario RandomTree(int seed)
    {
        var random = new Random(seed);
        int kvHeads = random.Next(1, 4), group = random.Next(1, 5), headDim = 8 * random.Next(1, 9);
        var options = new AttentionOptions
        {
            SlidingWindow = random.Next(3) == 0 ? random.Next(1, 150) : null,
            LogitSoftCap = random.Next(3) == 0 ? 5 : null,
            Scale = random.Next(3) == 0 ? 0.3f : null,
            AlibiSlopes = random.Next(3) == 0 ? AlibiSlopes.ForHeads(kvHeads * group) : default,
        };
        var scenario = new Scenario(new AttentionShape(kvHeads * group, kvHeads, headDim), seed)
        {
            Options = options,
            KvType = (ElementType)random.Next(3),
            QueryType = (ElementType)random.Next(3),
            OutputType = (ElementType)random.Next(3),
        };
        AddChildren(-1, random.Next(5));
        if (random.Next(2) == 0) scenario.AddSequence(-1, random.Next(1, 9), 0);
        return scenario.Fill();

        void AddChildren(int parent, int depth)
        {
            int numSequences = random.Next(depth == 0 ? 1 : 0, 4);
            for (int i = 0; i < numSequences; i++)
            {
                int numQueries = random.Next(1, 6);
                scenario.AddSequence(parent, numQueries, random.Next(4) == 0 ? 0 : numQueries + random.Next(90));
            }
            if (depth == 0) return;
            int numChildren = random.Next(1, 4);
            for (int i = 0; i < numChildren; i++) AddChildren(scenario.AddNode(parent, random.Next(5) == 0 ? 0 : random.Next(1, 200)), depth - 1);
        }
    }
}
