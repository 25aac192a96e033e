using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Converts runs of elements between FP32 and a stored type.</summary>
internal abstract unsafe class ElementConverter
{
    /// <summary>Widens <paramref name="count"/> stored elements.</summary>
    public abstract void ToSingle(byte* source, ElementType type, float* destination, nint count);

    /// <summary>Rounds <paramref name="count"/> elements to nearest, ties to even.</summary>
    public abstract void FromSingle(float* source, byte* destination, ElementType type, nint count);
}

/// <inheritdoc/>
internal sealed unsafe class ElementConverter<S, V> : ElementConverter
    where S : struct, ISimd<V>
    where V : struct
{
    public override void ToSingle(byte* source, ElementType type, float* destination, nint count)
    {
        switch (type)
        {
            case ElementType.Float32: Copy<Float32Storage, Float32Storage>(source, (byte*)destination, count); break;
            case ElementType.BFloat16: Copy<BFloat16Storage, Float32Storage>(source, (byte*)destination, count); break;
            default: Copy<Float16Storage, Float32Storage>(source, (byte*)destination, count); break;
        }
    }

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
