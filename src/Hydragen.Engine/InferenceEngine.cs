using Hydragen.Core;
using Hydragen.Models;
using Hydragen.Text;

namespace Hydragen.Engine;

/// <summary>
/// Generates and scores over one model with one KV cache. Prompts form a prefix tree whose nodes are computed and stored once.
/// Thread-safe: calls wait for one another; a call runs on the caller's thread until it is done.
/// </summary>
public sealed class InferenceEngine : IDisposable
{
    private readonly SemaphoreSlim _gate = new(1);
    private readonly EngineContext _context;
    private bool _isDisposed;

    /// <summary>Creates an engine; the caller keeps owning the model.</summary>
    /// <param name="model">Loaded weights on a backend.</param>
    /// <param name="tokenizer">Needed for text in and out; null allows token ids only.</param>
    /// <param name="options">Limits.</param>
    /// <exception cref="ArgumentException">The tokenizer makes ids that the model does not know.</exception>
    /// <exception cref="InsufficientMemoryException">The backend has not so much memory as the options ask for.</exception>
    public InferenceEngine(DecoderModel model, Tokenizer? tokenizer = null, InferenceEngineOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        _context = new EngineContext(model, tokenizer, options ?? new InferenceEngineOptions());
    }

    /// <summary>The model.</summary>
    public DecoderModel Model => _context.Model;

    /// <summary>The tokenizer, if any.</summary>
    public Tokenizer? Tokenizer => _context.Tokenizer;

    /// <summary>The most KV memory that prefixes and sequences may take together, in bytes.</summary>
    public long MaxKvBytes => _context.Allocator.MaxPages * _context.Cache.BytesPerPage;

    /// <summary>KV memory in use now, in bytes.</summary>
    public long KvBytesInUse => _context.Allocator.NumUsed * _context.Cache.BytesPerPage;

    /// <summary>Computes a prefix and keeps it.</summary>
    /// <param name="prompt">Text or token ids; no children.</param>
    /// <param name="parent">A prefix to extend; null starts at position 0.</param>
    /// <param name="progress">Receives progress on this thread.</param>
    /// <param name="cancellationToken">Ends the computation; nothing is kept.</param>
    /// <exception cref="ArgumentException">The prompt is empty or exceeds the context.</exception>
    /// <exception cref="OutOfKvMemoryException">The prefix does not fit.</exception>
    public PrefixHandle CreatePrefix(
        PromptNode prompt, PrefixHandle? parent = null, IProgress<GenerationProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        return Locked(parent, () =>
        {
            var builder = new PromptForestBuilder(_context.Limits, new GenerationOptions(), Tokenizer, streamsText: false);
            PrefixNode node = builder.BuildPrefix(prompt, parent?.Node);
            node.LeaseCount++;
            var prefill = new Prefill(_context, SharingMode.Hydragen);
            try
            {
                prefill.Reserve(node);
                prefill.Add(node);
                prefill.Run((_, _, _) => { }, () => progress?.Report(new GenerationProgress(prefill.TokensDone, node.TokenIds.Count, 0, 0, 0)), cancellationToken);
            }
            catch
            {
                _context.Release(node);
                throw;
            }
            return new PrefixHandle(this, node);
        }, cancellationToken);
    }

    /// <summary>Completes flat prompts; common prefixes are found and shared.</summary>
    /// <param name="prompts">Prompts without children.</param>
    /// <param name="options">What holds for all of them.</param>
    /// <param name="onUpdate">Receives every new token on this thread; null when only results matter.</param>
    /// <param name="onResult">Receives every completion as it ends, on this thread.</param>
    /// <param name="prefix">What all prompts continue; null starts at position 0.</param>
    /// <param name="cancellationToken">Ends the call between two steps; the engine stays usable.</param>
    /// <exception cref="ArgumentException">A prompt or option is invalid; nothing was computed.</exception>
    /// <exception cref="OutOfKvMemoryException">A single prompt does not fit.</exception>
    public GenerationStatistics Generate(
        IReadOnlyList<PromptNode> prompts, GenerationOptions options, Action<GenerationUpdate>? onUpdate = null,
        Action<GenerationResult>? onResult = null, PrefixHandle? prefix = null, CancellationToken cancellationToken = default) =>
        Run(options, onUpdate, onResult, prefix, builder => builder.BuildFlat(prompts, prefix?.Node), cancellationToken);

