using Hydragen.Core;
using Hydragen.Cpu;
using Hydragen.Engine;
using Hydragen.Models;
using Hydragen.Text;

namespace Hydragen;

/// <summary>
/// A model that completes batches of prompts and computes what they share once. Thread-safe: calls wait for one another.
/// </summary>
/// <example>
/// <code>
/// await using LanguageModel model = await LanguageModel.LoadAsync("path/to/model");
/// await using SharedPrefix document = await model.CreatePrefixAsync(File.ReadAllText("report.txt"));
/// GenerationOutput answers = await document.GenerateAsync(questions, new GenerationOptions { Sampling = SamplingOptions.Greedy });
/// </code>
/// </example>
public sealed class LanguageModel : IAsyncDisposable, IDisposable
{
    private readonly IComputeBackend? _ownBackend;
    private readonly IRankGroup? _ownGroup;
    private readonly DecoderModel _model;

    private LanguageModel(IComputeBackend? ownBackend, IRankGroup? ownGroup, DecoderModel model, InferenceEngine engine)
    {
        _ownBackend = ownBackend;
        _ownGroup = ownGroup;
        _model = model;
        Engine = engine;
    }

    /// <summary>Shape and limits of the model.</summary>
    public ModelConfiguration Configuration => _model.Configuration;

    /// <summary>The tokenizer; null when the folder has no tokenizer.json, which leaves token ids only.</summary>
    public Tokenizer? Tokenizer => Engine.Tokenizer;

    /// <summary>The engine below: token ids, scoring, blocking calls.</summary>
    public InferenceEngine Engine { get; }

    /// <summary>Loads a folder with config.json, safetensors and tokenizer.json.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="options">Types, threads, limits.</param>
    /// <param name="progress">Receives the loaded share, 0 to 1.</param>
    /// <param name="cancellationToken">Ends the loading.</param>
    /// <exception cref="ModelFormatException">A file is missing, malformed or of an unsupported kind.</exception>
    /// <exception cref="RankGroupException">The ranks do not load the same, or one of them failed.</exception>
    /// <exception cref="TokenizerFormatException">tokenizer.json is malformed or of an unsupported kind.</exception>
    public static Task<LanguageModel> LoadAsync(
        string folder, LanguageModelOptions? options = null, IProgress<double>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        return EngineThread.RunAsync(() => Load(options ?? new LanguageModelOptions(), (backend, decoderOptions) =>
        {
            string tokenizerPath = Path.Combine(folder, "tokenizer.json");
            Tokenizer? tokenizer = File.Exists(tokenizerPath) ? Tokenizer.Load(tokenizerPath) : null;
            return (DecoderModel.Load(folder, backend, decoderOptions, progress, cancellationToken), tokenizer);
        }));
    }

    /// <summary>Loads weights that lie in no folder; there is no tokenizer, so prompts are token ids.</summary>
    /// <param name="configuration">What the model is.</param>
    /// <param name="weights">Its weights; stay the caller's.</param>
    /// <param name="options">Types, threads, limits.</param>
    /// <param name="progress">Receives the loaded share, 0 to 1.</param>
    /// <param name="cancellationToken">Ends the loading.</param>
    /// <exception cref="ModelFormatException">The weights do not fit the configuration.</exception>
    public static Task<LanguageModel> LoadAsync(
        ModelConfiguration configuration, WeightStore weights, LanguageModelOptions? options = null, IProgress<double>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        ArgumentNullException.ThrowIfNull(weights);
        return EngineThread.RunAsync(() => Load(options ?? new LanguageModelOptions(), (backend, decoderOptions) =>
            (DecoderModel.Load(configuration, weights, backend, decoderOptions, progress, cancellationToken), null)));
    }

    /// <summary>Completes prompts; common prefixes are found and shared.</summary>
    /// <returns>All completions, ordered by prompt and sample.</returns>
    /// <exception cref="ArgumentException">A prompt or option is invalid.</exception>
    /// <exception cref="OutOfKvMemoryException">A single prompt does not fit into the KV memory.</exception>
    public Task<GenerationOutput> GenerateAsync(IEnumerable<string> prompts, GenerationOptions? options = null, CancellationToken cancellationToken = default) =>
        EngineThread.CollectAsync(FlatCall(prompts, options, null), cancellationToken);

    /// <summary>Like <see cref="GenerateAsync"/>, token by token; an update carries its completion when that ends.</summary>
    public IAsyncEnumerable<GenerationUpdate> StreamAsync(
        IEnumerable<string> prompts, GenerationOptions? options = null, CancellationToken cancellationToken = default) =>
        EngineThread.StreamAsync(FlatCall(prompts, options, null), cancellationToken);

