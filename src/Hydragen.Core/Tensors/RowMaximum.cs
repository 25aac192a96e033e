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
        var best = new Vector<float>(float.NegativeInfinity);
        int i = 0;
        for (; i <= values.Length - Vector<float>.Count; i += Vector<float>.Count) best = Vector.Max(best, new Vector<float>(values[i..]));
        float max = float.NegativeInfinity;
        for (int lane = 0; lane < Vector<float>.Count; lane++) max = MathF.Max(max, best[lane]);
        for (; i < values.Length; i++) max = MathF.Max(max, values[i]);
        return max;
    }
}
