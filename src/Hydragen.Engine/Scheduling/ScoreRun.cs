using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>One scoring call: every token gets logits once; the scores of a sequence are put together from its spans.</summary>
internal sealed class ScoreRun(EngineContext context, GenerationOptions options, bool keepLogits)
{
    private readonly Dictionary<TokenSpan, SpanScores> _scores = [];
    private readonly List<Sequence> _admitted = [];
    private readonly Prefill _prefill = new(context, options.Sharing, allLogits: true);

    public void Run(IReadOnlyList<IReadOnlyList<int>> inputs, Action<ScoredSequence> onScored, CancellationToken cancellationToken)
    {
        PromptForest forest = BuildForest(inputs);
        long total = forest.Nodes.Sum(node => (long)node.TokenIds.Count) + forest.Sequences.Sum(sequence => (long)sequence.TokenIds.Count);
        int numDone = 0;
        try
        {
            while (numDone < forest.Sequences.Count)
            {
                Admit(forest, numDone);
                foreach (Sequence sequence in _admitted) _prefill.Add(sequence);
                _prefill.Run(
                    KeepScores, () => options.Progress?.Report(new GenerationProgress(_prefill.TokensDone, total, numDone, inputs.Count, 0)), cancellationToken);
                foreach (Sequence sequence in _admitted)
                {
                    onScored(Assemble(sequence, inputs[sequence.InputIndex]));
                    Free(sequence);
                    numDone++;
                }
            }
        }
        finally
        {
            foreach (Sequence sequence in forest.Sequences)
            {
                if (!sequence.IsFinished) Free(sequence);
            }
        }
    }

    private PromptForest BuildForest(IReadOnlyList<IReadOnlyList<int>> inputs)
    {
        // Scoring generates nothing, so a sequence may fill the whole context: one token more than a prompt to be continued.
        var limits = context.Limits with { ContextLength = context.Limits.ContextLength + 1 };
        var prompts = new PromptNode[inputs.Count];
        for (int i = 0; i < inputs.Count; i++) prompts[i] = PromptNode.FromTokenIds(inputs[i]);
        PromptForest forest = new PromptForestBuilder(limits, options with { LogProbabilities = false }, null, streamsText: false).BuildFlat(prompts, null);
        foreach (PrefixNode node in forest.Nodes) node.NeedsLastLogits = true;
        return forest;
    }

    private void Admit(PromptForest forest, int next)
    {
        _admitted.Clear();
        while (next < forest.Sequences.Count && _admitted.Count < context.Options.MaxBatchSize)
        {
            Sequence sequence = forest.Sequences[next++];
            bool fits = context.Allocator.TryMakeRoom(Prefill.PagesNeeded(sequence.Parent), PageAllocator.PagesFor(sequence.TokenIds.Count));
            if (!fits && _admitted.Count > 0) break;
            _prefill.Reserve(sequence.Parent);
            context.Allocator.Reserve(sequence, sequence.TokenIds.Count);
            _admitted.Add(sequence);
        }
    }

    private void KeepScores(TokenSpan span, int firstToken, ReadOnlySpan<float> logits)
    {
        int vocabularySize = context.Limits.VocabularySize;
        if (!_scores.TryGetValue(span, out SpanScores? scores))
            _scores[span] = scores = new SpanScores(span.TokenIds.Count, keepLogits ? vocabularySize : 0);
        for (int i = 0; i * vocabularySize < logits.Length; i++)
        {
            ReadOnlySpan<float> row = logits.Slice(i * vocabularySize, vocabularySize);
            double logSumExp = LogitSampling.LogSumExp(row);
            if (firstToken + i + 1 < span.TokenIds.Count)
                scores.NextLogProbabilities[firstToken + i] = (float)(row[span.TokenIds[firstToken + i + 1]] - logSumExp);
            else
                scores.LastLogSumExp = logSumExp;
            if (scores.Logits is not null) row.CopyTo(scores.Logits.AsSpan((firstToken + i) * vocabularySize));
        }
    }

    private ScoredSequence Assemble(Sequence sequence, IReadOnlyList<int> tokenIds)
    {
        int vocabularySize = context.Limits.VocabularySize;
        var logProbabilities = new float[tokenIds.Count];
        float[]? logits = keepLogits ? new float[checked(tokenIds.Count * vocabularySize)] : null;
        logProbabilities[0] = float.NaN;
        for (TokenSpan? span = sequence; span is not null; span = span.Parent)
        {
            if (!_scores.TryGetValue(span, out SpanScores? scores)) continue;
            for (int i = 0; i + 1 < span.TokenIds.Count; i++)
                logProbabilities[span.FirstPosition + i + 1] = scores.NextLogProbabilities[i];
            if (span is PrefixNode node && node.End < tokenIds.Count)
                logProbabilities[node.End] = (float)(node.LastLogits![tokenIds[node.End]] - scores.LastLogSumExp);
            if (logits is not null) scores.Logits!.CopyTo(logits.AsSpan(span.FirstPosition * vocabularySize));
        }
        return new ScoredSequence(sequence.InputIndex, tokenIds, logProbabilities, logits);
    }

    private void Free(Sequence sequence)
    {
        sequence.IsFinished = true;
        _scores.Remove(sequence);
        context.Allocator.Release(sequence);
        for (PrefixNode? node = sequence.Parent; node is { LeaseCount: 1 }; node = node.Parent) _scores.Remove(node);
        context.Release(sequence.Parent);
    }

    /// <summary>What is kept of one span: entry i belongs to the token behind token i.</summary>
    private sealed class SpanScores(int numTokens, int vocabularySize)
    {
        public float[] NextLogProbabilities { get; } = new float[numTokens];

        public double LastLogSumExp { get; set; }

        public float[]? Logits { get; } = vocabularySize > 0 ? new float[checked(numTokens * vocabularySize)] : null;
    }
}
