using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

/// <summary>
/// Cutting keys into segments must not cost accuracy (goal N2), and the bounds that say so must be tight enough to reject the
/// tempting mistakes.
/// </summary>
public sealed class SplitBoundTests
{
    private const int NumKeys = 900;

    public static TheoryData<string, ElementType, int, int, float> Cases
    {
        get
        {
            var cases = new TheoryData<string, ElementType, int, int, float>();
            foreach (string name in InstructionSets.Names)
            {
                foreach (ElementType type in (ElementType[])[ElementType.Float32, ElementType.BFloat16])
                {
                    foreach ((int headDim, int group) in ((int, int)[])[(32, 1), (64, 4), (128, 16)])
                    {
                        cases.Add(name, type, headDim, group, 0);
                        cases.Add(name, type, headDim, group, 4);
                    }
                }
            }
            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_split_adds_no_error(string instructionSet, ElementType outputType, int headDim, int group, float valueMean)
    {
        if (!Fma.IsSupported && !AdvSimd.IsSupported) Assert.Skip("Without fused multiply-add a merge cannot carry its rounding errors along.");
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        Scenario scenario = Create(headDim, group, valueMean, outputType);
        (double[] expected, double[] expectedLogs) = scenario.Reference(Plan(scenario));
        using KvCache cache = scenario.CreateCache(backend);
        (double unsplitMean, double unsplitMax) = Errors(expected, scenario.Run(backend, Plan(scenario), cache).Output);
        foreach (int[] cuts in (int[][])[[0], [1], [NumKeys / 2], [NumKeys - 1], [NumKeys], [100, 333], [64, 64, 640], [1, 2, 3, 899]])
        {
            (float[] output, float[] logs) = scenario.Run(backend, Plan(scenario, cuts), cache);
            (double mean, double max) = Errors(expected, output);
            Assert.InRange(mean, 0, unsplitMean * Tolerance.SplitMeanFactor);
            Assert.InRange(max, 0, Tolerance.SplitMax(unsplitMax, expected));
            for (int i = 0; i < logs.Length; i++)
                Assert.Equal(expectedLogs[i], logs[i], Tolerance.LogSumExp * Math.Max(1, Math.Abs(expectedLogs[i])));
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Partials_rounded_to_bfloat16_break_the_bounds(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        Scenario scenario = Create(64, 4, 4, ElementType.BFloat16);
        (double[] expected, _) = scenario.Reference(Plan(scenario));
        using KvCache cache = scenario.CreateCache(backend);
        (double unsplitMean, double unsplitMax) = Errors(expected, scenario.Run(backend, Plan(scenario), cache).Output);
        float[] faithful = MergeOutside(scenario, backend, cache, rounding: ElementType.Float32, transposed: false);
        float[] lossy = MergeOutside(scenario, backend, cache, rounding: ElementType.BFloat16, transposed: false);

        (double mean, double max) = Errors(expected, faithful);
        Assert.InRange(mean, 0, unsplitMean * Tolerance.SplitMeanFactor);
        Assert.InRange(max, 0, Tolerance.SplitMax(unsplitMax, expected));
        (double lossyMean, _) = Errors(expected, lossy);
        Assert.True(lossyMean > unsplitMean * Tolerance.SplitMeanFactor, $"rounded partials have a mean error of {lossyMean}, the unsplit kernel {unsplitMean}");
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void A_transposed_log_sum_exp_breaks_the_bounds(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        Scenario scenario = Create(64, 4, 0, ElementType.Float32, rowsDifferInScale: true);
        (double[] expected, _) = scenario.Reference(Plan(scenario));
        using KvCache cache = scenario.CreateCache(backend);
        (_, double unsplitMax) = Errors(expected, scenario.Run(backend, Plan(scenario), cache).Output);
        (_, double faithfulMax) = Errors(expected, MergeOutside(scenario, backend, cache, ElementType.Float32, transposed: false));
        (_, double transposedMax) = Errors(expected, MergeOutside(scenario, backend, cache, ElementType.Float32, transposed: true));
        Assert.InRange(faithfulMax, 0, Tolerance.Attention);
        Assert.True(transposedMax > 1000 * unsplitMax, $"the transposed merge errs by {transposedMax} only");
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void A_causal_mask_that_is_off_by_one_breaks_the_bounds(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        var scenario = new Scenario(new AttentionShape(4, 2, 32), 3);
        scenario.AddSequence(-1, 40, 200);
        scenario.Fill();
        (double[] expected, _) = scenario.Reference(scenario.Plan());
        (_, double max) = Errors(expected, scenario.Run(backend, scenario.Plan()).Output);
        Assert.InRange(max, 0, Tolerance.Attention);
        foreach (int shift in (int[])[-1, 1])
        {
            var builder = new AttentionPlanBuilder();
            builder.AddRows(160 + shift, 40);
            builder.AddSegment(0, 40, scenario.Sequences[0].Pages.Span, 0, 200, 0, AttentionMask.Causal);
            (_, double shifted) = Errors(expected, scenario.Run(backend, builder.Build()).Output);
            Assert.True(shifted > 1000 * Tolerance.Attention, $"a mask shifted by {shift} errs by {shifted} only");
        }
    }

    private static Scenario Create(int headDim, int group, float valueMean, ElementType outputType, bool rowsDifferInScale = false)
    {
        var scenario = new Scenario(new AttentionShape(2 * group, 2, headDim), 1) { ValueMean = valueMean, OutputType = outputType };
        scenario.AddNode(-1, NumKeys);
        // Enough rows that the largest error is not a matter of luck.
        scenario.AddSequence(0, Math.Max(16, 192 / group), 0);
        scenario.Fill();
        if (!rowsDifferInScale) return scenario;
        // So that the log-sum-exps of rows and heads cannot be mistaken for each other.
        int rowSize = 2 * group * headDim;
        for (int i = 0; i < scenario.Query.Length; i++) scenario.Query[i] *= 0.1f * (1 + i / rowSize % 8) * (1 + i / headDim % 3);
        return scenario;
    }

    private static AttentionPlan Plan(Scenario scenario, params int[] cuts)
    {
        var builder = new AttentionPlanBuilder();
        builder.AddRows(NumKeys, scenario.Sequences[0].NumQueries);
        int start = 0;
        foreach (int end in (int[])[.. cuts, NumKeys])
        {
            AddSegment(builder, scenario, start, end);
            start = end;
        }
        return builder.Build();
    }

    private static void AddSegment(AttentionPlanBuilder builder, Scenario scenario, int start, int end)
    {
        ReadOnlySpan<int> pages = scenario.Nodes[0].Pages.Span;
        int firstPage = Math.Min(start / KvCache.PageSize, pages.Length - 1);
        builder.AddSegment(0, scenario.Sequences[0].NumQueries, pages[firstPage..], start < end ? start % KvCache.PageSize : 0, end - start, start, AttentionMask.Full);
    }

    /// <summary>Computes two halves by themselves and merges them here, rightly or as a mutant.</summary>
    private static float[] MergeOutside(Scenario scenario, CpuBackend backend, KvCache cache, ElementType rounding, bool transposed)
    {
        int numHeads = scenario.Shape.NumHeads, headDim = scenario.Shape.HeadDim, numRows = scenario.Sequences[0].NumQueries;
        var outputs = new float[2][];
        var logs = new float[2][];
        for (int half = 0; half < 2; half++)
        {
            var builder = new AttentionPlanBuilder();
            builder.AddRows(NumKeys, scenario.Sequences[0].NumQueries);
            AddSegment(builder, scenario, half == 0 ? 0 : 450, half == 0 ? 450 : NumKeys);
            (outputs[half], logs[half]) = scenario.RunAs(ElementType.Float32, backend, builder.Build(), cache);
            RandomTensors.Round(outputs[half], rounding);
        }
        float[] merged = outputs[0];
        for (int rowHead = 0; rowHead < numRows * numHeads; rowHead++)
        {
            // The mutant reads [rows, heads] as [heads, rows].
            int source = transposed ? rowHead % numHeads * numRows + rowHead / numHeads : rowHead;
            float logSumExp = logs[0][source];
            LogSumExp.Merge(merged.AsSpan(rowHead * headDim, headDim), ref logSumExp, outputs[1].AsSpan(rowHead * headDim, headDim), logs[1][source]);
        }
        return RandomTensors.Round(merged, scenario.OutputType);
    }

    private static (double Mean, double Max) Errors(double[] expected, float[] actual)
    {
        double sum = 0, max = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            double error = Math.Abs(expected[i] - actual[i]);
            sum += error;
            max = Math.Max(max, error);
        }
        return (sum / expected.Length, max);
    }
}
