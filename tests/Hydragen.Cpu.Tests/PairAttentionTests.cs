using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

/// <summary>
/// Attention of BF16 queries where many vectors see whole units of keys: some instruction sets compute them by one fused kernel, and bytes are
/// widened otherwise than for few vectors.
/// </summary>
public sealed class PairAttentionTests
{
    private static readonly int[] FusedHeadDims = [32, 64, 96, 128, 160, 192, 256];

    public static TheoryData<string, ElementType> SetsAndTypes
    {
        get
        {
            var cases = new TheoryData<string, ElementType>();
            foreach (string name in InstructionSets.Names)
            {
                foreach (ElementType type in (ElementType[])[ElementType.BFloat16, ElementType.Int8, ElementType.Float8E4M3, ElementType.Float8E5M2]) cases.Add(name, type);
            }
            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(SetsAndTypes))]
    public void Many_rows_over_whole_units_agree_with_the_reference_and_with_few_rows_bit_for_bit(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (int headDim in FusedHeadDims)
        {
            Scenario scenario = Batch(headDim, 700, 9, seed: headDim, type: type).Fill();
            scenario.Verify(backend);
            // Paged, each sequence is an item of its own, of too few rows for the fused kernel.
            (float[] shared, float[] sharedLogs) = scenario.Run(backend, scenario.Plan());
            (float[] paged, float[] pagedLogs) = scenario.Run(backend, scenario.Plan(SharingMode.Paged));
            Assert.Equal(paged, shared);
            Assert.Equal(pagedLogs, sharedLogs);
        }
    }

    [Theory]
    [MemberData(nameof(SetsAndTypes))]
    public void Every_number_of_rows_gives_the_same_bits(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        Scenario scenario = Batch(64, 400, 21, seed: 1, type: type).Fill();
        (float[] output, float[] logs) = scenario.Run(backend, scenario.Plan());
        foreach (int count in (int[])[1, 4, 5, 8, 9, 13, 16, 17, 20])
        {
            Scenario some = scenario.Choose([.. Enumerable.Range(21 - count, count)]);
            (float[] someOutput, float[] someLogs) = some.Run(backend, some.Plan());
            Assert.Equal(output[^someOutput.Length..], someOutput);
            Assert.Equal(logs[^someLogs.Length..], someLogs);
        }
    }

    [Theory]
    [MemberData(nameof(SetsAndTypes))]
    public void A_causal_prompt_agrees_with_the_reference_and_with_its_pieces_bit_for_bit(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        var scenario = new Scenario(new AttentionShape(3, 1, 64), 4) { Type = type };
        scenario.AddSequence(-1, 410, 420);
        scenario.Fill().Verify(backend);
        (float[] whole, _) = scenario.Run(backend, scenario.Plan());
        var builder = new AttentionPlanBuilder();
        for (int row = 0; row < 410; row++)
        {
            builder.AddRows(row + 10, 1);
            builder.AddSegment(row, 1, scenario.Sequences[0].Pages.Span, 0, row + 11, 0, AttentionMask.Full);
        }
        (float[] rows, _) = scenario.Run(backend, builder.Build());
        Assert.Equal(rows, whole);
    }

    /// <summary>Logits that leave the range of the first reference, in whole units and at their ends.</summary>
    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Logits_that_grow_later_move_the_reference(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (float growth in (float[])[30, 1000, 1e4f, -1e4f])
        {
            foreach (int from in (int[])[1, 16, 128, 140, 255, 256, 511])
            {
                Scenario scenario = Batch(64, 640, 9, seed: from, scale: 1).Fill();
                // The first element of a key is the logit's size: tiny up to a token, huge from there on.
                int[] pages = scenario.Nodes[0].Pages.ToArray();
                for (int token = 0; token < 640; token++)
                {
                    int slot = pages[token / KvCache.PageSize] * KvCache.PageSize + token % KvCache.PageSize;
                    for (int head = 0; head < 2; head++)
                    {
                        Span<float> key = scenario.Key.AsSpan((slot * 2 + head) * 64, 64);
                        key[1..].Clear();
                        key[0] = RandomTensors.Round(token < from ? 1e-6f : growth + token % 7, ElementType.BFloat16);
                    }
                }
                for (int i = 0; i < scenario.Query.Length; i += 64) scenario.Query[i] = i / 64 % 3 == 0 ? 1 : 0.5f;
                scenario.Verify(backend);
                (float[] shared, float[] logs) = scenario.Run(backend, scenario.Plan());
                (float[] paged, float[] pagedLogs) = scenario.Run(backend, scenario.Plan(SharingMode.Paged));
                Assert.Equal(paged, shared);
                Assert.Equal(pagedLogs, logs);
            }
        }
    }

    [Theory]
    [MemberData(nameof(SetsAndTypes))]
    public void Values_that_are_not_finite_stay_with_the_rows_that_see_them(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (float poison in (float[])[float.NaN, float.PositiveInfinity])
        {
            // Bytes saturate.
            if (type.IsByte() && float.IsInfinity(poison)) continue;
            var scenario = new Scenario(new AttentionShape(4, 2, 64), 5) { Type = type };
            int root = scenario.AddNode(-1, 256);
            scenario.AddSequence(root, 40, 150);
            scenario.AddSequence(root, 9, 20);
            scenario.Fill();
            (float[] clean, _) = scenario.Run(backend, scenario.Plan());
            // Seen by the last five queries of the first sequence.
            PlanSequence first = scenario.Sequences[0];
            int slot = first.Pages.Span[145 / KvCache.PageSize] * KvCache.PageSize + 145 % KvCache.PageSize;
            scenario.Value.AsSpan(slot * 128, 128).Fill(poison);
            (float[] output, _) = scenario.Run(backend, scenario.Plan());
            for (int i = 0; i < output.Length; i++)
            {
                if (i / 256 is >= 35 and < 40) Assert.False(float.IsFinite(output[i]));
                else Assert.Equal(clean[i], output[i]);
            }
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Subnormal_and_huge_numbers_harm_no_row(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        Scenario scenario = Batch(64, 300, 9, seed: 6).Fill();
        var random = new Random(6);
        for (int i = 0; i < scenario.Value.Length; i++)
        {
            if (float.IsNaN(scenario.Value[i])) continue;
            scenario.Value[i] = RandomTensors.Round(scenario.Value[i] * (random.Next(3) switch { 0 => 1e-40f, 1 => 1e30f, _ => 1 }), ElementType.BFloat16);
        }
        (double[] expected, _) = scenario.Reference(scenario.Plan());
        (float[] output, _) = scenario.Run(backend, scenario.Plan());
        for (int i = 0; i < output.Length; i++) Assert.Equal(expected[i], output[i], 1e30 * 4 * Math.Pow(2, -8));
    }

    internal static Scenario Batch(int headDim, int prefixLength, int numSequences, int seed, float? scale = null, ElementType type = ElementType.BFloat16)
    {
        var scenario = new Scenario(new AttentionShape(8, 2, headDim), seed)
        {
            Type = type,
            Options = new AttentionOptions { Scale = scale },
        };
        int root = scenario.AddNode(-1, prefixLength);
        for (int i = 0; i < numSequences; i++) scenario.AddSequence(root, 1, 1 + i * 17 % 40);
        return scenario;
    }
}
