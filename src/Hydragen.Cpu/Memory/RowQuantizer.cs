using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// Rounds rows to INT8, symmetrically: x ≈ q · scale with scale = max|x| / 127 and q = x · (127 / max|x|) rounded to nearest, ties to
/// even. Every step is one IEEE operation, so that all vector widths give the same bits.
/// </summary>
internal abstract unsafe class RowQuantizer
{
    /// <summary>The largest q.</summary>
    public const int MaxLevel = 127;

    /// <summary>What is added to q where unsigned bytes are wanted.</summary>
    public const int UnsignedOffset = 128;

    /// <summary>Rows whose largest magnitude is below count as zeros, so that no scale is subnormal and no 127 / max infinite: 2^−100.</summary>
    public const float SmallestMagnitude = 7.888609E-31f;

    /// <summary>Rounds one row.</summary>
    /// <param name="source">Elements of <paramref name="type"/>.</param>
    /// <param name="type">How they are stored.</param>
    /// <param name="count">Their number.</param>
    /// <param name="isUnsigned">Whether to store q + 128 as a byte instead of q.</param>
    /// <param name="destination">Receives <paramref name="count"/> bytes.</param>
    /// <returns>The scale: 0 for a row of zeros, NaN for a row with an element that is not finite; all its q are 0.</returns>
    public abstract float Quantize(byte* source, ElementType type, nint count, bool isUnsigned, byte* destination);
}

/// <inheritdoc/>
internal sealed unsafe class RowQuantizer<S, V> : RowQuantizer
    where S : struct, ISimd<V>
    where V : struct
{
    private const uint MagnitudeBits = 0x7FFF_FFFF, InfinityBits = 0x7F80_0000;

    // 1.5 · 2^23: an addend that leaves a sum no room for fractions, so that its lowest byte is that of the rounded number.
    private const float IntegerOrigin = 12_582_912;

    public override float Quantize(byte* source, ElementType type, nint count, bool isUnsigned, byte* destination) => type switch
    {
        ElementType.Float32 => Quantize<Float32Storage>(source, count, isUnsigned, destination),
        ElementType.BFloat16 => Quantize<BFloat16Storage>(source, count, isUnsigned, destination),
        _ => Quantize<Float16Storage>(source, count, isUnsigned, destination),
    };

    private static float Quantize<T>(byte* source, nint count, bool isUnsigned, byte* destination)
        where T : struct, IStorage
    {
        byte zero = (byte)(isUnsigned ? UnsignedOffset : 0);
        uint bits = LargestMagnitude<T>(source, count);
        float largest = BitConverter.UInt32BitsToSingle(bits);
        bool isFinite = bits < InfinityBits;
        if (!isFinite || largest < SmallestMagnitude)
        {
            new Span<byte>(destination, (int)count).Fill(zero);
            return isFinite ? 0 : float.NaN;
        }
        Round<T>(source, count, MaxLevel / largest, IntegerOrigin + zero, destination);
        return largest / MaxLevel;
    }

    /// <summary>The bits of the largest magnitude. As integers they are in the order of magnitudes, and those of NaN come last.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static uint LargestMagnitude<T>(byte* source, nint count)
        where T : struct, IStorage
    {
        V largest = default, mask = S.Bits(MagnitudeBits);
        nint i = 0;
        for (; i <= count - S.Lanes; i += S.Lanes) largest = S.MaxBits(largest, S.And(T.Load<S, V>(source, i), mask));
        uint* lanes = stackalloc uint[S.Lanes];
        S.Store((float*)lanes, largest);
        uint result = 0;
        for (; i < count; i++) result = Math.Max(result, BitConverter.SingleToUInt32Bits(T.Get(source, i)) & MagnitudeBits);
        for (int lane = 0; lane < S.Lanes; lane++) result = Math.Max(result, lanes[lane]);
        return result;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Round<T>(byte* source, nint count, float inverseScale, float origin, byte* destination)
        where T : struct, IStorage
    {
        V factor = S.Broadcast(inverseScale), addend = S.Broadcast(origin);
        nint i = 0;
        for (; i <= count - S.Lanes; i += S.Lanes) S.StoreBytes(destination + i, S.Add(S.Multiply(T.Load<S, V>(source, i), factor), addend));
        for (; i < count; i++) destination[i] = (byte)BitConverter.SingleToUInt32Bits(T.Get(source, i) * inverseScale + origin);
    }
}
