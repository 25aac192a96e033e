using System.Runtime.InteropServices;
using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>Chooses tokens. Holds scratch memory for one vocabulary; not thread-safe.</summary>
internal sealed class Sampler(int vocabularySize)
{
    private readonly float[] _weights = new float[vocabularySize];
    private readonly LogitSampler _sampler = new();
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
        if (options.IsGreedy)
        {
            int best = RowMaximum.IndexIn(logits);
            CheckBest(best);
            return best;
        }
        if (!logits.Overlaps(weights)) logits.CopyTo(weights);
        int chosen = _sampler.Choose(weights, options.Choice(random.NextDouble()));
        CheckBest(chosen);
        return chosen;
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
}
