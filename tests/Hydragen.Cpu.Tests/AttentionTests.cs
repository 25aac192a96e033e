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
        AttentionConformance.HeadDimensions(backend, type);
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Every_group_size_agrees_with_the_reference(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        AttentionConformance.GroupSizes(backend, type);
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Lengths_around_every_tile_and_page_size_agree_with_the_reference(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        AttentionConformance.Lengths(backend, type);
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Causal_queries_agree_with_the_reference(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        AttentionConformance.CausalQueries(backend, type);
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void A_long_prefill_agrees_with_the_reference(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        AttentionConformance.LongPrefill(backend, type);
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Random_trees_agree_with_the_reference_in_both_sharing_modes_bit_for_bit(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        for (int seed = 0; seed < 25; seed++)
        {
            Scenario scenario = RandomTrees.Create(seed);
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
        AttentionConformance.ReferenceShapes(backend, numKvHeads, levels);
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Biases_windows_and_caps_hold_across_the_borders_of_segments(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        AttentionConformance.LogitOptions(backend, type);
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Extreme_logits_stay_exact(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        AttentionConformance.ExtremeLogits(backend, type);
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Large_common_shifts_of_the_scores_keep_the_output(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        AttentionConformance.CommonShifts(backend, type);
    }
}
