using Hydragen.Core;

namespace Hydragen.Models;

/// <summary>
/// A decoder-only language model: the one forward pass of all supported architectures. Not thread-safe, like its backend; it
/// does not own the backend.
/// </summary>
public sealed class DecoderModel : IDisposable
{
    // What scales follow from: more text would cost more than it tells.
    private const int CalibrationTokens = 512;

    private readonly DecoderWeights _weights;
    private readonly DecoderActivations _activations;
    private readonly ScaledRotaryEmbedding _rotary;
    private readonly ModelShare _share;
    private readonly int[] _rows;
    private readonly DecodeStep _step;
    private readonly Action _decode;

    private DecoderModel(
        ModelConfiguration config, ModelShare share, IComputeBackend backend, DecoderOptions options, int maxBatchRows, ElementType computeType, DecoderWeights weights,
        DecoderActivations activations)
    {
        Configuration = config;
        Backend = backend;
        Group = options.Group;
        _share = share;
        MaxBatchRows = maxBatchRows;
        WeightType = options.WeightType;
        ComputeType = computeType;
        KvCacheShape = ShapeOf(config, share, options, computeType);
        KvScaling = options.KvScaling;
        _weights = weights;
        _activations = activations;
        _rotary = new ScaledRotaryEmbedding(config.Rotary);
        _rows = [.. Enumerable.Range(0, MaxBatchRows)];
        _step = new DecodeStep(share.Heads, _rotary, computeType);
        _decode = ComputeDecodeStep;
    }

    /// <summary>What the model is.</summary>
    public ModelConfiguration Configuration { get; }

    /// <summary>Where it computes.</summary>
    public IComputeBackend Backend { get; }

    /// <summary>The ranks that compute it together; null when this process does alone. Sizes of weights and caches are those of this rank.</summary>
    public IRankGroup? Group { get; }

    /// <summary>The most rows of one forward pass.</summary>
    public int MaxBatchRows { get; }

    /// <summary>Element type of the activations.</summary>
    public ElementType ComputeType { get; }

    /// <summary>How the weights of the matrix products are kept.</summary>
    public WeightType WeightType { get; }

    /// <summary>Bytes that all weights occupy in the memory of the backend.</summary>
    public long WeightBytes => _weights.SizeInBytes;

    /// <summary>
    /// Bytes of the weights that a step with logits reads: all but the embedding table, unless it is the output layer too. Of several ranks,
    /// those of all together, when each has as much as this one but for the output layer, which only rank 0 knows.
    /// </summary>
    public long WeightBytesPerStep
    {
        get
        {
            long head = _weights.Head?.SizeInBytes ?? 0, embedding = _weights.Embedding == _weights.Head ? 0 : _weights.Embedding.SizeInBytes;
            return (WeightBytes - embedding - head) * (Group?.Size ?? 1) + head;
        }
    }

    /// <summary>The shape of the caches that it writes and reads.</summary>
    public KvCacheShape KvCacheShape { get; }

    /// <summary>Where the scales of FP8 keys and values come from.</summary>
    public KvScaling KvScaling { get; }

    /// <summary>The most tokens of <see cref="FindLargest"/>.</summary>
    public int MaxCalibrationTokens => Math.Min(MaxBatchRows, CalibrationTokens);

    /// <summary>Bytes of KV memory that <see cref="FindLargest"/> takes at most while it runs.</summary>
    public long CalibrationBytes
    {
        get
        {
            using KvCache cache = Backend.CreateKvCache(CalibrationShape, 0);
            return (MaxCalibrationTokens + KvCache.PageSize - 1) / KvCache.PageSize * cache.BytesPerPage;
        }
    }

