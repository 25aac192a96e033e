namespace Hydragen.Core;

/// <summary>The largest magnitudes among the keys and among the values of a key/value head. NaN and infinities do not count; 0 without others.</summary>
/// <param name="Key">Of the keys.</param>
/// <param name="Value">Of the values.</param>
public readonly record struct KvMagnitude(float Key, float Value)
{
    /// <summary>The larger of each.</summary>
    public KvMagnitude Max(KvMagnitude other) => new(Math.Max(Key, other.Key), Math.Max(Value, other.Value));

    /// <summary>The largest magnitudes of a head of some tokens.</summary>
    /// <param name="key">FP32 <c>[numTokens, numKvHeads, headDim]</c>.</param>
    /// <param name="value">FP32 <c>[numTokens, numKvHeads, headDim]</c>.</param>
    /// <param name="numKvHeads">Key/value heads.</param>
    /// <param name="headDim">Elements of a head.</param>
    /// <param name="kvHead">The head.</param>
    public static KvMagnitude Of(ReadOnlySpan<float> key, ReadOnlySpan<float> value, int numKvHeads, int headDim, int kvHead) =>
        new(Largest(key, numKvHeads, headDim, kvHead), Largest(value, numKvHeads, headDim, kvHead));

    private static float Largest(ReadOnlySpan<float> vectors, int numKvHeads, int headDim, int kvHead)
    {
        float largest = 0;
        for (int first = kvHead * headDim; first < vectors.Length; first += numKvHeads * headDim)
        {
            foreach (float element in vectors.Slice(first, headDim))
            {
                float magnitude = MathF.Abs(element);
                if (magnitude > largest && magnitude <= float.MaxValue) largest = magnitude;
            }
        }
        return largest;
    }
}