    /// <summary>Completes the leaves of prompt trees; each part is computed once.</summary>
    /// <inheritdoc cref="GenerateAsync" path="/returns"/>
    public Task<GenerationOutput> GenerateTreeAsync(
        IReadOnlyList<PromptNode> roots, GenerationOptions? options = null, CancellationToken cancellationToken = default) =>
        EngineThread.CollectAsync(TreeCall(roots, options, null), cancellationToken);

    /// <summary>Like <see cref="GenerateTreeAsync"/>, token by token; an update carries its completion when that ends.</summary>
    public IAsyncEnumerable<GenerationUpdate> StreamTreeAsync(
        IReadOnlyList<PromptNode> roots, GenerationOptions? options = null, CancellationToken cancellationToken = default) =>
        EngineThread.StreamAsync(TreeCall(roots, options, null), cancellationToken);

    /// <summary>Computes a prefix once and keeps it, to be continued by any number of calls.</summary>
    /// <param name="text">The prefix; special tokens such as a beginning-of-sequence token are added.</param>
    /// <param name="progress">Receives progress on the engine's thread.</param>
    /// <param name="cancellationToken">Ends the computation; nothing is kept.</param>
    public Task<SharedPrefix> CreatePrefixAsync(
        string text, IProgress<GenerationProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(text);
        return CreatePrefixAsync(PromptNode.FromText(text), null, progress, cancellationToken);
    }

    /// <summary>
    /// On a rank other than the first of a group: computes along with rank 0 until that disposes its model. Nothing else may be called there.
    /// </summary>
    /// <exception cref="InvalidOperationException">This is rank 0, or there is no group.</exception>
    /// <exception cref="RankGroupException">Another rank failed or is lost.</exception>
    public Task ServeAsync() => EngineThread.RunAsync(() =>
    {
        Engine.Serve();
        return 0;
    });

    /// <summary>Frees the model; waits for a running call.</summary>
    public void Dispose()
    {
        Engine.Dispose();
        _model.Dispose();
        _ownGroup?.Dispose();
        _ownBackend?.Dispose();
    }

    /// <inheritdoc cref="Dispose"/>
    public ValueTask DisposeAsync() => new(EngineThread.RunAsync(() =>
    {
        Dispose();
        return 0;
    }));

    internal Task<SharedPrefix> CreatePrefixAsync(
        PromptNode prompt, PrefixHandle? parent, IProgress<GenerationProgress>? progress, CancellationToken cancellationToken) =>
        EngineThread.RunAsync(() => new SharedPrefix(this, Engine.CreatePrefix(prompt, parent, progress, cancellationToken)));

    internal EngineThread.EngineCall FlatCall(IEnumerable<string> prompts, GenerationOptions? options, PrefixHandle? prefix)
    {
        ArgumentNullException.ThrowIfNull(prompts);
        PromptNode[] nodes = [.. prompts.Select(prompt => PromptNode.FromText(prompt))];
        options ??= new GenerationOptions();
        return (onUpdate, onResult, cancellationToken) => Engine.Generate(nodes, options, onUpdate, onResult, prefix, cancellationToken);
    }

    internal EngineThread.EngineCall TreeCall(IReadOnlyList<PromptNode> roots, GenerationOptions? options, PrefixHandle? prefix)
    {
        ArgumentNullException.ThrowIfNull(roots);
        options ??= new GenerationOptions();
        return (onUpdate, onResult, cancellationToken) => Engine.GenerateTree(roots, options, onUpdate, onResult, prefix, cancellationToken);
    }

    private static LanguageModel Load(LanguageModelOptions options, Func<IComputeBackend, DecoderOptions, (DecoderModel, Tokenizer?)> load)
    {
        IComputeBackend backend = options.Backend ?? new CpuBackend(new CpuOptions { NumThreads = options.NumThreads });
        IComputeBackend? ownBackend = options.Backend is null || options.OwnsBackend ? backend : null;
        IRankGroup? ownGroup = options.OwnsGroup ? options.Group : null;
        DecoderModel? model = null;
        try
        {
            var decoderOptions = new DecoderOptions
            {
                ComputeType = options.ComputeType,
                KvType = options.KvType,
                PrefixKvType = options.PrefixKvType,
                KvScaling = options.KvScaling,
                WeightType = options.WeightType,
                MaxBatchRows = options.MaxBatchRows,
                Group = options.Group,
            };
            (model, Tokenizer? tokenizer) = load(backend, decoderOptions);
            var engine = new InferenceEngine(model, tokenizer, new InferenceEngineOptions { MaxKvBytes = options.MaxKvBytes });
            return new LanguageModel(ownBackend, ownGroup, model, engine);
        }
        catch (Exception exception)
        {
            options.Group?.Fail(exception.Message);
            model?.Dispose();
            ownGroup?.Dispose();
            ownBackend?.Dispose();
            throw;
        }
    }
}
