using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Converts vectors between FP32 and the bytes of a KV cache.</summary>
internal abstract unsafe class ByteConverter
{
    /// <summary>How <see cref="PairsToSingle"/> widens, for people.</summary>
    public abstract string Way { get; }

    /// <summary>Rounds one token's key or value of a head.</summary>
    /// <param name="source">FP32 <c>[count]</c>.</param>
    /// <param name="type">A type whose elements are bytes.</param>
    /// <param name="count">Elements.</param>
    /// <param name="destination">Receives <c>[count]</c> bytes.</param>
    /// <param name="factor">What elements of FP8 are multiplied with first.</param>
    /// <returns>The scale; 1 for types without.</returns>
    public abstract Half FromSingle(float* source, ElementType type, nint count, byte* destination, float factor = 1);

    /// <summary>Widens scales of INT8, multiplied by what levels were divided by.</summary>
    /// <param name="source">The scales.</param>
    /// <param name="count">A multiple of 16.</param>
    /// <param name="destination">Receives FP32 <c>[count]</c>.</param>
    public abstract void ScalesToSingle(Half* source, nint count, float* destination);

    /// <summary>Takes rows of 16 pairs apart into two FP32 rows of 16 each, without scales; levels of INT8 become fractions of 128.</summary>
    /// <param name="source">Bytes <c>[count / 32][16][2]</c>.</param>
    /// <param name="type">A type whose elements are bytes.</param>
    /// <param name="count">A multiple of 32.</param>
    /// <param name="destination">Receives FP32 <c>[count / 16][16]</c>.</param>
    /// <param name="ahead">Bytes from what is read to what is worth fetching meanwhile; 0 for nothing.</param>
    public abstract void PairsToSingle(byte* source, ElementType type, nint count, float* destination, nint ahead);
}

/// <inheritdoc/>
internal sealed unsafe class ByteConverter<S, V> : ByteConverter
    where S : struct, ISimd<V>
    where V : struct
{
    private const uint MagnitudeBits = 0x7FFF_FFFF;
    private const int LineBytes = 64;

    public override string Way => UsesTable ? "by a table in AVX-512 VBMI" : "by shifts and a multiplication";

    private static bool UsesTable => S.Lanes == TileShape.StripWidth && ByteTable.IsSupported;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override Half FromSingle(float* source, ElementType type, nint count, byte* destination, float factor = 1)
    {
        switch (type)
        {
            case ElementType.Float8E4M3:
                Encode<Float8E4M3Format>(source, factor, count, destination);
                return Half.One;
            case ElementType.Float8E5M2:
                Encode<Float8E5M2Format>(source, factor, count, destination);
                return Half.One;
            default:
                Half scale = Int8Levels.ScaleFor(Largest(source, count));
                Encode<Int8Format>(source, Int8Levels.InverseOf(scale), count, destination);
                return scale;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void ScalesToSingle(Half* source, nint count, float* destination)
    {
        V factor = S.Broadcast(Int8Format.Denominator);
        for (nint i = 0; i < count; i += S.Lanes) S.Store(destination + i, S.Multiply(Float16Storage.Load<S, V>((byte*)source, i), factor));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void PairsToSingle(byte* source, ElementType type, nint count, float* destination, nint ahead)
    {
        if (UsesTable)
        {
            ByteTable.ToSingle(source, type, count, destination, ahead);
            return;
        }
        switch (type)
        {
            case ElementType.Float8E4M3: Decode<Float8E4M3Format>(source, count, destination, ahead); break;
            case ElementType.Float8E5M2: Decode<Float8E5M2Format>(source, count, destination, ahead); break;
            default: Decode<Int8Format>(source, count, destination, ahead); break;
        }
    }

    /// <summary>The largest magnitude; NaN if there is one. As integers, magnitudes are in order, and those of NaN come last.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Largest(float* source, nint count)
    {
        V largest = default, mask = S.Bits(MagnitudeBits);
        for (nint i = 0; i < count; i += S.Lanes)
            largest = S.MaxBits(largest, S.And(Partial<S, V>.Load<Float32Storage>((byte*)source, (int)i, (int)(count - i)), mask));
        uint* lanes = stackalloc uint[S.Lanes];
        S.Store((float*)lanes, largest);
        uint result = 0;
        for (int lane = 0; lane < S.Lanes; lane++) result = Math.Max(result, lanes[lane]);
        return BitConverter.UInt32BitsToSingle(result);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Encode<F>(float* source, float factor, nint count, byte* destination)
        where F : struct, IByteFormat
    {
        if (factor == 0)
        {
            new Span<byte>(destination, (int)count).Clear();
            return;
        }
        byte* tail = stackalloc byte[S.Lanes];
        // Levels saturate here; the bound is infinite for the other types, whose formats do that.
        float bound = typeof(F) == typeof(Int8Format) ? Int8Levels.LargestMagnitude : float.PositiveInfinity;
        for (nint i = 0; i < count; i += S.Lanes)
        {
            V value = Partial<S, V>.Load<Float32Storage>((byte*)source, (int)i, (int)(count - i));
            if (typeof(F) == typeof(Int8Format)) value = S.Multiply(S.Max(S.Min(value, S.Broadcast(bound)), S.Broadcast(-bound)), S.Broadcast(factor));
            else if (factor != 1) value = S.Multiply(value, S.Broadcast(factor));
            V bytes = F.Encode<S, V>(value);
            if (count - i >= S.Lanes)
            {
                S.StoreBytes(destination + i, bytes);
                continue;
            }
            S.StoreBytes(tail, bytes);
            for (nint lane = 0; lane < count - i; lane++) destination[i + lane] = tail[lane];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Decode<F>(byte* source, nint count, float* destination, nint ahead)
        where F : struct, IByteFormat
    {
        V mask = S.Bits(0xFF);
        for (nint i = 0; i < count; i += 2 * TileShape.StripWidth)
        {
            if (ahead != 0 && i % LineBytes == 0) S.Prefetch(source + i + ahead);
            for (nint lane = 0; lane < TileShape.StripWidth; lane += S.Lanes)
            {
                V pairs = S.LoadWidened((ushort*)(source + i) + lane);
                S.Store(destination + i + lane, F.Decode<S, V>(S.And(pairs, mask)));
                S.Store(destination + i + TileShape.StripWidth + lane, F.Decode<S, V>(S.ShiftRight(pairs, 8)));
            }
        }
    }
}
