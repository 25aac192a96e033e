using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

/// <summary>What holds bit for bit.</summary>
public sealed class ExactnessTests
{
    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Pages_may_lie_anywhere(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        for (int seed = 100; seed < 110; seed++)
        {
            Scenario scenario = RandomTrees.Create(seed);
            Scenario moved = scenario.MovePages(seed);
            AssertSameBits(scenario.Run(backend, scenario.Plan()), moved.Run(backend, moved.Plan()));
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void The_number_of_threads_and_the_size_of_the_workspace_change_nothing(string instructionSet, ElementType type)
    {
        var scenario = new Scenario(new AttentionShape(6, 2, 24), 5) { Type = type };
        int root = scenario.AddNode(-1, 2500), child = scenario.AddNode(root, 1100);
        scenario.AddSequence(root, 40, 1200);
        scenario.AddSequence(child, 3, 30);
        scenario.AddSequence(child, 1, 0);
        scenario.AddSequence(-1, 2, 0);
        scenario.Fill();
        AttentionPlan plan = scenario.Plan();
        using CpuBackend one = InstructionSets.Backend(instructionSet, 1);
        (float[] Output, float[] LogSumExp) expected = scenario.Run(one, plan);
        foreach (int numThreads in (int[])[2, 5])
        {
            foreach (long workspaceFloats in (long[])[1, 2000, 1 << 20])
            {
                var options = new CpuOptions { InstructionSet = instructionSet, NumThreads = numThreads };
                using var backend = new CpuBackend(options, NativeAllocator.Default, workspaceFloats);
                for (int repeat = 0; repeat < 5; repeat++) AssertSameBits(expected, scenario.Run(backend, plan));
            }
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void A_sequence_gives_the_same_bits_alone_in_any_batch_and_in_any_order(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        var scenario = new Scenario(new AttentionShape(6, 2, 40), 6) { KvType = type.IsByte() ? type : ElementType.BFloat16, QueryType = Scenario.QueryTypeFor(type) };
        int root = scenario.AddNode(-1, 1300), child = scenario.AddNode(root, 77);
        int[] queries = [1, 4, 1, 9, 2, 1, 1];
        for (int i = 0; i < queries.Length; i++) scenario.AddSequence(child, queries[i], queries[i] + 20 * i);
        scenario.Fill();
        (float[] output, float[] logSumExp) = scenario.Run(backend, scenario.Plan());
        foreach (int[] order in (int[][])[[0], [1], [2], [3], [4], [5], [6], [6, 5, 4, 3, 2, 1, 0], [3, 0, 5], [2, 4, 6, 0]])
        {
            Scenario chosen = scenario.Choose(order);
            (float[] chosenOutput, float[] chosenLogs) = chosen.Run(backend, chosen.Plan());
            for (int i = 0; i < order.Length; i++)
            {
                int from = scenario.FirstRow(order[i]), to = chosen.FirstRow(i), count = queries[order[i]];
                Assert.Equal(output.AsSpan(from * 240, count * 240), chosenOutput.AsSpan(to * 240, count * 240));
                Assert.Equal(logSumExp.AsSpan(from * 6, count * 6), chosenLogs.AsSpan(to * 6, count * 6));
            }
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void A_prompt_gives_the_same_bits_in_one_piece_and_row_by_row(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        var shape = new AttentionShape(4, 2, 16);
        var scenario = new Scenario(shape, 8) { Type = type };
        // The last rows lie on both sides of a split of the keys.
        const int length = AttentionWork.KeysPerSplit + 10;
        scenario.AddSequence(-1, length, length);
        scenario.Fill();
        (float[] whole, _) = scenario.Run(backend, scenario.Plan());
        var builder = new AttentionPlanBuilder();
        for (int row = 0; row < length; row++)
        {
            builder.AddRows(row, 1);
            builder.AddSegment(row, 1, scenario.Sequences[0].Pages.Span, 0, row + 1, 0, AttentionMask.Full);
        }
        (float[] rows, _) = scenario.Run(backend, builder.Build());
        Assert.Equal(whole, rows);
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Scaling_the_values_by_a_power_of_two_scales_the_output(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        for (int seed = 200; seed < 206; seed++)
        {
            var scenario = new Scenario(new AttentionShape(4, 2, 24), seed) { Type = type };
            int root = scenario.AddNode(-1, 1200);
            scenario.AddSequence(root, 3, 50);
            scenario.Fill();
            (float[] before, float[] logsBefore) = scenario.Run(backend, scenario.Plan());
            for (int i = 0; i < scenario.Value.Length; i++) scenario.Value[i] *= 64;
            (float[] after, float[] logsAfter) = scenario.Run(backend, scenario.Plan());
            Assert.Equal(Array.ConvertAll(before, x => x * 64), after);
            Assert.Equal(logsBefore, logsAfter);
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Grouped_heads_are_repeated_heads(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        var grouped = new Scenario(new AttentionShape(6, 2, 16), 9) { Type = type };
        grouped.AddSequence(-1, 5, 140);
        grouped.Fill();
        var repeated = new Scenario(new AttentionShape(6, 6, 16), 9) { Type = type };
        repeated.AddSequence(-1, 5, 140);
        repeated.Fill();
        grouped.Query.CopyTo(repeated.Query, 0);
        for (int i = 0; i < repeated.Key.Length; i++)
        {
            int slot = i / 96, head = i / 16 % 6, page = slot / 64;
            int sourcePage = Array.IndexOf(repeated.Sequences[0].Pages.ToArray(), page);
            if (sourcePage < 0) continue;
            int sourceSlot = grouped.Sequences[0].Pages.Span[sourcePage] * 64 + slot % 64;
            repeated.Key[i] = grouped.Key[(sourceSlot * 2 + head / 3) * 16 + i % 16];
            repeated.Value[i] = grouped.Value[(sourceSlot * 2 + head / 3) * 16 + i % 16];
        }
        AssertSameBits(grouped.Run(backend, grouped.Plan()), repeated.Run(backend, repeated.Plan()));
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void A_NaN_stays_in_the_row_that_has_it(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        var scenario = new Scenario(new AttentionShape(4, 2, 16), 10) { Type = type };
        int root = scenario.AddNode(-1, 1500);
        for (int i = 0; i < 9; i++) scenario.AddSequence(root, 1, 3 + i);
        scenario.AddSequence(root, 6, 20);
        scenario.Fill();
        const int rowSize = 64, poisoned = 4;
        (float[] clean, float[] cleanLogs) = scenario.Run(backend, scenario.Plan());

        scenario.Query.AsSpan(poisoned * rowSize, rowSize).Fill(float.NaN);
        // The last token of the last sequence is visible to its last query only.
        PlanSequence last = scenario.Sequences[^1];
        int slot = last.Pages.Span[0] * KvCache.PageSize + last.NumKeys - 1;
        scenario.Key.AsSpan(slot * 32, 32).Fill(float.NaN);
        scenario.Value.AsSpan(slot * 32, 32).Fill(float.NaN);
        (float[] output, float[] logs) = scenario.Run(backend, scenario.Plan());

        for (int row = 0; row < 15; row++)
        {
            if (row is poisoned or 14)
            {
                Assert.All(output[(row * rowSize)..((row + 1) * rowSize)], x => Assert.True(float.IsNaN(x)));
                continue;
            }
            Assert.Equal(clean.AsSpan(row * rowSize, rowSize), output.AsSpan(row * rowSize, rowSize));
            Assert.Equal(cleanLogs.AsSpan(row * 4, 4), logs.AsSpan(row * 4, 4));
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void One_key_yields_its_value_at_any_finite_score(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        AttentionConformance.OneKey(backend, type);
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void Equal_keys_yield_the_mean_of_the_values(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        AttentionConformance.EqualKeys(backend, type);
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Rows_without_visible_keys_are_zero_and_minus_infinity(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        AttentionConformance.RowsWithoutKeys(backend);
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void An_empty_plan_is_allowed(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        AttentionConformance.EmptyPlan(backend);
    }

    [Theory]
    [ClassData(typeof(InstructionSetsAndTypes))]
    public void The_output_may_be_the_query(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        AttentionConformance.OutputInPlace(backend, type);
    }

    private static void AssertSameBits((float[] Output, float[] LogSumExp) expected, (float[] Output, float[] LogSumExp) actual)
    {
        Assert.Equal(expected.Output, actual.Output);
        Assert.Equal(expected.LogSumExp, actual.LogSumExp);
    }
}
