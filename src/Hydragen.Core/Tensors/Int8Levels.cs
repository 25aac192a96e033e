namespace Hydragen.Core;

/// <summary>
/// Symmetric INT8 with one scale in half precision a vector: x ≈ level · scale with levels from −127 to 127. The scale is the smallest
/// half that is at least max|x| / 127, so an element errs by at most half a scale (and 2^−17 of one, for the FP32 arithmetic).
/// </summary>
/// <remarks>
/// A vector of zeros has scale 0. Magnitudes beyond <see cref="LargestMagnitude"/>, infinities included, saturate. A vector with a NaN
/// has the scale NaN and levels 0, so all of it is NaN. A level times its scale is exact in FP32.
/// </remarks>
public static class Int8Levels
{
    /// <summary>The largest level.</summary>
    public const int MaxLevel = 127;

    /// <summary>The largest number that is stored, 65,468.5: levels times scales stay within FP16, in which GPUs multiply them.</summary>
    public const float LargestMagnitude = MaxLevel * 515.5f;

    /// <summary>The scale of a vector.</summary>
    /// <param name="largest">Its largest magnitude; NaN if it has a NaN.</param>
    public static Half ScaleFor(float largest)
    {
        if (float.IsNaN(largest)) return Half.NaN;
        float wanted = Math.Min(largest, LargestMagnitude) / MaxLevel;
        var scale = (Half)wanted;
        return (float)scale < wanted ? Half.BitIncrement(scale) : scale;
    }

    /// <summary>What elements are multiplied with before they are rounded to levels: 1 / scale, or 0 when all levels are 0.</summary>
    /// <param name="scale">The scale.</param>
    public static float InverseOf(Half scale) => (float)scale > 0 ? 1 / (float)scale : 0;

    /// <summary>Rounds a vector to nearest levels, ties to even.</summary>
    /// <param name="source">The elements.</param>
    /// <param name="levels">Receives as many levels.</param>
    /// <returns>The scale.</returns>
    /// <exception cref="ArgumentException"><paramref name="levels"/> is too short.</exception>
    public static Half Quantize(ReadOnlySpan<float> source, Span<sbyte> levels)
    {
        if (levels.Length < source.Length) throw new ArgumentException($"{source.Length} elements need as many levels, not {levels.Length}.", nameof(levels));
        float largest = 0;
        foreach (float value in source) largest = float.IsNaN(value) || float.IsNaN(largest) ? float.NaN : Math.Max(largest, Math.Abs(value));
        Half scale = ScaleFor(largest);
        float inverse = InverseOf(scale);
        for (int i = 0; i < source.Length; i++)
        {
            levels[i] = inverse == 0 ? (sbyte)0
                : (sbyte)MathF.Round(Math.Clamp(source[i], -LargestMagnitude, LargestMagnitude) * inverse, MidpointRounding.ToEven);
        }
        return scale;
    }
}
