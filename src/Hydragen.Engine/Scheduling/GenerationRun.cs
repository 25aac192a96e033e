using System.Diagnostics;
using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>
/// One generation call from admission to the last token. Sequences are admitted in depth-first order while their pages fit,
/// computed, and then decoded together, one token of each a step; what ends makes room for what waits.
/// </summary>
internal sealed class GenerationRun : IDisposable
{
    private readonly EngineContext _context;
    private readonly GenerationOptions _options;
    private readonly PromptForest _forest;
    private readonly Action<GenerationUpdate>? _onUpdate;
    private readonly Action<GenerationResult>? _onResult;
    private readonly Prefill _prefill;
    private readonly Prefill.LogitsHandler _acceptLogits;
    private readonly List<Sequence> _active = [];
    private readonly List<Sequence> _admitted = [];
    private readonly Stopwatch _prefillTime = new();
    private readonly Stopwatch _decodeTime = new();
    private readonly TokenDecoder? _decoder;
    private int _numAdmitted;
    private int _numFinished;
    private int _decodeSteps;
    private NodeSharing _nodes;
    private int _peakBatchSize;
    private long _newTokens;

    public GenerationRun(
        EngineContext context, GenerationOptions options, PromptForest forest, Action<GenerationUpdate>? onUpdate, Action<GenerationResult>? onResult)
    {
        _context = context;
        _options = options;
        _forest = forest;
        _onUpdate = onUpdate;
        _onResult = onResult;
        _prefill = new Prefill(context, options.Sharing);
        _acceptLogits = (span, _, logits) =>
        {
            if (span is Sequence sequence) AcceptToken(sequence, logits);
        };
        if (!options.Sampling.HasPenalties) _decoder = new TokenDecoder(context, options, AcceptToken);
        _context.Allocator.ResetPeak();
    }

    private bool IsCopied => _options.Sharing == SharingMode.Copied;

    public GenerationStatistics Run(CancellationToken cancellationToken)
    {
        while (_numFinished < _forest.Sequences.Count)
        {
            _context.ThrowIfCancelled(cancellationToken);
            if (_numAdmitted < _forest.Sequences.Count && Admit())
            {
                _prefillTime.Start();
                ComputePrompts(cancellationToken);
                _prefillTime.Stop();
            }
            if (_active.Count == 0) continue;
            _decodeTime.Start();
            DecodeStep();
            _decodeTime.Stop();
            ReportProgress();
        }
        return Statistics();
    }

    /// <summary>Ends the holds of everything that did not finish.</summary>
    public void Dispose()
    {
        foreach (Sequence sequence in _forest.Sequences)
        {
            if (!sequence.IsFinished) Free(sequence);
        }
    }

    /// <summary>Reserves pages for waiting sequences while there is room; false when none could be admitted.</summary>
    private bool Admit()
    {
        _admitted.Clear();
        while (_numAdmitted < _forest.Sequences.Count && _active.Count + _admitted.Count < _context.Options.MaxBatchSize)
        {
            Sequence sequence = _forest.Sequences[_numAdmitted];
            int numTokens = sequence.TokenIds.Count + sequence.MaxNewTokens + (IsCopied ? sequence.FirstPosition : 0);
            bool fits = _context.Allocator.TryMakeRoom(Prefill.PagesNeeded(sequence.Parent), PageAllocator.PagesFor(numTokens));
            bool isAlone = _active.Count + _admitted.Count == 0;
            if (!fits && !isAlone) break;
            _prefill.Reserve(sequence.Parent);
            _context.Allocator.Reserve(sequence, numTokens);
            _admitted.Add(sequence);
            _numAdmitted++;
        }
        return _admitted.Count > 0;
    }

