using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>How elements lie in memory; vectors of them are widened to FP32 when loaded and rounded when stored.</summary>
internal unsafe interface IStorage
{
    /// <summary>Bytes of an element.</summary>
    static abstract int Size { get; }

    /// <summary>Loads a vector from element <paramref name="index"/> on.</summary>
    static abstract V Load<S, V>(byte* source, nint index)
        where S : struct, ISimd<V>
        where V : struct;

    /// <summary>Stores a vector from element <paramref name="index"/> on, rounding to nearest, ties to even.</summary>
    static abstract void Store<S, V>(byte* destination, nint index, V value)
        where S : struct, ISimd<V>
        where V : struct;

    /// <summary>Reads one element.</summary>
    static abstract float Get(byte* source, nint index);

    /// <summary>Writes one element, rounding to nearest, ties to even.</summary>
    static abstract void Set(byte* destination, nint index, float value);
}

/// <summary>IEEE single precision.</summary>
internal readonly unsafe struct Float32Storage : IStorage
{
    public static int Size => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<S, V>(byte* source, nint index)
        where S : struct, ISimd<V>
        where V : struct => S.Load((float*)source + index);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<S, V>(byte* destination, nint index, V value)
        where S : struct, ISimd<V>
        where V : struct => S.Store((float*)destination + index, value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Get(byte* source, nint index) => ((float*)source)[index];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set(byte* destination, nint index, float value) => ((float*)destination)[index] = value;
}

/// <summary>The upper half of a single.</summary>
internal readonly unsafe struct BFloat16Storage : IStorage
{
    public static int Size => 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<S, V>(byte* source, nint index)
        where S : struct, ISimd<V>
        where V : struct => S.ShiftLeft(S.LoadWidened((ushort*)source + index), 16);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<S, V>(byte* destination, nint index, V value)
        where S : struct, ISimd<V>
        where V : struct
    {
        V upper = S.ShiftRight(value, 16);
        V odd = S.And(upper, S.Bits(1));
        V rounded = S.ShiftRight(S.AddBits(value, S.AddBits(odd, S.Bits(0x7FFF))), 16);
        V isNaN = S.LessThanBits(S.Bits(0x7F800000), S.And(value, S.Bits(0x7FFFFFFF)));
        S.StoreNarrowed((ushort*)destination + index, S.Select(isNaN, S.Or(upper, S.Bits(0x40)), rounded));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Get(byte* source, nint index) => BFloat16Bits.ToSingle(((ushort*)source)[index]);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set(byte* destination, nint index, float value) =>
        ((ushort*)destination)[index] = BFloat16Bits.FromSingle(value);
}

/// <summary>IEEE half precision.</summary>
internal readonly unsafe struct Float16Storage : IStorage
{
    private const uint TwoToThe112 = 0x77800000;
    private const uint FirstInfinite = 0x0F800000;
    private const uint SmallestNormal = 113u << 23;
    private const uint DenormalMagic = 126u << 23;

    public static int Size => 2;

    /// <summary>
    /// Moves exponent and fraction to their place in a single and multiplies by 2^112, which corrects the exponent bias and
    /// normalises subnormals in one step; exponent 31 becomes infinity or NaN.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<S, V>(byte* source, nint index)
        where S : struct, ISimd<V>
        where V : struct
    {
        V bits = S.LoadWidened((ushort*)source + index);
        V magnitude = S.ShiftLeft(S.And(bits, S.Bits(0x7FFF)), 13);
        V sign = S.ShiftLeft(S.And(bits, S.Bits(0x8000)), 16);
        V special = S.And(S.LessThanBits(S.Bits(FirstInfinite - 1), magnitude), S.Bits(0x7F800000));
        return S.Or(S.Or(S.Multiply(magnitude, S.Bits(TwoToThe112)), special), sign);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<S, V>(byte* destination, nint index, V value)
        where S : struct, ISimd<V>
        where V : struct
    {
        V magnitude = S.And(value, S.Bits(0x7FFFFFFF));
        V sign = S.ShiftRight(S.And(value, S.Bits(0x80000000)), 16);
        V odd = S.And(S.ShiftRight(magnitude, 13), S.Bits(1));
        V normal = S.ShiftRight(S.AddBits(S.AddBits(magnitude, odd), S.Bits(0xC8000FFF)), 13);
        V subnormal = S.SubtractBits(S.Add(magnitude, S.Bits(DenormalMagic)), S.Bits(DenormalMagic));
        V isNaN = S.LessThanBits(S.Bits(0x7F800000), magnitude);
        V infinite = S.Or(S.Bits(0x7C00), S.And(isNaN, S.Or(S.Bits(0x200), S.And(S.ShiftRight(magnitude, 13), S.Bits(0x3FF)))));
        V result = S.Select(S.LessThanBits(magnitude, S.Bits(SmallestNormal)), subnormal, normal);
        result = S.Select(S.LessThanBits(magnitude, S.Bits(143u << 23)), result, infinite);
        S.StoreNarrowed((ushort*)destination + index, S.Or(result, sign));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Get(byte* source, nint index) => (float)((Half*)source)[index];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set(byte* destination, nint index, float value) => ((Half*)destination)[index] = (Half)value;
}
