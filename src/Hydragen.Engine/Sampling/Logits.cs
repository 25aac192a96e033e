using System.Numerics;
using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>Vectorised passes over one row of logits.</summary>
internal static class Logits
{
    /// <summary>log Σ exp(logit), summed in FP64 blocks.</summary>
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
}