    private void ComputePrompts(CancellationToken cancellationToken)
    {
        if (IsCopied)
        {
            foreach (Sequence sequence in _admitted)
            {
                if (sequence.Parent is not null) _prefill.Add(sequence.Parent);
            }
            _prefill.Run(_acceptLogits, ReportProgress, cancellationToken);
        }
        foreach (Sequence sequence in _admitted)
        {
            bool startsAtNode = sequence.NumPending == 0;
            float[]? lastLogits = startsAtNode ? sequence.Parent?.LastLogits : null;
            if (IsCopied && sequence.Parent is not null) CopyPrefix(sequence);
            if (lastLogits is not null) AcceptToken(sequence, lastLogits);
            else _prefill.Add(sequence);
        }
        _prefill.Run(_acceptLogits, ReportProgress, cancellationToken);

        // Sequences behind nodes that were computed just now have no tokens of their own to wait for.
        foreach (Sequence sequence in _admitted)
        {
            if (sequence.NumNewTokens == 0) AcceptToken(sequence, sequence.Parent!.LastLogits);
            if (!sequence.IsFinished) _active.Add(sequence);
        }
        _peakBatchSize = Math.Max(_peakBatchSize, _active.Count);
    }

    /// <summary>Gives a sequence its own copy of everything above it.</summary>
    private void CopyPrefix(Sequence sequence)
    {
        PrefixNode parent = sequence.Parent!;
        int numShared = sequence.FirstPosition;
        sequence.OwnPrefix();
        _context.Allocator.Take(sequence, numShared);
        for (PrefixNode? node = parent; node is not null; node = node.Parent)
        {
            for (int token = 0; token < node.TokenIds.Count;)
            {
                int position = node.FirstPosition + token;
                int count = Math.Min(KvCache.PageSize - position % KvCache.PageSize, KvCache.PageSize - token % KvCache.PageSize);
                count = Math.Min(count, node.TokenIds.Count - token);
                _context.Cache.Copy(node.SlotOf(token), sequence.SlotOf(position), count);
                token += count;
            }
        }
        sequence.NumComputed = numShared;
        _context.Release(parent);
    }

    private void DecodeStep()
    {
        bool hasTokens = true;
        if (_decoder is not null) hasTokens = _decoder.Step(_active);
        else DecodeWithLogits();
        if (hasTokens) _decodeSteps++;
        if (_decodeSteps == 1 && _context.Step.Plan is { } plan) _nodes = _context.Model.SharingOf(plan, _context.Cache);
        int kept = 0;
        for (int i = 0; i < _active.Count; i++)
        {
            if (!_active[i].IsFinished) _active[kept++] = _active[i];
        }
        _active.RemoveRange(kept, _active.Count - kept);
    }

    /// <summary>Penalties change the logits by what a sequence has said, so they come here.</summary>
    private void DecodeWithLogits()
    {
        int batch = _context.MaxLogitRows, vocabularySize = _context.Limits.VocabularySize;
        for (int first = 0; first < _active.Count; first += batch)
        {
            int count = Math.Min(batch, _active.Count - first);
            _context.Step.Clear();
            for (int i = 0; i < count; i++) _context.Step.Add(_active[first + i], 1, LogitRows.Last);
            ReadOnlySpan<float> logits = _context.Forward(_options.Sharing);
            for (int i = 0; i < count; i++)
            {
                _active[first + i].NumComputed++;
                AcceptToken(_active[first + i], logits.Slice(i * vocabularySize, vocabularySize));
            }
        }
    }

    private void AcceptToken(Sequence sequence, ReadOnlySpan<float> logits)
    {
        SampleRandom random = sequence.Random;
        int tokenId = _context.Sampler.Sample(logits, _options.Sampling, sequence, sequence.NumNewTokens, ref random);
        sequence.Random = random;
        float? logProbability = null;
        if (sequence.LogProbabilities is not null) logProbability = (float)(logits[tokenId] - LogitSampling.LogSumExp(logits));
        AcceptToken(sequence, tokenId, logProbability);
    }

