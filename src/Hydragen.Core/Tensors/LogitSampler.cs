namespace Hydragen.Core;

/// <summary>
/// Chooses tokens from rows of logits, as every backend does. Weights exp((logit − largest) / temperature) are FP32, their sums FP64; where
/// the sums of a backend round otherwise, a draw within a millionth of a border can fall on its other side. Holds scratch memory; not
/// thread-safe.
/// </summary>
public sealed class LogitSampler
{
    // Weights are at most 1, so these bits of their pattern tell at most so many groups apart.
    private const int GroupShift = 18, NumGroups = (0x3F80_0000 >> GroupShift) + 1;

    private readonly int[] _counts = new int[NumGroups];
    private readonly double[] _sums = new double[NumGroups];
    private float[] _group = [];

    /// <summary>
    /// Chooses an index. Those that ranks and <see cref="TokenChoice.MinP"/> leave are drawn with probability proportional to their weights, in
    /// the order of the indexes: the first whose weight and those before it add up to more than <see cref="TokenChoice.Random"/> of the sum.
    /// </summary>
    /// <param name="logits">FP32 <c>[vocabularySize]</c>; overwritten unless greedy.</param>
    /// <param name="choice">How.</param>
    /// <returns>The index; −1 when a logit is NaN or none is above −∞. The first infinite logit wins at once.</returns>
    public int Choose(Span<float> logits, in TokenChoice choice)
    {
        int best = RowMaximum.IndexIn(logits);
        if (choice.IsGreedy || best < 0 || float.IsPositiveInfinity(logits[best])) return best;
        LogitSampling.ToWeights(logits, logits[best], 1 / choice.Temperature);
        if (choice.CutsRanks) CutRanks(logits, choice);
        double total = 0;
        foreach (float weight in logits)
        {
            if (weight >= choice.MinP) total += weight;
        }
        double threshold = choice.Random * total;
        int last = best;
        for (int i = 0; i < logits.Length; i++)
        {
            if (logits[i] < choice.MinP || logits[i] == 0) continue;
            last = i;
            threshold -= logits[i];
            if (threshold < 0) break;
        }
        return last;
    }

    /// <summary>Sets the weights to zero that top-k and then top-p cut off.</summary>
    private void CutRanks(Span<float> weights, in TokenChoice choice)
    {
        if (_group.Length < weights.Length) _group = new float[weights.Length];
        if (choice.TopK > 0 && choice.TopK < weights.Length) KeepMost(weights, choice.TopK);
        if (choice.TopP < 1) KeepShare(weights, choice.TopP);
    }

    private void KeepMost(Span<float> weights, int count)
    {
        Array.Clear(_counts);
        foreach (float weight in weights) _counts[GroupOf(weight)]++;
        int group = NumGroups - 1;
        while (group > 0 && count > _counts[group]) count -= _counts[group--];
        Span<float> sorted = SortGroup(weights, group);
        float last = sorted[count - 1];
        Keep(weights, last, count - sorted.IndexOf(last));
    }

    private void KeepShare(Span<float> weights, double share)
    {
        Array.Clear(_sums);
        foreach (float weight in weights) _sums[GroupOf(weight)] += weight;
        double target = 0;
        foreach (double sum in _sums) target += sum;
        target *= share;
        int group = NumGroups - 1;
        while (group > 0 && target > _sums[group]) target -= _sums[group--];
        Span<float> sorted = SortGroup(weights, group);
        int count = 0;
        while (count < sorted.Length && target > 0) target -= sorted[count++];
        if (count == 0) return;
        float last = sorted[count - 1];
        Keep(weights, last, count - sorted.IndexOf(last));
    }

    private static int GroupOf(float weight) => Math.Min(BitConverter.SingleToInt32Bits(weight) >> GroupShift, NumGroups - 1);

    /// <summary>The weights of a group, falling.</summary>
    private Span<float> SortGroup(ReadOnlySpan<float> weights, int group)
    {
        int count = 0;
        foreach (float weight in weights)
        {
            if (GroupOf(weight) == group) _group[count++] = weight;
        }
        Span<float> sorted = _group.AsSpan(0, count);
        sorted.Sort();
        sorted.Reverse();
        return sorted;
    }

    /// <summary>Keeps what is above a weight, and the first few that equal it.</summary>
    private static void Keep(Span<float> weights, float last, int numEqual)
    {
        foreach (ref float weight in weights)
        {
            if (weight < last || (weight == last && --numEqual < 0)) weight = 0;
        }
    }
}
