using System.Runtime.CompilerServices;

namespace Hydragen.Cpu;

/// <summary>
/// How a number lies in a byte of a KV cache: a sign in bit 7 and a magnitude below, in all formats, so that 128 entries are a table of them.
/// Lanes hold a byte each, in their lowest bits.
/// </summary>
internal interface IByteFormat
{
    /// <summary>Widens bytes; exact.</summary>
    static abstract V Decode<S, V>(V bytes)
        where S : struct, ISimd<V>
        where V : struct;

    /// <summary>Rounds to nearest, ties to even; saturates, and keeps NaN.</summary>
    static abstract V Encode<S, V>(V value)
        where S : struct, ISimd<V>
        where V : struct;
}

/// <summary>
/// Levels of INT8 as sign and magnitude; what is encoded was divided by the scale and is at most 127. Widened, they are fractions of 128, so that
/// sums of products overflow no sooner than those of the numbers themselves; scales are multiplied by 128 in return.
/// </summary>
internal readonly struct Int8Format : IByteFormat
{
    /// <summary>What a level is divided by when it is widened.</summary>
    public const float Denominator = 128;

    // 1.5 · 2^23: an addend that leaves a sum no room for fractions, so that its lowest byte is that of the rounded number.
    private const float IntegerOrigin = 12_582_912;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Decode<S, V>(V bytes)
        where S : struct, ISimd<V>
        where V : struct
    {
        V magnitude = S.Multiply(S.ConvertToSingle(S.And(bytes, S.Bits(0x7F))), S.Broadcast(1 / Denominator));
        return S.Or(magnitude, S.ShiftLeft(S.And(bytes, S.Bits(0x80)), 24));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Encode<S, V>(V value)
        where S : struct, ISimd<V>
        where V : struct
    {
        V sum = S.Add(S.And(value, S.Bits(0x7FFF_FFFF)), S.Broadcast(IntegerOrigin));
        return S.Or(S.And(sum, S.Bits(0x7F)), S.ShiftRight(S.And(value, S.Bits(0x8000_0000)), 24));
    }
}

/// <summary>FP8 E4M3.</summary>
internal readonly struct Float8E4M3Format : IByteFormat
{
    private const int ExponentDifference = 127 - 7, FractionBits = 3;
    private const uint Largest = 0x7E;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Decode<S, V>(V bytes)
        where S : struct, ISimd<V>
        where V : struct => Float8.Decode<S, V>(bytes, ExponentDifference, FractionBits, Largest, special: 0x7FC0_0000);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Encode<S, V>(V value)
        where S : struct, ISimd<V>
        where V : struct => Float8.Encode<S, V>(value, ExponentDifference, FractionBits, Largest);
}

/// <summary>FP8 E5M2: the upper half of a half.</summary>
internal readonly struct Float8E5M2Format : IByteFormat
{
    private const int ExponentDifference = 127 - 15, FractionBits = 2;
    private const uint Largest = 0x7B;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Decode<S, V>(V bytes)
        where S : struct, ISimd<V>
        where V : struct => Float8.Decode<S, V>(bytes, ExponentDifference, FractionBits, Largest, special: 0x7F80_0000);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Encode<S, V>(V value)
        where S : struct, ISimd<V>
        where V : struct => Float8.Encode<S, V>(value, ExponentDifference, FractionBits, Largest);
}

/// <summary>What the FP8 formats share.</summary>
internal static class Float8
{
    /// <summary>The fields move to their place in a single; the product corrects the exponent and normalises subnormal numbers.</summary>
    /// <param name="bytes">Bytes.</param>
    /// <param name="exponentDifference">Bias of a single's exponent less that of the format's.</param>
    /// <param name="fractionBits">Bits of the fraction.</param>
    /// <param name="largest">The largest magnitude that is a number and finite.</param>
    /// <param name="special">Bits that magnitudes beyond it get as singles; where there are infinities, the fraction tells NaN from them.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Decode<S, V>(V bytes, int exponentDifference, int fractionBits, uint largest, uint special)
        where S : struct, ISimd<V>
        where V : struct
    {
        V magnitude = S.And(bytes, S.Bits(0x7F));
        V isSpecial = S.And(S.LessThanBits(S.Bits(largest), magnitude), S.Bits(special));
        V number = S.Multiply(S.ShiftLeft(magnitude, 23 - fractionBits), S.Bits((127u + (uint)exponentDifference) << 23));
        return S.Or(S.Or(number, isSpecial), S.ShiftLeft(S.And(bytes, S.Bits(0x80)), 24));
    }

    /// <summary>Like <see cref="Core.Float8Bits.FromSingle"/>, bit for bit; the parameters are those of <see cref="Decode"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Encode<S, V>(V value, int exponentDifference, int fractionBits, uint largest)
        where S : struct, ISimd<V>
        where V : struct
    {
        int shift = 23 - fractionBits;
        V magnitude = S.And(value, S.Bits(0x7FFF_FFFF));
        V odd = S.And(S.ShiftRight(magnitude, shift), S.Bits(1));
        uint rounding = (1u << (shift - 1)) - 1 - ((uint)exponentDifference << 23);
        V normal = S.ShiftRight(S.AddBits(S.AddBits(magnitude, odd), S.Bits(rounding)), shift);
        V origin = S.Bits((uint)(exponentDifference + 24 - fractionBits) << 23);
        V subnormal = S.SubtractBits(S.Add(magnitude, origin), origin);
        V result = S.Select(S.LessThanBits(magnitude, S.Bits((uint)(exponentDifference + 1) << 23)), subnormal, normal);
        result = S.Select(S.LessThanBits(S.Bits(largest), result), S.Bits(largest), result);
        V isNaN = S.LessThanBits(S.Bits(0x7F80_0000), magnitude);
        return S.Or(S.Select(isNaN, S.Bits(0x7F), result), S.ShiftRight(S.And(value, S.Bits(0x8000_0000)), 24));
    }
}
