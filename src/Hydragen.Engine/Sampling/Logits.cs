using System.Numerics;

namespace Hydragen.Engine;

/// <summary>Vectorised passes over one row of logits.</summary>
internal static class Logits
{
    /// <summary>Index of the largest logit, the lowest index on ties; −1 when a logit is NaN or all are −∞.</summary>
    public static int ArgMax(ReadOnlySpan<float> logits)
    {
        float max = Max(logits);
        if (float.IsNaN(max) || float.IsNegativeInfinity(max)) return -1;
        return logits.IndexOf(max);
    }

    /// <summary>The largest logit; NaN when any is NaN.</summary>
    public static float Max(ReadOnlySpan<float> logits)
    {
        Vector<float> best = new(float.NegativeInfinity), second = best, third = best, fourth = best;
        int i = 0, width = Vector<float>.Count;
        for (; i <= logits.Length - 4 * width; i += 4 * width)
        {
            best = Vector.Max(best, new Vector<float>(logits[i..]));
            second = Vector.Max(second, new Vector<float>(logits[(i + width)..]));
            third = Vector.Max(third, new Vector<float>(logits[(i + 2 * width)..]));
            fourth = Vector.Max(fourth, new Vector<float>(logits[(i + 3 * width)..]));
        }
        best = Vector.Max(Vector.Max(best, second), Vector.Max(third, fourth));
        for (; i <= logits.Length - Vector<float>.Count; i += Vector<float>.Count) best = Vector.Max(best, new Vector<float>(logits[i..]));
        float max = float.NegativeInfinity;
        for (int lane = 0; lane < Vector<float>.Count; lane++) max = MathF.Max(max, best[lane]);
        for (; i < logits.Length; i++) max = MathF.Max(max, logits[i]);
        return max;
    }

    /// <summary>log Σ exp(logit), summed in FP64 blocks.</summary>
    public static double LogSumExp(ReadOnlySpan<float> logits)
    {
        float max = Max(logits);
        if (float.IsNegativeInfinity(max) || float.IsNaN(max)) return max;
        var shift = new Vector<float>(max);
        double sum = 0;
        int i = 0;
        for (; i <= logits.Length - Vector<float>.Count; i += Vector<float>.Count)
            sum += Vector.Sum(Vector.Exp(new Vector<float>(logits[i..]) - shift));
        for (; i < logits.Length; i++) sum += MathF.Exp(logits[i] - max);
        return max + Math.Log(sum);
    }

    /// <summary>Replaces each logit by exp((logit − max) · factor).</summary>
    public static void Exp(Span<float> logits, float max, float factor)
    {
        var shift = new Vector<float>(max);
        int i = 0;
        for (; i <= logits.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            Span<float> chunk = logits.Slice(i, Vector<float>.Count);
            Vector.Exp((new Vector<float>(chunk) - shift) * factor).CopyTo(chunk);
        }
        for (; i < logits.Length; i++) logits[i] = MathF.Exp((logits[i] - max) * factor);
    }
}
