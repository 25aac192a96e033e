using System.Runtime.InteropServices;
using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>Chooses tokens. Holds scratch memory for one vocabulary; not thread-safe.</summary>
internal sealed class Sampler(int vocabularySize)
{
    private readonly float[] _weights = new float[vocabularySize];
    private readonly float[] _sortKeys = new float[vocabularySize];
    private readonly int[] _candidates = new int[vocabularySize];
    private readonly Dictionary<int, int> _counts = [];

    /// <summary>Chooses the next token of a sequence.</summary>
    /// <param name="logits">FP32 <c>[vocabularySize]</c>.</param>
    /// <param name="options">Validated options.</param>
    /// <param name="promptAncestors">The span that holds the prompt's and the new tokens; nodes above it belong to the prompt.</param>
    /// <param name="numNewTokens">How many of the span's last tokens were generated.</param>
    /// <param name="random">The sample's random stream; advanced by one unless greedy.</param>
    /// <exception cref="InvalidDataException">The logits hold NaN or no finite value.</exception>
    public int Sample(ReadOnlySpan<float> logits, SamplingOptions options, TokenSpan promptAncestors, int numNewTokens, ref SampleRandom random)
    {
        Span<float> weights = _weights.AsSpan(0, logits.Length);
        if (options.HasPenalties)
        {
            logits.CopyTo(weights);
            ApplyPenalties(weights, options, promptAncestors, numNewTokens);
            logits = weights;
        }
        int best = RowMaximum.IndexIn(logits);
        CheckBest(best);
        if (options.IsGreedy) return best;
        if (!logits.Overlaps(weights)) logits.CopyTo(weights);
        return options.DrawsFromAll ? LogitSampling.Draw(weights, options.Temperature, options.MinP, random.NextDouble())
            : Draw(weights, weights[best], options, random.NextDouble());
    }

    /// <summary>Refuses logits without a best one.</summary>
    /// <exception cref="InvalidDataException">The index is that of no logit.</exception>
    public static void CheckBest(int best)
    {
        if (best < 0) throw new InvalidDataException("The model produced logits that are NaN or all -infinity.");
    }

    private void ApplyPenalties(Span<float> logits, SamplingOptions options, TokenSpan span, int numNewTokens)
    {
        if (options.RepetitionPenalty != 1)
        {
            _counts.Clear();
            for (TokenSpan? part = span; part is not null; part = part.Parent)
            {
                foreach (int tokenId in CollectionsMarshal.AsSpan(part.TokenIds)) _counts[tokenId] = 1;
            }
            foreach (int tokenId in _counts.Keys)
            {
                ref float logit = ref logits[tokenId];
                logit = logit > 0 ? logit / options.RepetitionPenalty : logit * options.RepetitionPenalty;
            }
        }
        if (options.FrequencyPenalty == 0 && options.PresencePenalty == 0) return;
        _counts.Clear();
        foreach (int tokenId in CollectionsMarshal.AsSpan(span.TokenIds)[^numNewTokens..])
            CollectionsMarshal.GetValueRefOrAddDefault(_counts, tokenId, out _)++;
        foreach ((int tokenId, int count) in _counts) logits[tokenId] -= count * options.FrequencyPenalty + options.PresencePenalty;
    }

    private int Draw(Span<float> weights, float max, SamplingOptions options, double random)
    {
        LogitSampling.ToWeights(weights, max, 1 / options.Temperature);
        int numKept = 0;
        for (int i = 0; i < weights.Length; i++)
        {
            if (weights[i] > 0) _candidates[numKept++] = i;
        }
        Span<int> candidates = _candidates.AsSpan(0, numKept);
        if (options.TopP < 1 || (options.TopK > 0 && options.TopK < numKept)) candidates = KeepMostProbable(weights, candidates, options);
        double total = 0;
        foreach (int i in candidates)
        {
            if (weights[i] >= options.MinP) total += weights[i];
        }
        double threshold = random * total;
        int last = candidates[0];
        foreach (int i in candidates)
        {
            if (weights[i] < options.MinP) continue;
            last = i;
            threshold -= weights[i];
            if (threshold < 0) break;
        }
        return last;
    }

    /// <summary>Sorts the candidates by falling weight and cuts them by top-k, then by top-p of what is left.</summary>
    private Span<int> KeepMostProbable(ReadOnlySpan<float> weights, Span<int> candidates, SamplingOptions options)
    {
        Span<float> keys = _sortKeys.AsSpan(0, candidates.Length);
        for (int i = 0; i < keys.Length; i++) keys[i] = -weights[candidates[i]];
        keys.Sort(candidates);
        if (options.TopK > 0 && options.TopK < candidates.Length) candidates = candidates[..options.TopK];
        if (options.TopP >= 1) return candidates;
        double total = 0, sum = 0;
        foreach (int i in candidates) total += weights[i];
        int count = 0;
        while (count < candidates.Length && sum < options.TopP * total) sum += weights[candidates[count++]];
        return candidates[..Math.Max(1, count)];
    }
}
