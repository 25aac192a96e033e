using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Converts runs of elements between FP32 and a stored type.</summary>
internal abstract unsafe class ElementConverter
{
    /// <summary>The conversions of bytes.</summary>
    public abstract ByteConverter Bytes { get; }

    /// <summary>Widens <paramref name="count"/> stored elements.</summary>
    public abstract void ToSingle(byte* source, ElementType type, float* destination, nint count);

    /// <summary>Takes rows of 16 BF16 pairs apart into two FP32 rows of 16 each.</summary>
    /// <param name="source">BF16 <c>[count / 32][16][2]</c>.</param>
    /// <param name="destination">Receives FP32 <c>[count / 16][16]</c>.</param>
    /// <param name="count">A multiple of 32.</param>
    /// <param name="ahead">Bytes from what is read to what is worth fetching meanwhile; 0 for nothing.</param>
    public abstract void PairsToSingle(ushort* source, float* destination, nint count, nint ahead);

    /// <summary>Rounds <paramref name="count"/> elements to nearest, ties to even.</summary>
    public abstract void FromSingle(float* source, byte* destination, ElementType type, nint count);
}

/// <inheritdoc/>
internal sealed unsafe class ElementConverter<S, V> : ElementConverter
    where S : struct, ISimd<V>
    where V : struct
{
    public override ByteConverter Bytes { get; } = new ByteConverter<S, V>();

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void ToSingle(byte* source, ElementType type, float* destination, nint count)
    {
        switch (type)
        {
            case ElementType.Float32: Copy<Float32Storage, Float32Storage>(source, (byte*)destination, count); break;
            case ElementType.BFloat16: Copy<BFloat16Storage, Float32Storage>(source, (byte*)destination, count); break;
            default: Copy<Float16Storage, Float32Storage>(source, (byte*)destination, count); break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void PairsToSingle(ushort* source, float* destination, nint count, nint ahead)
    {
        for (nint i = 0; i < count; i += 2 * TileShape.StripWidth)
        {
            if (ahead != 0) S.Prefetch((byte*)(source + i) + ahead);
            for (nint lane = 0; lane < TileShape.StripWidth; lane += S.Lanes)
            {
                V pairs = S.Load((float*)(source + i) + lane);
                S.Store(destination + i + lane, S.ShiftLeft(pairs, 16));
                S.Store(destination + i + TileShape.StripWidth + lane, S.And(pairs, S.Bits(0xFFFF0000)));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void FromSingle(float* source, byte* destination, ElementType type, nint count)
    {
        switch (type)
        {
            case ElementType.Float32: Copy<Float32Storage, Float32Storage>((byte*)source, destination, count); break;
            case ElementType.BFloat16: Copy<Float32Storage, BFloat16Storage>((byte*)source, destination, count); break;
            default: Copy<Float32Storage, Float16Storage>((byte*)source, destination, count); break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Copy<TSource, TDestination>(byte* source, byte* destination, nint count)
        where TSource : struct, IStorage
        where TDestination : struct, IStorage
    {
        nint i = 0;
        for (; i <= count - S.Lanes; i += S.Lanes) TDestination.Store<S, V>(destination, i, TSource.Load<S, V>(source, i));
        for (; i < count; i++) TDestination.Set(destination, i, TSource.Get(source, i));
    }
}
