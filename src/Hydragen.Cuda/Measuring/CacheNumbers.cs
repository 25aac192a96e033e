namespace Hydragen.Cuda;

/// <summary>
/// The numbers that <c>cache_fill.cu</c> writes: about normal, standard deviation 1.15, each a multiple of 1/128 that follows from where it
/// belongs. Other programs can make the same ones.
/// </summary>
internal static class CacheNumbers
{
    /// <summary>Kinds of rows.</summary>
    public const int Key = 0, Value = 1, Query = 2;

    /// <summary>What the elements of a row follow from.</summary>
    /// <param name="stream">The tokens that belong together: any number.</param>
    /// <param name="token">Index in the stream.</param>
    /// <param name="layer">Layer of the cache.</param>
    /// <param name="head">Key/value head, or query head.</param>
    /// <param name="kind">Key, value or query.</param>
    public static uint Row(int stream, int token, int layer, int head, int kind) => unchecked(
        Mix(Mix((uint)token + (uint)stream * 0x9E3779B9) + ((uint)layer * 1024 + (uint)head) * 4 + (uint)kind));

    /// <summary>An element of a row.</summary>
    public static float Element(uint row, int column)
    {
        uint bits = Mix(unchecked(row + (uint)column * 0x85EBCA77));
        int sum = (int)((bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24));
        return (sum - 510) * 0.0078125f;
    }

    private static uint Mix(uint x)
    {
        unchecked
        {
            x = (x ^ (x >> 16)) * 0x7FEB352D;
            x = (x ^ (x >> 15)) * 0x846CA68B;
            return x ^ (x >> 16);
        }
    }
}
