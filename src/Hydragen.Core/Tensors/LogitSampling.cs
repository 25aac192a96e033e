using System.Numerics;

namespace Hydragen.Core;

/// <summary>Passes over a row of logits.</summary>
public static class LogitSampling
{
    /// <summary>log Σ exp(logit), summed in FP64 blocks; NaN when any logit is, −∞ when none is above that.</summary>
    public static double LogSumExp(ReadOnlySpan<float> logits)
    {
        float max = RowMaximum.In(logits);
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
    public static void ToWeights(Span<float> logits, float max, float factor)
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