    private void AcceptToken(Sequence sequence, int tokenId, float? logProbability)
    {
        sequence.TokenIds.Add(tokenId);
        if (logProbability is not null) sequence.LogProbabilities?.Add(logProbability.Value);
        _newTokens++;
        bool isEos = !_options.IgnoreEos && _context.IsEos(tokenId);
        string? text = sequence.Text?.Append(tokenId);
        GenerationResult? result = null;
        if (isEos || sequence.Text is { IsStopped: true }) result = Finish(sequence, FinishReason.Stop, ref text);
        else if (sequence.NumNewTokens >= sequence.MaxNewTokens) result = Finish(sequence, FinishReason.Length, ref text);
        _onUpdate?.Invoke(new GenerationUpdate(sequence.InputIndex, sequence.SampleIndex, tokenId, text, logProbability, result));
        if (result is not null) _onResult?.Invoke(result);
    }

    private GenerationResult Finish(Sequence sequence, FinishReason reason, ref string? text)
    {
        int[] newTokenIds = sequence.TokenIds.GetRange(sequence.NumPromptTokens, sequence.NumNewTokens).ToArray();
        if (sequence.Text is not null)
        {
            text += sequence.Text.Finish();
            if (sequence.Text.IsStopped) reason = FinishReason.Stop;
        }
        sequence.IsFinished = true;
        _numFinished++;
        Free(sequence);
        return new GenerationResult
        {
            InputIndex = sequence.InputIndex,
            SampleIndex = sequence.SampleIndex,
            SampleCount = sequence.SampleCount,
            Path = sequence.Path,
            TokenIds = newTokenIds,
            Text = sequence.Text?.ToString() ?? _context.Tokenizer?.Decode(newTokenIds),
            FinishReason = reason,
            LogProbabilities = sequence.LogProbabilities,
        };
    }

    private void Free(Sequence sequence)
    {
        _context.Allocator.Release(sequence);
        _context.Release(sequence.Parent);
    }

    private void ReportProgress() => _options.Progress?.Report(new GenerationProgress(
        _prefill.TokensDone, _prefill.TokensDone + NumPendingPromptTokens(), _numFinished, _forest.Sequences.Count, _newTokens));

    private long NumPendingPromptTokens()
    {
        long pending = 0;
        foreach (PrefixNode node in _forest.Nodes)
        {
            if (node.LeaseCount > 0) pending += node.NumPending;
        }
        foreach (Sequence sequence in _forest.Sequences)
        {
            if (sequence.NumNewTokens == 0) pending += sequence.NumPending;
        }
        return pending;
    }

    private GenerationStatistics Statistics() => new()
    {
        Completions = _forest.Sequences.Count,
        PromptTokens = _forest.PromptTokens,
        ComputedPromptTokens = _prefill.TokensDone,
        SharedTokens = _forest.SharedTokens,
        SharingLevels = _forest.SharingLevels,
        Nodes = _nodes,
        NewTokens = _newTokens,
        DecodeSteps = _decodeSteps,
        PeakBatchSize = _peakBatchSize,
        PrefillTime = _prefillTime.Elapsed,
        DecodeTime = _decodeTime.Elapsed,
        PeakKvBytes = _context.Allocator.PeakBytes,
        Calibration = _context.Calibration,
        Sharing = _options.Sharing,
        SharingReason = SharingReason(),
    };

    private string SharingReason()
    {
        if (_options.Sharing != SharingMode.Hydragen) return $"off: the mode is {_options.Sharing}";
        if (_forest.Sequences.Count < 2) return "off: there is one sequence";
        if (_forest.SharedTokens == 0) return $"off: no prompts have {_options.MinSharedTokens} first tokens in common";
        string levels = _forest.SharingLevels == 1 ? "one level" : $"{_forest.SharingLevels} levels";
        return $"on: {_forest.Sequences.Count} sequences share {_forest.SharedTokens} tokens at {levels}";
    }
}
