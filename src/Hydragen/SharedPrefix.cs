using Hydragen.Engine;

namespace Hydragen;

/// <summary>
/// A computed prefix that stays in memory until disposed. Calls that continue it compute only what is new, and all their
/// sequences read the prefix together. Thread-safe like its model.
/// </summary>
public sealed class SharedPrefix : IAsyncDisposable, IDisposable
{
    private readonly LanguageModel _model;
    private readonly PrefixHandle _handle;

    internal SharedPrefix(LanguageModel model, PrefixHandle handle)
    {
        _model = model;
        _handle = handle;
    }

    /// <summary>Tokens from the beginning to the end of this prefix.</summary>
    public int Length => _handle.Length;

    /// <summary>Computes a continuation and keeps it too: one more level. It stays valid when this one is disposed.</summary>
    /// <param name="text">The continuation.</param>
    /// <param name="progress">Receives progress on the engine's thread.</param>
    /// <param name="cancellationToken">Ends the computation; nothing is kept.</param>
    public Task<SharedPrefix> ExtendAsync(
        string text, IProgress<GenerationProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(text);
        return _model.CreatePrefixAsync(PromptNode.FromText(text), _handle, progress, cancellationToken);
    }

    /// <summary>Completes the prefix followed by each suffix. An empty suffix continues from the prefix's stored last logits.</summary>
    /// <inheritdoc cref="LanguageModel.GenerateAsync" path="/returns"/>
    public Task<GenerationOutput> GenerateAsync(
        IEnumerable<string> suffixes, GenerationOptions? options = null, CancellationToken cancellationToken = default) =>
        EngineThread.CollectAsync(_model.FlatCall(suffixes, options, _handle), cancellationToken);

    /// <summary>Completes the prefix itself, as often as <see cref="GenerationOptions.SamplesPerPrompt"/> says, from its stored last logits.</summary>
    /// <inheritdoc cref="LanguageModel.GenerateAsync" path="/returns"/>
    public Task<GenerationOutput> GenerateAsync(GenerationOptions? options = null, CancellationToken cancellationToken = default) =>
        GenerateAsync([""], options, cancellationToken);

    /// <summary>Like <see cref="GenerateAsync(IEnumerable{string}, GenerationOptions, CancellationToken)"/>, token by token.</summary>
    public IAsyncEnumerable<GenerationUpdate> StreamAsync(
        IEnumerable<string> suffixes, GenerationOptions? options = null, CancellationToken cancellationToken = default) =>
        EngineThread.StreamAsync(_model.FlatCall(suffixes, options, _handle), cancellationToken);

    /// <summary>Completes the leaves of prompt trees that continue the prefix.</summary>
    /// <inheritdoc cref="LanguageModel.GenerateAsync" path="/returns"/>
    public Task<GenerationOutput> GenerateTreeAsync(
        IReadOnlyList<PromptNode> roots, GenerationOptions? options = null, CancellationToken cancellationToken = default) =>
        EngineThread.CollectAsync(_model.TreeCall(roots, options, _handle), cancellationToken);

    /// <summary>Frees what only this prefix holds; waits for a running call.</summary>
    public void Dispose() => _handle.Dispose();

    /// <inheritdoc cref="Dispose"/>
    public ValueTask DisposeAsync() => new(EngineThread.RunAsync(() =>
    {
        Dispose();
        return 0;
    }));
}
