using System.Numerics;
using System.Runtime.InteropServices;
using Hydragen.Core;

namespace Hydragen.Models;

/// <summary>Widening of stored weights, and the search for numbers that are NaN or infinite.</summary>
internal static class WeightNumbers
{
    /// <summary>Widens little-endian elements to FP32; exact.</summary>
    public static void Widen(ElementType type, ReadOnlySpan<byte> source, Span<float> destination)
    {
        switch (type)
        {
            case ElementType.Float32:
                MemoryMarshal.Cast<byte, float>(source).CopyTo(destination);
                break;
            case ElementType.BFloat16:
                ReadOnlySpan<ushort> bits = MemoryMarshal.Cast<byte, ushort>(source);
                for (int i = 0; i < bits.Length; i++) destination[i] = BFloat16Bits.ToSingle(bits[i]);
                break;
            default:
                ReadOnlySpan<Half> halves = MemoryMarshal.Cast<byte, Half>(source);
                for (int i = 0; i < halves.Length; i++) destination[i] = (float)halves[i];
                break;
        }
    }

    /// <summary>The index of the first element that is NaN or infinite, or −1.</summary>
    public static int IndexOfNonFinite(ElementType type, ReadOnlySpan<byte> source) => type switch
    {
        ElementType.Float32 => IndexOfAllSet(MemoryMarshal.Cast<byte, uint>(source), 0x7F80_0000u),
        ElementType.BFloat16 => IndexOfAllSet(MemoryMarshal.Cast<byte, ushort>(source), (ushort)0x7F80),
        _ => IndexOfAllSet(MemoryMarshal.Cast<byte, ushort>(source), (ushort)0x7C00),
    };

    private static int IndexOfAllSet<T>(ReadOnlySpan<T> bits, T exponent) where T : unmanaged, IBinaryInteger<T>
    {
        int i = 0;
        var mask = new Vector<T>(exponent);
        for (; i <= bits.Length - Vector<T>.Count; i += Vector<T>.Count)
        {
            if (Vector.EqualsAny(new Vector<T>(bits[i..]) & mask, mask)) break;
        }
        for (; i < bits.Length; i++)
        {
            if ((bits[i] & exponent) == exponent) return i;
        }
        return -1;
    }
}
