using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

public sealed class RotaryAppendTests
{
    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Queries_and_keys_are_normalised_rotated_and_stored(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (RotaryCase c in OperatorConformance.RotaryCases) OperatorConformance.RotaryAppend(backend, CacheReader.Read, c);
    }
}

/// <summary>Reads single elements out of the page layout.</summary>
internal static unsafe class CacheReader
{
    public static float Read(KvCache kvCache, int layer, int kvHead, int slot, int element, bool isValue)
    {
        var cache = (CpuKvCache)kvCache;
        CpuPageLayout layout = cache.LayoutOf(cache.KindOf(slot / KvCache.PageSize));
        byte* head = (byte*)cache.Pages[slot / KvCache.PageSize] + layout.HeadOffset(layer, kvHead);
        int token = slot % KvCache.PageSize;
        // A page is two matrices in strips of 16: keys × elements, and elements × tokens.
        (int outer, int inner, int depth) = isValue ? (element, token, KvCache.PageSize) : (token, element, cache.Shape.HeadDim);
        nint index = outer / 16 * depth * 16;
        index += layout.IsPaired ? inner / 2 * 32 + outer % 16 * 2 + inner % 2 : inner * 16 + outer % 16;
        Half* scales = (Half*)(head + layout.ScaleOffset) + (isValue ? KvCache.PageSize : 0);
        if (isValue) head += layout.ValueOffset;
        return layout.ElementType switch
        {
            ElementType.Float32 => ((float*)head)[index],
            ElementType.BFloat16 => BFloat16Bits.ToSingle(((ushort*)head)[index]),
            ElementType.Float16 => (float)((Half*)head)[index],
            ElementType.Int8 => (head[index] & 0x7F) * (head[index] >= 0x80 ? -1 : 1) * (float)scales[token],
            _ => Float8Bits.ToSingle(head[index], layout.ElementType),
        };
    }
}
