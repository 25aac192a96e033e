namespace Hydragen.Core;

/// <summary>
/// What the FP8 keys and the FP8 values of a key/value head are divided by when they are stored, and multiplied with when they are read. Powers of
/// two of at least 1, so that both are exact and an element moves by no more than FP8 rounds: by half a unit in the last place, times the scale.
/// </summary>
/// <param name="Key">Of the keys.</param>
/// <param name="Value">Of the values.</param>
public readonly record struct KvScale(float Key, float Value)
{
    /// <summary>Keys and values may become so many times as large as the largest that were seen before they saturate.</summary>
    public const float Margin = 2;

    /// <summary>The largest scale: what the largest finite number asks for in E4M3.</summary>
    public static readonly float Largest = MathF.ScaleB(1, 121);

    /// <summary>No scales.</summary>
    public static readonly KvScale One = new(1, 1);

    /// <summary>Whether either is not 1.</summary>
    public bool IsScaled => Key != 1 || Value != 1;

    /// <summary>The smallest scales with which a head may have <see cref="Margin"/> times its largest magnitudes, at least 1 each.</summary>
    /// <param name="largest">The largest magnitudes of the head.</param>
    /// <param name="type">What the head is stored as.</param>
    /// <exception cref="ArgumentOutOfRangeException">A magnitude is negative or not finite, or the type is not FP8.</exception>
    public static KvScale For(KvMagnitude largest, ElementType type) => new(ForLargest(largest.Key, type), ForLargest(largest.Value, type));

    private static float ForLargest(float largest, ElementType type)
    {
        if (!(float.IsFinite(largest) && largest >= 0)) throw new ArgumentOutOfRangeException(nameof(largest), largest, "A magnitude must be finite and not negative.");
        // In FP64 the quotient never reaches a power of two that it is below.
        double wanted = (double)largest * Margin / Float8Bits.LargestOf(type);
        if (wanted <= 1) return 1;
        int exponent = Math.ILogB(wanted);
        return MathF.ScaleB(1, Math.ScaleB(1, exponent) < wanted ? exponent + 1 : exponent);
    }
}
