namespace Hydragen.Core;

/// <summary>What a KV cache keeps of the keys and values that are written to it.</summary>
public static class KvRounding
{
    /// <summary>Rounds vectors in place to what a cache of a type stores.</summary>
    /// <param name="values">FP32 <c>[numVectors, headDim]</c>: a vector is a token's key or value of one head.</param>
    /// <param name="headDim">Elements of a vector.</param>
    /// <param name="type">Type of the cache.</param>
    /// <param name="scale">What the cache divides FP8 by (<see cref="KvScale"/>); 1 for other types.</param>
    /// <exception cref="ArgumentException">There is a part of a vector, or a scale for another type.</exception>
    public static void Round(Span<float> values, int headDim, ElementType type, float scale = 1)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(headDim, 1);
        if (values.Length % headDim != 0) throw new ArgumentException($"{values.Length} elements are no whole number of vectors of {headDim}.", nameof(values));
        if (type == ElementType.Int8 && scale == 1)
        {
            Span<sbyte> levels = headDim <= 512 ? stackalloc sbyte[headDim] : new sbyte[headDim];
            for (int first = 0; first < values.Length; first += headDim)
            {
                Span<float> vector = values.Slice(first, headDim);
                float ofVector = (float)Int8Levels.Quantize(vector, levels);
                for (int i = 0; i < headDim; i++) vector[i] = levels[i] * ofVector;
            }
            return;
        }
        if (scale == 1)
        {
            for (int i = 0; i < values.Length; i++) values[i] = Round(values[i], type);
            return;
        }
        if (!type.IsFloat8()) throw new ArgumentException($"Only FP8 has scales, and the type is {type.ShortName()}.", nameof(scale));
        for (int i = 0; i < values.Length; i++) values[i] = Round(values[i] / scale, type) * scale;
    }

    private static float Round(float value, ElementType type) => type switch
    {
        ElementType.Float32 => value,
        ElementType.BFloat16 => BFloat16Bits.ToSingle(BFloat16Bits.FromSingle(value)),
        ElementType.Float16 => (float)(Half)value,
        ElementType.Float8E4M3 or ElementType.Float8E5M2 => Float8Bits.ToSingle(Float8Bits.FromSingle(value, type), type),
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Unknown element type."),
    };
}