    /// <summary>Completes the leaves of prompt trees; each part is computed once.</summary>
    /// <param name="roots">The trees.</param>
    /// <param name="options">What holds for all of them.</param>
    /// <param name="onUpdate">As for <see cref="Generate"/>.</param>
    /// <param name="onResult">As for <see cref="Generate"/>.</param>
    /// <param name="prefix">As for <see cref="Generate"/>.</param>
    /// <param name="cancellationToken">As for <see cref="Generate"/>.</param>
    /// <exception cref="ArgumentException">A prompt or option is invalid; nothing was computed.</exception>
    /// <exception cref="OutOfKvMemoryException">A single prompt does not fit.</exception>
    public GenerationStatistics GenerateTree(
        IReadOnlyList<PromptNode> roots, GenerationOptions options, Action<GenerationUpdate>? onUpdate = null,
        Action<GenerationResult>? onResult = null, PrefixHandle? prefix = null, CancellationToken cancellationToken = default) =>
        Run(options, onUpdate, onResult, prefix, builder => builder.BuildTree(roots, prefix?.Node), cancellationToken);

    /// <summary>Computes the log-probability of every token of some sequences; common prefixes are computed once.</summary>
    /// <param name="inputs">Token ids of each sequence, at least one each.</param>
    /// <param name="onScored">Receives each sequence as it is done, in any order, on this thread.</param>
    /// <param name="options">
    /// Sharing and progress; sampling options are not used. Nothing is copied: <see cref="SharingMode.Copied"/> reads like
    /// <see cref="SharingMode.Paged"/>.
    /// </param>
    /// <param name="keepLogits">Also hands over all logits.</param>
    /// <param name="cancellationToken">Ends the call between two steps.</param>
    public void Score(
        IReadOnlyList<IReadOnlyList<int>> inputs, Action<ScoredSequence> onScored, GenerationOptions? options = null,
        bool keepLogits = false, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        ArgumentNullException.ThrowIfNull(onScored);
        options ??= new GenerationOptions();
        options.Validate();
        Locked(null, () =>
        {
            new ScoreRun(_context, options, keepLogits).Run(inputs, onScored, cancellationToken);
            return 0;
        }, cancellationToken);
    }

    /// <summary>Frees the KV memory; waits for a running call.</summary>
    public void Dispose()
    {
        _gate.Wait();
        try
        {
            if (_isDisposed) return;
            _isDisposed = true;
            _context.Dispose();
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>Throws when the books of the KV memory do not balance.</summary>
    internal void CheckIntegrity() => _context.Allocator.CheckIntegrity();

    internal void Release(PrefixNode node)
    {
        _gate.Wait();
        try
        {
            if (!_isDisposed) _context.Release(node);
        }
        finally
        {
            _gate.Release();
        }
    }

    private GenerationStatistics Run(
        GenerationOptions options, Action<GenerationUpdate>? onUpdate, Action<GenerationResult>? onResult, PrefixHandle? prefix,
        Func<PromptForestBuilder, PromptForest> build, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        return Locked(prefix, () =>
        {
            PromptForest forest = build(new PromptForestBuilder(_context.Limits, options, Tokenizer, onUpdate is not null));
            using var run = new GenerationRun(_context, options, forest, onUpdate, onResult);
            return run.Run(cancellationToken);
        }, cancellationToken);
    }

    private T Locked<T>(PrefixHandle? prefix, Func<T> call, CancellationToken cancellationToken)
    {
        _gate.Wait(cancellationToken);
        try
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            if (prefix is not null)
            {
                ObjectDisposedException.ThrowIf(prefix.IsDisposed, prefix);
                if (prefix.Engine != this) throw new ArgumentException("The prefix belongs to another engine.");
            }
            return call();
        }
        finally
        {
            _gate.Release();
        }
    }
}