    /// <summary>Loads a model folder: <c>config.json</c> and safetensors weights.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="backend">Keeps the weights; must outlive the model.</param>
    /// <param name="options">Types and sizes, or null for the defaults.</param>
    /// <param name="progress">Receives the fraction of the weights that is loaded.</param>
    /// <param name="ct">Stops the load.</param>
    /// <exception cref="ModelFormatException">
    /// A file is malformed, asks for something that is not supported, or holds weights that are NaN or infinite.
    /// </exception>
    /// <exception cref="ArgumentException">The heads or inner elements cannot be split over so many ranks.</exception>
    /// <exception cref="RankGroupException">The ranks do not load the same, or one of them failed.</exception>
    /// <exception cref="IOException">A file is missing or cannot be read.</exception>
    /// <exception cref="InsufficientMemoryException">The weights and the activations are larger than the memory of the backend.</exception>
    /// <exception cref="OperationCanceledException">The load was stopped.</exception>
    public static DecoderModel Load(
        string folder, IComputeBackend backend, DecoderOptions? options = null, IProgress<double>? progress = null, CancellationToken ct = default)
    {
        ArgumentNullException.ThrowIfNull(backend);
        ModelConfiguration config = ModelConfiguration.Load(folder);
        _ = ShareOf(config, options?.Group);
        using WeightStore store = WeightStore.Open(folder);
        return Load(config, store, backend, options, progress, ct);
    }

    /// <summary>Loads weights that are open already.</summary>
    /// <param name="config">What the model is.</param>
    /// <param name="store">Its weights; not needed any more afterwards.</param>
    /// <param name="backend">Keeps the weights; must outlive the model.</param>
    /// <param name="options">Types and sizes, or null for the defaults.</param>
    /// <param name="progress">Receives the fraction of the weights that is loaded.</param>
    /// <param name="ct">Stops the load.</param>
    /// <exception cref="ModelFormatException">Weights do not fit the configuration, or are NaN or infinite.</exception>
    /// <exception cref="ArgumentException">Scales are asked for, and no keys and values are FP8.</exception>
    /// <exception cref="InsufficientMemoryException">The weights and the activations are larger than the memory of the backend.</exception>
    /// <exception cref="OperationCanceledException">The load was stopped.</exception>
    public static DecoderModel Load(
        ModelConfiguration config, WeightStore store, IComputeBackend backend, DecoderOptions? options = null, IProgress<double>? progress = null,
        CancellationToken ct = default)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(store);
        ArgumentNullException.ThrowIfNull(backend);
        options ??= new DecoderOptions();
        ModelShare share = ShareOf(config, options.Group);
        var loadProgress = new LoadProgress(progress, ct);
        var catalog = new WeightCatalog(config, share, store, loadProgress);
        loadProgress.TotalBytes = catalog.BytesToRead(options.WeightType);
        ElementType computeType = options.ComputeType ?? backend.ComputeTypeFor(catalog.Layers[0].QueryKeyValue.ElementType);
        int maxBatchRows = options.MaxBatchRows ?? backend.PreferredBatchRows;
        ShapeOf(config, share, options, computeType).CheckScaling(options.KvScaling);
        long weightBytes = catalog.BytesToKeep(options.WeightType), available = backend.Memory.AvailableBytes;
        long activationBytes = DecoderActivations.BytesFor(config, share, computeType, maxBatchRows);
        if (weightBytes + activationBytes > available)
        {
            throw new InsufficientMemoryException(
                $"{store.Path}: the weights take {weightBytes >> 20} MiB and the activations of {maxBatchRows} rows {activationBytes >> 20} MiB, but {available >> 20} MiB are available.");
        }

