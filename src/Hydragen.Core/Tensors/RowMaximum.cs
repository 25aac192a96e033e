using System.Numerics;

namespace Hydragen.Core;

/// <summary>Largest numbers of spans.</summary>
public static class RowMaximum
{
    /// <summary>Index of the largest number, the lowest index on ties; −1 when a number is NaN or none is above −∞.</summary>
    public static int IndexIn(ReadOnlySpan<float> values)
    {
        float max = In(values);
        if (float.IsNaN(max) || float.IsNegativeInfinity(max)) return -1;
        return values.IndexOf(max);
    }

    /// <summary>The largest number; NaN when any is NaN, −∞ when there is none.</summary>
    public static float In(ReadOnlySpan<float> values)
    {
        // Four, because each waits for the one before.
        Vector<float> best = new(float.NegativeInfinity), second = best, third = best, fourth = best;
        int i = 0, width = Vector<float>.Count;
        for (; i <= values.Length - 4 * width; i += 4 * width)
        {
            best = Vector.Max(best, new Vector<float>(values[i..]));
            second = Vector.Max(second, new Vector<float>(values[(i + width)..]));
            third = Vector.Max(third, new Vector<float>(values[(i + 2 * width)..]));
            fourth = Vector.Max(fourth, new Vector<float>(values[(i + 3 * width)..]));
        }
        best = Vector.Max(Vector.Max(best, second), Vector.Max(third, fourth));
        for (; i <= values.Length - width; i += width) best = Vector.Max(best, new Vector<float>(values[i..]));
        float max = float.NegativeInfinity;
        for (int lane = 0; lane < Vector<float>.Count; lane++) max = MathF.Max(max, best[lane]);
        for (; i < values.Length; i++) max = MathF.Max(max, values[i]);
        return max;
    }
}
