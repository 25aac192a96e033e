using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

public sealed class AttentionTests
{
    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Every_head_dimension_agrees_with_the_reference(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        for (int headDim = 8; headDim <= 256; headDim += 8)
        {
            var scenario = new Scenario(new AttentionShape(4, 2, headDim), headDim) { KvType = type, QueryType = type };
            int root = scenario.AddNode(-1, 70);
            scenario.AddSequence(root, 1, 5);
            scenario.AddSequence(root, 3, 20);
            scenario.AddSequence(-1, 1, 65);
            scenario.Fill().Verify(backend);
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Every_group_size_agrees_with_the_reference(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (int group in (int[])[1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32])
        {
            var scenario = new Scenario(new AttentionShape(group * 2, 2, 24), group) { KvType = type, QueryType = type };
            int root = scenario.AddNode(-1, 130);
            for (int i = 0; i < 7; i++) scenario.AddSequence(root, 1, 1 + 9 * i);
            scenario.Fill().Verify(backend);
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Lengths_around_every_tile_and_page_size_agree_with_the_reference(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        int[] lengths = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 79, 80, 81, 127, 128, 129, 1023, 1024, 1025, 2047, 2048, 2049];
        foreach (int length in lengths)
        {
            var scenario = new Scenario(new AttentionShape(4, 2, 16), length) { KvType = type, QueryType = type };
            int root = scenario.AddNode(-1, length);
            scenario.AddSequence(root, 1, 0);
            scenario.AddSequence(root, 1, 1);
            scenario.AddSequence(root, 1, length);
            scenario.Fill().Verify(backend);
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Causal_queries_agree_with_the_reference(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        for (int numQueries = 1; numQueries <= 17; numQueries++)
        {
            var scenario = new Scenario(new AttentionShape(6, 2, 40), numQueries) { KvType = type, QueryType = type };
            int root = scenario.AddNode(-1, 33);
            scenario.AddSequence(root, numQueries, numQueries);
            scenario.AddSequence(root, numQueries, numQueries + 13);
            scenario.AddSequence(-1, numQueries, 64 + numQueries / 2 + 8);
            scenario.AddSequence(-1, numQueries, 0);
            scenario.Fill().Verify(backend);
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void A_long_prefill_agrees_with_the_reference(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        var scenario = new Scenario(new AttentionShape(2, 1, 32), 7) { KvType = type, QueryType = type };
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

    /// <summary>The shape sets of the reference implementation's own test: levels of shared lengths, then the lengths of the sequences.</summary>
    public static TheoryData<string, int, int[][]> ReferenceShapes
    {
        get
        {
            var shapes = new TheoryData<string, int, int[][]>();
            foreach (string name in InstructionSets.Names)
            {
                foreach (int numKvHeads in (int[])[1, 8])
                {
                    shapes.Add(name, numKvHeads, [[1], [10]]);
                    shapes.Add(name, numKvHeads, [[3], [6, 6]]);
                    shapes.Add(name, numKvHeads, [[3], [6, 7]]);
                    shapes.Add(name, numKvHeads, [[7, 7], [9, 10, 11, 4], [129, 2, 3, 4, 5, 6, 7, 128]]);
                    shapes.Add(name, numKvHeads, [[16384], [1, 128, 256]]);
                }
            }
            return shapes;
        }
    }

    [Theory]
    [MemberData(nameof(ReferenceShapes))]
    public void The_shape_sets_of_the_reference_implementation_agree(string instructionSet, int numKvHeads, int[][] levels)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        var scenario = new Scenario(new AttentionShape(8, numKvHeads, 128), 0) { KvType = ElementType.Float16, QueryType = ElementType.Float16 };
        var above = new List<int> { -1 };
        foreach (int[] lengths in levels[..^1]) above = [.. lengths.Select((length, i) => scenario.AddNode(above[i * above.Count / lengths.Length], length))];
        for (int i = 0; i < levels[^1].Length; i++) scenario.AddSequence(above[i * above.Count / levels[^1].Length], 1, levels[^1][i]);
        // The tree lists nodes level by level, sequences depth-first; both keep siblings together.
        scenario.Fill().Verify(backend);
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Biases_windows_and_caps_hold_across_the_borders_of_segments(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        float[] slopes = AlibiSlopes.ForHeads(6);
        AttentionOptions[] variants =
        [
            new() { AlibiSlopes = slopes },
            new() { SlidingWindow = 1 },
            new() { SlidingWindow = 40 },
            new() { SlidingWindow = 128 },
            new() { LogitSoftCap = 15 },
            new() { LogitSoftCap = 50, AlibiSlopes = slopes, SlidingWindow = 97, Scale = 0.2f },
            new() { Scale = -0.1f },
            new() { Scale = 0 },
        ];
        foreach (AttentionOptions options in variants)
        {
            var scenario = new Scenario(new AttentionShape(6, 3, 32), 17) { KvType = type, QueryType = type, Options = options };
            int root = scenario.AddNode(-1, 75), child = scenario.AddNode(root, 60), other = scenario.AddNode(root, 1);
            scenario.AddSequence(child, 9, 30);
            scenario.AddSequence(child, 1, 64);
            scenario.AddSequence(other, 17, 17);
            scenario.AddSequence(other, 2, 0);
            scenario.Fill().Verify(backend);
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Extreme_logits_stay_exact(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (float scale in (float[])[1e4f, -1e4f])
        {
            // Keys of small integers make logits exact, so that FP32 chooses the same maximum as FP64; neighbours differ by 1e4.
            var scenario = new Scenario(new AttentionShape(2, 1, 8), 18) { KvType = type, QueryType = type, Options = new AttentionOptions { Scale = scale } };
            int root = scenario.AddNode(-1, 150);
            scenario.AddSequence(root, 2, 70);
            scenario.Fill();
            for (int i = 0; i < scenario.Key.Length; i++) scenario.Key[i] = MathF.Round(scenario.Key[i]);
            for (int i = 0; i < scenario.Query.Length; i++) scenario.Query[i] = MathF.Round(scenario.Query[i]);
            scenario.Verify(backend);
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Large_common_shifts_of_the_scores_keep_the_output(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        var scenario = new Scenario(new AttentionShape(2, 1, 16), 19) { KvType = type, QueryType = type, Options = new AttentionOptions { Scale = 1 } };
        int root = scenario.AddNode(-1, 100);
        scenario.AddSequence(root, 2, 20);
        scenario.Fill();
        // One element of the keys is constant; the query's weight on it shifts all scores of a row alike.
        for (int i = 0; i < scenario.Key.Length; i += 16) scenario.Key[i] = 1;
        for (int i = 0; i < scenario.Query.Length; i += 16) scenario.Query[i] = 500;
        // A score of 500 has a rounding error of 500 · 2^-24, sixteen times over in the sum.
        scenario.Verify(backend, scenario.Plan(), 500 * 16 * Math.Pow(2, -24));
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