        options.Group?.RequireSame("the model", WeightFingerprint.Of(config, store, options, maxBatchRows, computeType));
        options.Group?.RequireSame("the device", WeightFingerprint.Of(backend.Description));
        var weights = new DecoderWeights(catalog, config, backend, options.WeightType, loadProgress);
        try
        {
            return new DecoderModel(
                config, share, backend, options, maxBatchRows, computeType, weights, new DecoderActivations(config, share, backend, computeType, maxBatchRows));
        }
        catch
        {
            weights.Dispose();
            throw;
        }
    }

    /// <summary>Creates a cache that fits the model.</summary>
    public KvCache CreateKvCache(int numPages) => Backend.CreateKvCache(KvCacheShape, numPages);

    /// <summary>How the shared nodes of a plan are computed.</summary>
    /// <param name="plan">The plan of a step.</param>
    /// <param name="cache">A cache of this model.</param>
    public NodeSharing SharingOf(AttentionPlan plan, KvCache cache) => Backend.SharingOf(plan, _share.Heads, ComputeType, cache);

    /// <summary>
    /// Computes one step: appends the keys and values of the rows to the cache and yields logits of chosen rows. Allocates
    /// nothing after the first calls.
    /// </summary>
    /// <param name="tokenIds">Token of each row, <c>[numRows]</c>, at most <see cref="MaxBatchRows"/>.</param>
    /// <param name="slots">Slot id that receives each row's keys and values, <c>[numRows]</c>.</param>
    /// <param name="plan">Positions of the rows, and the cached keys that they see, their own included.</param>
    /// <param name="logitRows">Rows whose logits are wanted, in any order; may be empty.</param>
    /// <param name="cache">A cache of shape <see cref="KvCacheShape"/>.</param>
    /// <param name="logits">Receives FP32 <c>[numLogitRows, vocabularySize]</c>.</param>
    /// <exception cref="ArgumentException">The arguments do not fit together or an id is outside its range; nothing was computed.</exception>
    public void Forward(
        ReadOnlySpan<int> tokenIds, ReadOnlySpan<int> slots, AttentionPlan plan, ReadOnlySpan<int> logitRows, KvCache cache, Span<float> logits)
    {
        CheckArguments(tokenIds, slots, plan, logitRows, cache);
        int vocabularySize = Configuration.VocabularySize;
        if (logits.Length != (long)logitRows.Length * vocabularySize)
        {
            throw new ArgumentException(
                $"{logitRows.Length} rows of {vocabularySize} logits need {(long)logitRows.Length * vocabularySize} numbers, not {logits.Length}.");
        }
        ComputeHidden(tokenIds, slots, plan, cache);
        for (int first = 0; first < logitRows.Length; first += _activations.MaxLogitRows)
        {
            int count = ComputeLogits(logitRows[first..]);
            Group?.Broadcast(_activations.Logits, (long)count * vocabularySize);
            _activations.Logits.Download(logits.Slice(first * vocabularySize, count * vocabularySize));
            Group?.ThrowIfFailed();
        }
    }

    /// <summary>
    /// Computes the first tokens of a text and finds the largest magnitudes of the keys and values of each head of this rank. They are kept only
    /// meanwhile, in the type of the activations.
    /// </summary>
    /// <param name="tokenIds">The tokens, at least one and at most <see cref="MaxCalibrationTokens"/>.</param>
    /// <returns><c>[numLayers, numKvHeads]</c>; NaN and infinities do not count.</returns>
    /// <exception cref="ArgumentException">There are no or too many tokens, or an id is outside the vocabulary; nothing was computed.</exception>
    /// <exception cref="InsufficientMemoryException">The device has no room for them.</exception>
    public KvMagnitude[] FindLargest(ReadOnlySpan<int> tokenIds)
    {
        if (tokenIds.Length < 1 || tokenIds.Length > MaxCalibrationTokens)
            throw new ArgumentException($"There are {tokenIds.Length} tokens; from 1 to {MaxCalibrationTokens} are possible.", nameof(tokenIds));
        int numPages = (tokenIds.Length + KvCache.PageSize - 1) / KvCache.PageSize;
        using KvCache cache = Backend.CreateKvCache(CalibrationShape, numPages);
        int[] slots = _rows[..tokenIds.Length];
        AttentionPlan plan = new TreePlanner().Plan([], [new PlanSequence(-1, tokenIds.Length, 0, tokenIds.Length, _rows.AsMemory(0, numPages))], SharingMode.Paged);
        CheckArguments(tokenIds, slots, plan, [], cache, shape: CalibrationShape);
        ComputeHidden(tokenIds, slots, plan, cache);
        int numKvHeads = KvCacheShape.NumKvHeads;
        var largest = new KvMagnitude[KvCacheShape.NumLayers * numKvHeads];
        for (int layer = 0; layer < KvCacheShape.NumLayers; layer++) cache.FindLargest(layer, slots, largest.AsSpan(layer * numKvHeads, numKvHeads));
        Group?.ThrowIfFailed();
        return largest;
    }

    /// <summary>
    /// Computes one step of decoding: like <see cref="Forward"/> with logits of every row, but chooses a token behind each of them; the logits
    /// stay where they are. Returns when the step is under way where <see cref="IComputeBackend.RunsAhead"/>.
    /// </summary>
    /// <param name="tokenIds">As for <see cref="Forward"/>; −1 − i stands for the token that the step before chose for its row i.</param>
    /// <param name="slots">As for <see cref="Forward"/>; −1 for the rows that <see cref="RoundRows"/> added.</param>
    /// <param name="plan">As for <see cref="Forward"/>.</param>
    /// <param name="cache">As for <see cref="Forward"/>.</param>
    /// <param name="choices">How each row's token is chosen, <c>[numRows]</c>.</param>
    /// <param name="withLogProbabilities">Whether log-probabilities of the tokens are wanted.</param>
    /// <returns>The tokens, <c>[numRows]</c>.</returns>
    /// <exception cref="ArgumentException">The arguments do not fit together or an id is outside its range; nothing was computed.</exception>
    public PendingTokens Decode(
        ReadOnlySpan<int> tokenIds, ReadOnlySpan<int> slots, AttentionPlan plan, KvCache cache, ReadOnlySpan<TokenChoice> choices,
        bool withLogProbabilities = false)
    {
        int numRows = tokenIds.Length;
        CheckArguments(tokenIds, slots, plan, [], cache, isDecoding: true);
        if (choices.Length != numRows) throw new ArgumentException($"{numRows} rows need as many choices, not {choices.Length}.");
        _step.Set(tokenIds, slots, plan, cache, choices, withLogProbabilities);
        Backend.Decode(_step, _decode);
        return Backend.ReadTokens(numRows);
    }

    /// <summary>How many rows a step of decoding should have instead of so many: those added make it one of few sizes.</summary>
    public int RoundRows(int numRows)
    {
        int rounded = Backend.RoundRows(numRows);
        return rounded <= MaxBatchRows ? rounded : numRows;
    }

    /// <summary>Frees weights and buffers; the backend stays.</summary>
    public void Dispose()
    {
        Backend.Forget(_step);
        _activations.Dispose();
        _weights.Dispose();
    }

    private void ComputeDecodeStep()
    {
        ComputeHidden(_step.TokenIds, _step.Slots, _step.Plan, _step.Cache);
        for (int first = 0; first < _step.NumRows; first += _activations.MaxLogitRows)
        {
            int count = ComputeLogits(_rows.AsSpan(first, _step.NumRows - first));
            ReadOnlySpan<TokenChoice> choices = _step.Choices.Slice(first, count);
            if (Group is null) Backend.ChooseTokens(_activations.Logits, Configuration.VocabularySize, choices, first, _step.HasLogProbabilities);
            else Group.ChooseTokens(Backend, _activations.Logits, Configuration.VocabularySize, choices, first, _step.HasLogProbabilities);
        }
    }

    /// <summary>The forward pass up to the final norm.</summary>
    private void ComputeHidden(ReadOnlySpan<int> tokenIds, ReadOnlySpan<int> slots, AttentionPlan plan, KvCache cache)
    {
        int numRows = tokenIds.Length;
        if (numRows == 0) return;
        DecoderActivations a = _activations;
        DecoderLayer[] layers = _weights.Layers;
        float epsilon = Configuration.NormEpsilon;

        Backend.EmbeddingLookup(_weights.Embedding, tokenIds, Configuration.EmbeddingScale, a.Residual); // [numRows, hiddenSize]
        Backend.RmsNorm(a.Residual, numRows, layers[0].InputNorm, epsilon, a.Normed);
        for (int i = 0; i < layers.Length; i++)
        {
            DecoderLayer layer = layers[i];
            DeviceBuffer nextNorm = i + 1 < layers.Length ? layers[i + 1].InputNorm : _weights.FinalNorm;

            Backend.Linear(a.Normed, numRows, layer.QueryKeyValue, a.QueryKeyValue); // [numRows, (numHeads + 2 · numKvHeads) · headDim]
            Backend.RotaryAppend(a.QueryKeyValue, _share.Heads, layer.QueryKeyNorm, _rotary, plan.RowPositions, slots, cache, i, a.Query);
            Backend.Attention(plan, _share.Heads, layer.Attention, a.Query, cache, i, a.Query, logSumExp: null); // [numRows, numHeads, headDim]
            Backend.Linear(a.Query, numRows, layer.Output, a.Delta); // [numRows, hiddenSize]
            AddToResidual(numRows, layer.PostAttentionNorm, layer.FeedForwardNorm);

            Backend.Linear(a.Normed, numRows, layer.GateUp, a.GateUp); // [numRows, 2 · intermediateSize]
            Backend.GatedActivation(a.GateUp, numRows, _share.IntermediateSize, Configuration.Activation, a.Gated); // [numRows, intermediateSize]
            Backend.Linear(a.Gated, numRows, layer.Down, a.Delta); // [numRows, hiddenSize]
            AddToResidual(numRows, layer.PostFeedForwardNorm, nextNorm);
        }
    }

    /// <summary>Ends half a layer: its delta, summed over the ranks and normalised if it has a norm, joins the stream, normalised for what is next.</summary>
    private void AddToResidual(int numRows, DeviceBuffer? deltaNorm, DeviceBuffer nextNorm)
    {
        DecoderActivations a = _activations;
        float scale = Configuration.ResidualScale, epsilon = Configuration.NormEpsilon;
        if (Group is not null && deltaNorm is null)
        {
            Group.AddRmsNorm(Backend, a.Residual, a.Delta, scale, numRows, nextNorm, epsilon, a.Normed);
            return;
        }
        Group?.AllReduce(a.Delta, (long)numRows * Configuration.HiddenSize);
        if (deltaNorm is not null) Backend.RmsNorm(a.Delta, numRows, deltaNorm, epsilon, a.Delta);
        Backend.AddRmsNorm(a.Residual, a.Delta, scale, numRows, nextNorm, epsilon, a.Normed);
    }

    /// <summary>
    /// Logits of as many of some rows as there is room for; returns how many. Of several ranks only the first computes them, and the others get
    /// its bits, or the tokens chosen from them: the fastest way to multiply, which backends look for, need not be the same everywhere.
    /// </summary>
    private int ComputeLogits(ReadOnlySpan<int> rows)
    {
        int count = Math.Min(_activations.MaxLogitRows, rows.Length);
        if (_weights.Head is not null)
        {
            Backend.Logits(
                _activations.Normed, rows[..count], _weights.Head, Configuration.LogitScale, Configuration.FinalLogitSoftCap, _activations.Logits);
        }
        return count;
    }

    private KvCacheShape CalibrationShape => KvCacheShape with { ElementType = ComputeType, PrefixElementType = null };

    private static KvCacheShape ShapeOf(ModelConfiguration config, ModelShare share, DecoderOptions options, ElementType computeType) =>
        new(config.NumLayers, share.Heads.NumKvHeads, share.Heads.HeadDim, options.KvType ?? computeType, options.PrefixKvType);

    private static ModelShare ShareOf(ModelConfiguration config, IRankGroup? group) => new(config, group?.Rank ?? 0, group?.Size ?? 1);

    private void CheckArguments(
        ReadOnlySpan<int> tokenIds, ReadOnlySpan<int> slots, AttentionPlan plan, ReadOnlySpan<int> logitRows, KvCache cache, bool isDecoding = false,
        KvCacheShape? shape = null)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(cache);
        if (tokenIds.Length > MaxBatchRows) throw new ArgumentException($"There are {tokenIds.Length} rows; the model was loaded for at most {MaxBatchRows}.");
        if (slots.Length != tokenIds.Length || plan.NumRows != tokenIds.Length)
            throw new ArgumentException($"There are {tokenIds.Length} tokens, {slots.Length} slots and {plan.NumRows} rows in the plan; the counts must be equal.");
        shape ??= KvCacheShape;
        if (cache.Shape != shape) throw new ArgumentException($"The cache has shape {cache.Shape}; the model needs {shape}.");
        int minTokenId = isDecoding ? -_step.NumRows : 0, minSlot = isDecoding ? -1 : 0;
        foreach (int id in tokenIds)
        {
            if (id < minTokenId || id >= Configuration.VocabularySize)
                throw new ArgumentException($"Token id {id} is outside the vocabulary of {Configuration.VocabularySize}.");
        }
        foreach (int slot in slots)
        {
            if (slot < minSlot || slot / KvCache.PageSize >= cache.NumPages)
                throw new ArgumentException($"Slot {slot} is outside the cache of {cache.NumPages} pages.");
        }
        foreach (int row in logitRows)
        {
            if ((uint)row >= (uint)tokenIds.Length) throw new ArgumentException($"Logits of row {row} are wanted; there are {tokenIds.Length} rows.");
        }
    }
}
