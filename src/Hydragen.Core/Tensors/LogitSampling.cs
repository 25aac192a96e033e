using System.Numerics;

namespace Hydragen.Core;

/// <summary>Drawing from a row of logits.</summary>
public static class LogitSampling
{
    /// <summary>
    /// Draws an index with probability proportional to exp(logit / temperature): the first whose weight and those before it add up to more
    /// than <paramref name="random"/> of the sum of all weights.
    /// </summary>
    /// <param name="logits">FP32 <c>[vocabularySize]</c>; overwritten.</param>
    /// <param name="temperature">Above 0.</param>
    /// <param name="minP">Logits less than this fraction as probable as the best one do not count.</param>
    /// <param name="random">From 0 to less than 1.</param>
    /// <returns>The index; −1 when a logit is NaN or none is above −∞. An infinite logit wins at once.</returns>
    public static int Draw(Span<float> logits, float temperature, float minP, double random)
    {
        int best = RowMaximum.IndexIn(logits);
        if (best < 0 || float.IsPositiveInfinity(logits[best])) return best;
        ToWeights(logits, logits[best], 1 / temperature);
        double total = 0;
        foreach (float weight in logits)
        {
            if (weight >= minP) total += weight;
        }
        double threshold = random * total;
        int last = best;
        for (int i = 0; i < logits.Length; i++)
        {
            if (logits[i] < minP || logits[i] == 0) continue;
            last = i;
            threshold -= logits[i];
            if (threshold < 0) break;
        }
        return last;
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
