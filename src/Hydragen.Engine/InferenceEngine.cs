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
    private readonly RankCalls? _ranks;
    private int _numPrefixes;
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
        _ranks = model.Group is null ? null : new RankCalls(model.Group);
        try
        {
            _context = new EngineContext(model, tokenizer, options ?? new InferenceEngineOptions());
        }
        catch (Exception exception)
        {
            model.Group?.Fail(exception.Message);
            throw;
        }
    }

    /// <summary>The model.</summary>
    public DecoderModel Model => _context.Model;

    /// <summary>The tokenizer, if any.</summary>
    public Tokenizer? Tokenizer => _context.Tokenizer;

    /// <summary>The most KV memory that prefixes and sequences may take together, in bytes.</summary>
    public long MaxKvBytes => _context.Allocator.MaxUnits * _context.Allocator.BytesPerUnit;

    /// <summary>KV memory in use now, in bytes.</summary>
    public long KvBytesInUse => _context.Allocator.UsedBytes;

    /// <summary>The scales of FP8 keys and values, which the first prompt sets; null before it, and when the model has none.</summary>
    public KvCalibration? Calibration => _context.Calibration;

    /// <summary>
    /// On a rank other than the first of a group: makes the calls of rank 0 along with it, until rank 0 disposes its engine. No other call may
    /// be made there.
    /// </summary>
    /// <exception cref="InvalidOperationException">This is rank 0, or there is no group.</exception>
    /// <exception cref="RankGroupException">Another rank failed or is lost.</exception>
    public void Serve()
    {
        if (Model.Group is null or { Rank: 0 }) throw new InvalidOperationException("Only ranks other than the first of a group serve.");
        var prefixes = new Dictionary<int, PrefixHandle>();
        RankCalls.Serve(Model.Group, call =>
        {
            PrefixHandle? prefix = prefixes.GetValueOrDefault(call.Kind == EngineCallKind.CreatePrefix ? call.Parent : call.Prefix);
            switch (call.Kind)
            {
                case EngineCallKind.CreatePrefix:
                    prefixes.Add(call.Prefix, CreatePrefix(call.Prompts[0], prefix));
                    break;
                case EngineCallKind.ReleasePrefix:
                    prefix?.Dispose();
                    prefixes.Remove(call.Prefix);
                    break;
                case EngineCallKind.Generate:
                    Generate(call.Prompts, call.Options, prefix: prefix);
                    break;
                case EngineCallKind.GenerateTree:
                    GenerateTree(call.Prompts, call.Options, prefix: prefix);
                    break;
                case EngineCallKind.Score:
                    Score(call.Inputs, static _ => { }, call.Options, call.KeepLogits);
                    break;
                default:
                    throw new InvalidDataException($"Rank 0 asks for the unknown call {call.Kind}.");
            }
        });
    }

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
            int number = _numPrefixes++;
            node.LeaseCount++;
            var prefill = new Prefill(_context, SharingMode.Hydragen);
            return Together(() => new EngineCall(EngineCallKind.CreatePrefix) { Prefix = number, Parent = parent?.Number ?? -1, Prompts = [prompt] }, () =>
            {
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
                return new PrefixHandle(this, node, number);
            });
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
        Run(EngineCallKind.Generate, prompts, options, onUpdate, onResult, prefix, (builder, node) => builder.BuildFlat(prompts, node), cancellationToken);

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
        Run(EngineCallKind.GenerateTree, roots, options, onUpdate, onResult, prefix, (builder, node) => builder.BuildTree(roots, node), cancellationToken);

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
        Locked(null, () => Together(
            () => new EngineCall(EngineCallKind.Score) { Inputs = inputs, Options = options, KeepLogits = keepLogits },
            () =>
            {
                new ScoreRun(_context, options, keepLogits).Run(inputs, onScored, cancellationToken);
                return 0;
            }), cancellationToken);
    }

    /// <summary>Frees the KV memory; waits for a running call.</summary>
    public void Dispose()
    {
        _gate.Wait();
        try
        {
            if (_isDisposed) return;
            _isDisposed = true;
            _ranks?.End();
            _context.Dispose();
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>Throws when the books of the KV memory do not balance.</summary>
    internal void CheckIntegrity() => _context.Allocator.CheckIntegrity();

    internal void Release(PrefixHandle prefix)
    {
        _gate.Wait();
        try
        {
            if (_isDisposed) return;
            _ranks?.Release(prefix.Number);
            _context.Release(prefix.Node);
        }
        finally
        {
            _gate.Release();
        }
    }

    private GenerationStatistics Run(
        EngineCallKind kind, IReadOnlyList<PromptNode> prompts, GenerationOptions options, Action<GenerationUpdate>? onUpdate,
        Action<GenerationResult>? onResult, PrefixHandle? prefix, Func<PromptForestBuilder, PrefixNode?, PromptForest> build, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        if (options.Sharing == SharingMode.Copied && _context.Cache.Shape.IsMixed)
        {
            throw new ArgumentException(
                $"The mode {SharingMode.Copied} gives every sequence its own copy of its prefix, so prefixes cannot have a type of their own in KV memory.", nameof(options));
        }
        if (_ranks is not null) options = options with { Seed = options.Seed ?? (ulong)Random.Shared.NextInt64(long.MinValue, long.MaxValue) };
        return Locked(prefix, () =>
        {
            PromptForest forest = build(new PromptForestBuilder(_context.Limits, options, Tokenizer, onUpdate is not null), prefix?.Node);
            return Together(() => new EngineCall(kind) { Prompts = prompts, Options = options, Prefix = prefix?.Number ?? -1 }, () =>
            {
                using var run = new GenerationRun(_context, options, forest, onUpdate, onResult);
                return run.Run(cancellationToken);
            });
        }, cancellationToken);
    }

    /// <summary>Runs a call that is known to be valid, on all ranks if there are several.</summary>
    private T Together<T>(Func<EngineCall> call, Func<T> run) => _ranks is null ? run() : _ranks.Run(call, run);

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
