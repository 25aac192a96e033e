using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

/// <summary>Scales of FP8 keys and values.</summary>
public sealed class KvScaleTests
{
    /// <summary>Instruction sets, and types of sequences and prefixes.</summary>
    public static TheoryData<string, ElementType, ElementType> MixedTypes
    {
        get
        {
            var types = new TheoryData<string, ElementType, ElementType>();
            foreach (string name in InstructionSets.Names)
            {
                foreach ((ElementType suffix, ElementType prefix) in KvScaleConformance.MixedTypes) types.Add(name, suffix, prefix);
            }
            return types;
        }
    }

    /// <summary>Instruction sets and types.</summary>
    public static TheoryData<string, ElementType> Types
    {
        get
        {
            var types = new TheoryData<string, ElementType>();
            foreach (string name in InstructionSets.Names)
            {
                foreach (ElementType type in KvScaleConformance.Types) types.Add(name, type);
            }
            return types;
        }
    }

    [Theory]
    [MemberData(nameof(MixedTypes))]
    public void Scales_move_results_by_themselves_and_by_nothing_else(string instructionSet, ElementType suffixType, ElementType prefixType)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (ElementType queryType in (ElementType[])[ElementType.BFloat16, ElementType.Float32])
            KvScaleConformance.Attention(backend, suffixType, prefixType, queryType);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Partial_results_are_scaled(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (ElementType queryType in (ElementType[])[ElementType.BFloat16, ElementType.Float32]) KvScaleConformance.Splits(backend, type, queryType);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void What_is_stored_with_scales_is_what_the_host_rounds_to(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        KvScaleConformance.ScalesOfOne(backend, type);
        KvScaleConformance.Rounding(backend, type);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void With_scales_a_head_beyond_the_range_does_not_saturate(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        KvScaleConformance.Operator(backend, type);
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Largest_magnitudes_are_found_and_what_makes_no_sense_is_refused(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        KvScaleConformance.Magnitudes(backend);
        KvScaleConformance.Refusals(backend);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void A_step_appends_with_scales_what_is_written_with_them(string instructionSet, ElementType type)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        var shape = new AttentionShape(2, 2, 24);
        KvScale[] scales = [new(4, 1), new(1, 512)];
        int[] slots = [5, 70, 0];
        float[] rows = RandomTensors.Normal(new Random(1), slots.Length * 6 * 24, 0, 3000);
        using DeviceBuffer input = backend.Allocate(ElementType.Float32, rows.Length), query = backend.Allocate(ElementType.Float32, slots.Length * 48);
        input.Upload(rows);
        using KvCache cache = backend.CreateKvCache(new KvCacheShape(1, 2, 24, type), 2);
        cache.SetScales(PageKind.Suffix, scales);
        backend.RotaryAppend(input, shape, null, null, slots, slots, cache, 0, query);
        Assert.Throws<InvalidOperationException>(() => cache.SetScales(PageKind.Suffix, scales));
        for (int row = 0; row < slots.Length; row++)
        {
            for (int head = 0; head < 2; head++)
            {
                float[] key = rows[((row * 6 + 2 + head) * 24)..][..24], value = rows[((row * 6 + 4 + head) * 24)..][..24];
                KvRounding.Round(key, 24, type, scales[head].Key);
                KvRounding.Round(value, 24, type, scales[head].Value);
                for (int i = 0; i < 24; i++)
                {
                    Assert.Equal(key[i], CacheReader.Read(cache, 0, head, slots[row], i, false) * scales[head].Key);
                    Assert.Equal(value[i], CacheReader.Read(cache, 0, head, slots[row], i, true) * scales[head].Value);
                }
            }
        }
    }
}
