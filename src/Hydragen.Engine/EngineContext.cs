using System.Runtime.InteropServices;
using Hydragen.Core;
using Hydragen.Models;
using Hydragen.Text;

namespace Hydragen.Engine;

/// <summary>What all calls of one engine share: model, tokenizer, cache, pages and reusable scratch.</summary>
internal sealed class EngineContext : IDisposable
{
    private const int MaxLogitElements = 1 << 26;
    private float[] _logits = [];

    public EngineContext(DecoderModel model, Tokenizer? tokenizer, InferenceEngineOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxBatchSize, 1);
        Model = model;
        Tokenizer = tokenizer;
        Options = options;
        Limits = new EngineLimits(model.Configuration.VocabularySize, model.Configuration.MaxContextLength);
        Cache = model.CreateKvCache(0);
        BackendMemory memory = model.Backend.Memory;
        // Pages may be made before the calibration.
        long calibrationBytes = model.KvScaling == KvScaling.None ? 0 : model.CalibrationBytes, maxBytes = memory.MaxCacheBytes - calibrationBytes;
        long budget = options.MaxKvBytes ?? Math.Min(memory.DefaultCacheBytes, maxBytes);
        if (budget > maxBytes || maxBytes <= 0)
        {
            string besides = calibrationBytes == 0 ? "" : $", of which the calibration of scales takes {calibrationBytes >> 20} MiB";
            throw new InsufficientMemoryException(
                $"KV memory of {budget >> 20} MiB was asked for, but beside the model only {memory.MaxCacheBytes >> 20} MiB are free{besides}.");
        }
        long suffixBytes = Cache.BytesOf(PageKind.Suffix), prefixBytes = Cache.BytesOf(PageKind.Prefix), unitBytes = PageAllocator.BytesPerUnitOf(Cache);
        if (budget < Math.Max(suffixBytes, prefixBytes))
            throw new ArgumentException($"The KV memory limit of {budget} bytes is less than one page of {Math.Max(suffixBytes, prefixBytes)} bytes.");
        long maxUnits = Math.Min(budget / unitBytes, int.MaxValue / KvCache.PageSize * (Math.Min(suffixBytes, prefixBytes) / unitBytes));

        // Ranks of a group admit the same sequences, so they use as much as the poorest of them has.
        if (model.Group is not null) maxUnits = model.Group.Min(maxUnits);
        // Where the size of a cache is bounded, its memory is taken at once; elsewhere it costs nothing until it is touched.
        Allocator = new PageAllocator(Cache, maxUnits, growsEarly: memory.MaxCacheBytes != long.MaxValue);
        Step = new StepBuilder(Allocator);
        Sampler = new Sampler(Limits.VocabularySize);
    }

    public DecoderModel Model { get; }

    public Tokenizer? Tokenizer { get; }

    public InferenceEngineOptions Options { get; }

    public EngineLimits Limits { get; }

    public KvCache Cache { get; }

    public PageAllocator Allocator { get; }

    public StepBuilder Step { get; }

    public Sampler Sampler { get; }

    /// <summary>What the calibration of scales found; null before it, and when there is none.</summary>
    public KvCalibration? Calibration { get; private set; }

    /// <summary>Whether a token ends a completion.</summary>
    public bool IsEos(int tokenId) => Model.Configuration.EosTokenIds.Contains(tokenId);

    /// <summary>The most rows of one forward pass when each of them needs logits.</summary>
    public int MaxLogitRows => Math.Clamp(MaxLogitElements / Limits.VocabularySize, 1, Model.MaxBatchRows);

    /// <summary>Computes the step that <see cref="Step"/> holds; returns its logits, <c>[numLogitRows, vocabularySize]</c>.</summary>
    public ReadOnlySpan<float> Forward(SharingMode mode)
    {
        AttentionPlan plan = Step.Build(mode);
        int length = Step.LogitRows.Length * Limits.VocabularySize;
        if (_logits.Length < length) _logits = new float[length];
        Span<float> logits = _logits.AsSpan(0, length);
        Model.Forward(Step.TokenIds, Step.Slots, plan, Step.LogitRows, Cache, logits);
        return logits;
    }

    /// <summary>Sets the scales of the cache, if it shall have some and nothing is stored yet, from the beginning of the first prompt.</summary>
    /// <param name="spans">What is computed first, in depth-first order; the first span begins a prompt.</param>
    public void Calibrate(IReadOnlyList<TokenSpan> spans)
    {
        if (Model.KvScaling == KvScaling.None || Calibration is not null || spans.Count == 0) return;
        var tokenIds = new List<int>();
        TokenSpan? end = null;
        foreach (TokenSpan span in spans)
        {
            if (span.Parent != end || tokenIds.Count >= Model.MaxCalibrationTokens) break;
            tokenIds.AddRange(span.TokenIds.Take(Model.MaxCalibrationTokens - tokenIds.Count));
            end = span;
        }
        Calibration = KvCalibration.Apply(Cache, tokenIds.Count, Model.FindLargest(CollectionsMarshal.AsSpan(tokenIds)));
    }

    /// <summary>Starts the step that <see cref="Step"/> holds, a token a row; returns its tokens.</summary>
    /// <param name="mode">How it shares.</param>
    /// <param name="choices">How each row's token is chosen.</param>
    /// <param name="withLogProbabilities">Whether log-probabilities are wanted.</param>
    public PendingTokens Decode(SharingMode mode, ReadOnlySpan<TokenChoice> choices, bool withLogProbabilities) =>
        Model.Decode(Step.TokenIds, Step.Slots, Step.Build(mode), Cache, choices, withLogProbabilities);

    /// <summary>Ends a call between two steps. Of several ranks the first decides, so that all of them end at the same step.</summary>
    public void ThrowIfCancelled(CancellationToken cancellationToken)
    {
        if (Model.Group is null)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return;
        }
        Span<int> isCancelled = [cancellationToken.IsCancellationRequested ? 1 : 0];
        Model.Group.Broadcast(isCancelled);
        if (isCancelled[0] != 0) throw new OperationCanceledException(cancellationToken);
    }

    /// <summary>Ends one hold on a node; frees it, and those above, when nobody holds them any more.</summary>
    public void Release(PrefixNode? node)
    {
        while (node is not null && --node.LeaseCount == 0)
        {
            Allocator.Release(node);
            node.LastLogits = null;
            node = node.Parent;
        }
    }

    public void Dispose() => Cache.Dispose();
}
