namespace Hydragen.Core;

/// <summary>
/// The definition that every kernel is tested against: scalar, FP64, one softmax over all keys that a row sees, no
/// decomposition and no merge.
/// </summary>
public static class ReferenceAttention
{
    /// <summary>Computes a plan over keys and values given densely by slot.</summary>
    /// <param name="plan">Rows and segments.</param>
    /// <param name="shape">Heads and head size.</param>
    /// <param name="options">Scale, biases, window and cap.</param>
    /// <param name="query">FP32 <c>[numRows, numHeads, headDim]</c>.</param>
    /// <param name="key">FP32 <c>[numPages · PageSize, numKvHeads, headDim]</c>; page p owns the slots from p · PageSize on.</param>
    /// <param name="value">Like <paramref name="key"/>.</param>
    /// <param name="output">FP64 <c>[numRows, numHeads, headDim]</c>; zeros where a row sees no key.</param>
    /// <param name="logSumExp">FP64 <c>[numRows, numHeads]</c>, natural log; −∞ where a row sees no key.</param>
    public static void Compute(
        AttentionPlan plan, AttentionShape shape, AttentionOptions options, ReadOnlySpan<float> query,
        ReadOnlySpan<float> key, ReadOnlySpan<float> value, Span<double> output, Span<double> logSumExp)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate(shape);
        var logits = new List<double>();
        var slots = new List<int>();
        for (int row = 0; row < plan.NumRows; row++)
        {
            for (int head = 0; head < shape.NumHeads; head++)
            {
                logits.Clear();
                slots.Clear();
                int rowHead = row * shape.NumHeads + head;
                ReadOnlySpan<float> q = query.Slice(rowHead * shape.HeadDim, shape.HeadDim);
                int kvHead = head / shape.GroupSize;
                foreach (AttentionSegment segment in plan.Segments)
                {
                    if (row < segment.FirstRow || row >= segment.FirstRow + segment.NumRows) continue;
                    for (int k = 0; k < segment.NumKeys; k++)
                    {
                        int distance = segment.FirstPosition + k - plan.RowPositions[row];
                        if (segment.Mask == AttentionMask.Causal && distance > 0) continue;
                        if (options.SlidingWindow is int window && distance <= -window) continue;
                        int slot = segment.FirstSlot + k;
                        slot = plan.PageTable[segment.FirstPage + slot / KvCache.PageSize] * KvCache.PageSize + slot % KvCache.PageSize;
                        double dot = 0;
                        for (int i = 0; i < q.Length; i++) dot += (double)q[i] * key[(slot * shape.NumKvHeads + kvHead) * q.Length + i];
                        dot *= options.Scale ?? 1 / Math.Sqrt(shape.HeadDim);
                        if (options.LogitSoftCap is float cap) dot = cap * Math.Tanh(dot / cap);
                        if (!options.AlibiSlopes.IsEmpty) dot += (double)options.AlibiSlopes.Span[head] * distance;
                        logits.Add(dot);
                        slots.Add(slot);
                    }
                }
                Span<double> result = output.Slice(rowHead * shape.HeadDim, shape.HeadDim);
                result.Clear();
                logSumExp[rowHead] = double.NegativeInfinity;
                if (logits.Count == 0) continue;
                double max = logits.Max(), sum = 0;
                for (int k = 0; k < logits.Count; k++)
                {
                    double weight = Math.Exp(logits[k] - max);
                    sum += weight;
                    for (int i = 0; i < result.Length; i++)
                        result[i] += weight * value[(slots[k] * shape.NumKvHeads + kvHead) * result.Length + i];
                }
                for (int i = 0; i < result.Length; i++) result[i] /= sum;
                logSumExp[rowHead] = max + Math.Log(sum);
            }
        }
    }
}
