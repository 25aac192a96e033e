namespace Hydragen.Core;

/// <summary>
/// Scalar conversions between FP32 and the 8-bit floating-point patterns of the Open Compute Project (OFP8, 2023).
/// E4M3: exponent bias 7, largest 448, no infinity, NaN is S.1111.111. E5M2: exponent bias 15, largest 57,344, otherwise like IEEE.
/// </summary>
/// <remarks>
/// Rounding is to nearest, ties to even, and saturates, as the conversions of GPUs do with <c>satfinite</c>: what is beyond the largest
/// number, infinities included, becomes the largest number with its sign; a NaN stays a NaN; subnormal numbers and signed zeros are kept.
/// </remarks>
public static class Float8Bits
{
    private const byte SignBit = 0x80, NaNPattern = 0x7F, LargestE4M3 = 0x7E, LargestE5M2 = 0x7B;

    /// <summary>Widens a pattern; exact.</summary>
    /// <param name="bits">The pattern.</param>
    /// <param name="type"><see cref="ElementType.Float8E4M3"/> or <see cref="ElementType.Float8E5M2"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">The type is another.</exception>
    public static float ToSingle(byte bits, ElementType type)
    {
        if (Format(type) == ElementType.Float8E5M2) return (float)BitConverter.UInt16BitsToHalf((ushort)(bits << 8));
        if ((bits & ~SignBit) == NaNPattern) return float.NaN;
        // The fields in their place in a single; 2^120 is the difference of the exponent biases and normalises subnormal numbers.
        float magnitude = BitConverter.UInt32BitsToSingle((uint)(bits & ~SignBit) << 20) * BitConverter.UInt32BitsToSingle((127u + 120) << 23);
        return (bits & SignBit) != 0 ? -magnitude : magnitude;
    }

    /// <summary>Rounds to nearest, ties to even; saturates.</summary>
    /// <param name="value">Any number.</param>
    /// <param name="type"><see cref="ElementType.Float8E4M3"/> or <see cref="ElementType.Float8E5M2"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">The type is another.</exception>
    public static byte FromSingle(float value, ElementType type)
    {
        bool isE4M3 = Format(type) == ElementType.Float8E4M3;
        (int fractionBits, int bias, byte largest) = isE4M3 ? (3, 7, LargestE4M3) : (2, 15, LargestE5M2);
        uint bits = BitConverter.SingleToUInt32Bits(value), magnitude = bits & 0x7FFF_FFFF;
        byte sign = (byte)((bits >> 24) & SignBit);
        if (float.IsNaN(value)) return (byte)(sign | NaNPattern);
        uint rounded;
        if (magnitude >= (uint)(127 - bias + 1) << 23)
        {
            int shift = 23 - fractionBits;
            uint odd = (magnitude >> shift) & 1;
            rounded = ((magnitude + (1u << (shift - 1)) - 1 + odd) >> shift) - ((uint)(127 - bias) << fractionBits);
        }
        else
        {
            // Added to a number whose last place is that of subnormal numbers, the sum rounds in hardware.
            float origin = BitConverter.UInt32BitsToSingle((uint)(127 + 23 + 1 - bias - fractionBits) << 23);
            rounded = BitConverter.SingleToUInt32Bits(BitConverter.UInt32BitsToSingle(magnitude) + origin) - BitConverter.SingleToUInt32Bits(origin);
        }
        return (byte)(sign | Math.Min(rounded, largest));
    }

    /// <summary>The largest number: 448 or 57,344.</summary>
    /// <param name="type"><see cref="ElementType.Float8E4M3"/> or <see cref="ElementType.Float8E5M2"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">The type is another.</exception>
    public static float LargestOf(ElementType type) => ToSingle(Format(type) == ElementType.Float8E4M3 ? LargestE4M3 : LargestE5M2, type);

    private static ElementType Format(ElementType type) => type is ElementType.Float8E4M3 or ElementType.Float8E5M2 ? type
        : throw new ArgumentOutOfRangeException(nameof(type), type, "The type must be Float8E4M3 or Float8E5M2.");
}
