namespace Hydragen.Core;

/// <summary>
/// The exact merge of partial attention results. If a row's keys are cut into parts with outputs O_i and natural-log
/// log-sum-exps L_i, then with m = max L_i and w_i = exp(L_i − m) the whole is O = Σ w_i·O_i / Σ w_i and
/// L = m + log Σ w_i (arXiv 2402.05099, equations 1–5). An empty part has O = 0 and L = −∞ and changes nothing.
/// </summary>
public static class LogSumExp
{
    /// <summary>The log-sum-exp of a part without keys.</summary>
    public const float Empty = float.NegativeInfinity;

    /// <summary>
    /// Merges a part into an accumulated result. Merging with an empty part leaves the other bit for bit; two empty parts give
    /// zeros and −∞.
    /// </summary>
    /// <param name="output">FP32 <c>[headDim]</c>: the accumulated output, overwritten by the merged one.</param>
    /// <param name="logSumExp">The accumulated log-sum-exp, overwritten by the merged one.</param>
    /// <param name="partOutput">FP32 <c>[headDim]</c>: the part's output; must not overlap <paramref name="output"/>.</param>
    /// <param name="partLogSumExp">The part's log-sum-exp.</param>
    /// <exception cref="ArgumentException">The outputs differ in length.</exception>
    public static void Merge(Span<float> output, ref float logSumExp, ReadOnlySpan<float> partOutput, float partLogSumExp)
    {
        if (output.Length != partOutput.Length)
            throw new ArgumentException($"The outputs have {output.Length} and {partOutput.Length} elements.");
        if (float.IsNegativeInfinity(partLogSumExp)) return;
        if (float.IsNegativeInfinity(logSumExp))
        {
            partOutput.CopyTo(output);
            logSumExp = partLogSumExp;
            return;
        }
        float max = MathF.Max(logSumExp, partLogSumExp);
        float weight = MathF.Exp(logSumExp - max);
        float partWeight = MathF.Exp(partLogSumExp - max);
        float sum = weight + partWeight;
        for (int i = 0; i < output.Length; i++) output[i] = (weight * output[i] + partWeight * partOutput[i]) / sum;
        logSumExp = max + MathF.Log(sum);
    }

    /// <summary>Merges any number of parts at once.</summary>
    /// <param name="partOutputs">FP32 <c>[numParts, headDim]</c>.</param>
    /// <param name="partLogSumExps">FP32 <c>[numParts]</c>.</param>
    /// <param name="output">FP32 <c>[headDim]</c>: receives the merged output; must not overlap the parts.</param>
    /// <returns>The merged log-sum-exp; −∞ (and zeros) when all parts are empty or there are none.</returns>
    /// <exception cref="ArgumentException">The lengths do not fit together.</exception>
    public static float Merge(ReadOnlySpan<float> partOutputs, ReadOnlySpan<float> partLogSumExps, Span<float> output)
    {
        if (partOutputs.Length != (long)partLogSumExps.Length * output.Length)
        {
            throw new ArgumentException(
                $"{partLogSumExps.Length} parts of {output.Length} elements need {(long)partLogSumExps.Length * output.Length} numbers, not {partOutputs.Length}.");
        }
        output.Clear();
        float max = Empty;
        int numFilled = 0, lastFilled = 0;
        for (int part = 0; part < partLogSumExps.Length; part++)
        {
            if (float.IsNegativeInfinity(partLogSumExps[part])) continue;
            max = MathF.Max(max, partLogSumExps[part]);
            numFilled++;
            lastFilled = part;
        }
        if (numFilled == 0) return Empty;
        if (numFilled == 1)
        {
            partOutputs.Slice(lastFilled * output.Length, output.Length).CopyTo(output);
            return partLogSumExps[lastFilled];
        }
        float sum = 0;
        for (int part = 0; part < partLogSumExps.Length; part++)
        {
            if (float.IsNegativeInfinity(partLogSumExps[part])) continue;
            float weight = MathF.Exp(partLogSumExps[part] - max);
            sum += weight;
            ReadOnlySpan<float> partOutput = partOutputs.Slice(part * output.Length, output.Length);
            for (int i = 0; i < output.Length; i++) output[i] += weight * partOutput[i];
        }
        for (int i = 0; i < output.Length; i++) output[i] /= sum;
        return max + MathF.Log(sum);
    }
}
