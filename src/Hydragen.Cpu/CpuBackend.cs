using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// Runs every operator on the processor with SIMD kernels and a pool of threads. Storage is FP32, BF16 or FP16; arithmetic is
/// FP32, into which products of BF16 fit without rounding, and INT32 for INT8 weights. Not thread-safe.
/// </summary>
/// <remarks>
/// For one instruction set, results are the same bit for bit whatever the number of threads, the timing and the pages used. A row of
/// any operator does not depend on the other rows of the batch; in attention that holds for equal segments of the row (their key
/// ranges and the slot in which each starts), so reading a prefix shared (<see cref="SharingMode.Hydragen"/>) or by every sequence
/// for itself (<see cref="SharingMode.Paged"/>) gives the same bits, and so does prefilling in one piece or in several. A row without
/// visible keys yields zeros and a log-sum-exp of −∞. A NaN stays in the rows that see it. Matrix products of BF16 inputs and BF16
/// weights on <c>avx512bf16</c> count subnormal numbers as zero. A matrix is read only by backends of the instruction set that packed
/// it, or of another with the same layout. Products with INT8 weights have one layout and give the same bits on all instruction sets,
/// but for a soft-cap.
/// </remarks>
public sealed unsafe class CpuBackend : IComputeBackend
{
    /// <summary>Name of the product with INT8 weights among <see cref="Kernels"/>.</summary>
    internal const string Int8Product = "int8 matrix product";

    /// <summary>How the names of attention over a type of keys and values begin among <see cref="Kernels"/>.</summary>
    internal const string AttentionOver = "attention over";

    private readonly NativeAllocator _allocator;
    private readonly WorkerPool _pool;
    private readonly ChosenTokens _chosen = new();
    private readonly OperatorSet _operators;
    private readonly AttentionWork _work;
    private readonly MixedAttentionJob _mixedAttention = new();
    private readonly MatrixProduct _matrixProduct;
    private readonly ConditionalWeakTable<RotaryEmbedding, RotaryTable> _rotaryTables = [];
    private readonly Scratch _workerScratch, _partSums, _partWeights, _partMax;
    private readonly Lazy<IReadOnlyList<KernelChoice>> _kernels;
    private bool _isDisposed;

    /// <summary>Creates a backend and starts its threads.</summary>
    /// <param name="options">Settings; null for the defaults.</param>
    /// <exception cref="ArgumentException">The instruction set that options or environment name does not exist.</exception>
    /// <exception cref="PlatformNotSupportedException">The processor does not have that instruction set.</exception>
    public CpuBackend(CpuOptions? options = null)
        : this(options, NativeAllocator.Default)
    {
    }

    internal CpuBackend(
        CpuOptions? options, NativeAllocator allocator, long workspaceFloats = AttentionWork.DefaultWorkspaceFloats,
        IReadOnlyList<InstructionSet>? instructionSets = null)
    {
        _allocator = allocator;
        instructionSets ??= InstructionSet.All;
        InstructionSet instructionSet = InstructionSet.Select(instructionSets, options?.InstructionSet, out string reason);
        string vectorReason = instructionSet.Name != instructionSet.VectorName && reason.StartsWith(instructionSet.Reason, StringComparison.Ordinal)
            ? instructionSets.First(row => row.Name == instructionSet.VectorName).Reason : reason;
        _operators = instructionSet.CreateOperators();
        _workerScratch = new Scratch(allocator);
        _partSums = new Scratch(allocator);
        _partWeights = new Scratch(allocator);
        _partMax = new Scratch(allocator);
        _pool = new WorkerPool(options?.NumThreads ?? Environment.ProcessorCount);
        _work = new AttentionWork(workspaceFloats, _pool.NumThreads);
        Description = $"CPU, {instructionSet.Title}, {_pool.NumThreads} {(_pool.NumThreads == 1 ? "thread" : "threads")}";
        _matrixProduct = new MatrixProduct(_operators, _pool, _workerScratch, allocator);
        _kernels = new Lazy<IReadOnlyList<KernelChoice>>(() =>
        [
            new KernelChoice("attention", instructionSet.Name, reason),
            .. AttentionKernels(instructionSet),
            new KernelChoice("matrix product", instructionSet.Name, reason),
            new KernelChoice(Int8Product, _operators.Quads.Name, _operators.QuadsReason),
            new KernelChoice("elementwise", instructionSet.VectorName, vectorReason),
        ]);
    }

    /// <inheritdoc/>
    public string Description { get; }

    /// <inheritdoc/>
    public IReadOnlyList<KernelChoice> Kernels => _kernels.Value;

    /// <inheritdoc/>
    public BackendMemory Memory
    {
        get
        {
            long available = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
            return new BackendMemory(available, long.MaxValue, available / 2);
        }
    }

    /// <inheritdoc/>
    public ElementType ComputeTypeFor(ElementType weightType) => ElementType.Float32;

    /// <inheritdoc/>
    public int PreferredBatchRows => 512;

    /// <inheritdoc/>
    public ElementType WeightTypeFor(ElementType queryType, ElementType kvType) =>
        _operators.PairsBFloat16 && queryType == ElementType.BFloat16 && _operators.ReadsAsPairs(kvType) ? ElementType.BFloat16 : ElementType.Float32;

    /// <inheritdoc/>
    public DeviceBuffer Allocate(ElementType elementType, long length)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        return new CpuBuffer(_allocator, _operators.Converter, elementType, length);
    }

    /// <inheritdoc/>
    public KvCache CreateKvCache(KvCacheShape shape, int numPages)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentNullException.ThrowIfNull(shape);
        ArgumentOutOfRangeException.ThrowIfNegative(numPages);
        ArgumentOutOfRangeException.ThrowIfLessThan(shape.NumLayers, 1, nameof(shape));
        _ = new AttentionShape(Math.Max(1, shape.NumKvHeads), shape.NumKvHeads, shape.HeadDim);
        return new CpuKvCache(_allocator, _pool, _operators.Converter, shape, _operators.PairsBFloat16, numPages);
    }

    /// <inheritdoc/>
    public PackedMatrix PackMatrix(MatrixSource source, WeightType weightType = WeightType.Model)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentNullException.ThrowIfNull(source);
        if (source.OutputSize < 1 || source.InputSize < 1)
            throw new ArgumentException($"A matrix of [{source.OutputSize}, {source.InputSize}] has no elements.", nameof(source));
        if (!source.Bias.IsEmpty && source.Bias.Length != source.OutputSize)
            throw new ArgumentException($"The bias has {source.Bias.Length} elements for {source.OutputSize} rows.", nameof(source));
        if (weightType is not (WeightType.Model or WeightType.Int8)) throw new ArgumentOutOfRangeException(nameof(weightType), weightType, "Unknown weight type.");
        if (weightType == WeightType.Int8 && source.InputSize > QuadKernel.MaxInputSize)
        {
            throw new ArgumentException(
                $"Rows of {source.InputSize} elements are too long for int8 weights; their sums in INT32 allow at most {QuadKernel.MaxInputSize}.", nameof(source));
        }
        return new CpuMatrix(_allocator, source, weightType, _operators);
    }

    /// <inheritdoc/>
    public void EmbeddingLookup(PackedMatrix table, ReadOnlySpan<int> tokenIds, float scale, DeviceBuffer output)
    {
        CpuMatrix matrix = Check.Matrix(table, _operators, nameof(table));
        if (matrix.IsQuantized)
            throw new ArgumentException("The table was packed as int8; look-ups need weights in the type of the model.", nameof(table));
        CpuBuffer result = Check.Float32(output, (long)tokenIds.Length * matrix.InputSize, nameof(output));
        tokenIds = _chosen.Resolve(tokenIds);
        foreach (int id in tokenIds)
        {
            if ((uint)id >= (uint)matrix.OutputSize)
                throw new ArgumentOutOfRangeException(nameof(tokenIds), id, $"The table has {matrix.OutputSize} rows.");
        }
        EmbeddingJob job = _operators.Embedding;
        job.Matrix = matrix;
        job.Weights = matrix.Weights;
        job.Output = (float*)result.Pointer;
        job.Scale = scale;
        fixed (int* ids = tokenIds)
        {
            job.TokenIds = ids;
            _pool.Run(job, tokenIds.Length);
        }
        KeepAlive(matrix, result);
    }

    /// <inheritdoc/>
    public void RmsNorm(DeviceBuffer input, int numRows, DeviceBuffer weight, float epsilon, DeviceBuffer output)
    {
        NormJob job = _operators.Norm;
        CpuBuffer source = PrepareNorm(job, input, nameof(input), numRows, weight, epsilon, output);
        job.Input = source.Pointer;
        job.InputType = source.ElementType;
        job.Residual = null;
        _pool.Run(job, RowItems.Count(numRows, job.RowsPerItem));
        KeepAlive(input, weight, output);
    }

    /// <inheritdoc/>
    public void AddRmsNorm(
        DeviceBuffer residual, DeviceBuffer delta, float deltaScale, int numRows, DeviceBuffer weight, float epsilon, DeviceBuffer output)
    {
        NormJob job = _operators.Norm;
        CpuBuffer source = PrepareNorm(job, delta, nameof(delta), numRows, weight, epsilon, output);
        job.Input = source.Pointer;
        job.InputType = source.ElementType;
        job.Residual = (float*)Check.Float32(residual, (long)numRows * weight.Length, nameof(residual)).Pointer;
        job.DeltaScale = deltaScale;
        _pool.Run(job, RowItems.Count(numRows, job.RowsPerItem));
        KeepAlive(residual, delta, weight, output);
    }

    /// <inheritdoc/>
    public void Linear(DeviceBuffer input, int numRows, PackedMatrix matrix, DeviceBuffer output)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(numRows);
        CpuMatrix weights = Check.Matrix(matrix, _operators, nameof(matrix));
        CpuBuffer source = Check.Buffer(input, (long)numRows * weights.InputSize, nameof(input));
        CpuBuffer result = Check.Buffer(output, (long)numRows * weights.OutputSize, nameof(output));
        Check.NotSame(output, input, nameof(output));
        _matrixProduct.Multiply(source, null, numRows, weights, 1, null, result);
        KeepAlive(input, matrix, output);
    }

    /// <inheritdoc/>
    public void RotaryAppend(
        DeviceBuffer queryKeyValue, AttentionShape shape, QueryKeyNorm? norm, RotaryEmbedding? rotary,
        ReadOnlySpan<int> positions, ReadOnlySpan<int> slots, KvCache cache, int layer, DeviceBuffer query)
    {
        ArgumentNullException.ThrowIfNull(shape);
        int numRows = positions.Length;
        if (slots.Length != numRows)
            throw new ArgumentException($"There are {numRows} positions and {slots.Length} slots; give one of each a row.", nameof(slots));
        CpuBuffer source = Check.Buffer(
            queryKeyValue, (long)numRows * (shape.NumHeads + 2 * shape.NumKvHeads) * shape.HeadDim, nameof(queryKeyValue));
        CpuBuffer result = Check.Buffer(query, (long)numRows * shape.NumHeads * shape.HeadDim, nameof(query));
        Check.NotSame(query, queryKeyValue, nameof(query));
        RotaryAppendJob job = _operators.RotaryAppend;
        job.Cache = Check.Cache(cache, layer, shape);
        job.Cache.CheckSlots(slots);
        job.Cache.BeginAppend();
        foreach (int position in positions)
        {
            if (position < 0) throw new ArgumentOutOfRangeException(nameof(positions), position, "Positions cannot be negative.");
        }
        job.QueryWeight = job.KeyWeight = null;
        if (norm is not null)
        {
            job.QueryWeight = (float*)Check.Float32(norm.QueryWeight, shape.HeadDim, nameof(norm)).Pointer;
            job.KeyWeight = (float*)Check.Float32(norm.KeyWeight, shape.HeadDim, nameof(norm)).Pointer;
            job.Epsilon = norm.Epsilon;
        }
        job.Rotary = rotary is null ? null : PrepareRotary(rotary, shape, positions);
        job.QueryKeyValue = source.Pointer;
        job.InputType = source.ElementType;
        job.Shape = shape;
        job.NumRows = numRows;
        job.RowsPerItem = RowItems.RowsPerItem((long)(shape.NumHeads + 2 * shape.NumKvHeads) * shape.HeadDim);
        job.Converter = _operators.Converter;
        job.Layer = layer;
        job.Query = result.Pointer;
        job.QueryType = result.ElementType;
        fixed (int* rowPositions = positions, rowSlots = slots)
        {
            job.Positions = rowPositions;
            job.Slots = rowSlots;
            _pool.Run(job, RowItems.Count(numRows, job.RowsPerItem));
        }
        KeepAlive(queryKeyValue, norm, cache, query);
    }

    /// <inheritdoc/>
    public void Attention(
        AttentionPlan plan, AttentionShape shape, AttentionOptions options, DeviceBuffer query, KvCache cache, int layer,
        DeviceBuffer output, DeviceBuffer? logSumExp)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(shape);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate(shape);
        long numRowHeads = (long)plan.NumRows * shape.NumHeads;
        CpuBuffer source = Check.Buffer(query, numRowHeads * shape.HeadDim, nameof(query));
        CpuBuffer result = Check.Buffer(output, numRowHeads * shape.HeadDim, nameof(output));
        CpuBuffer? logs = logSumExp is null ? null : Check.Float32(logSumExp, numRowHeads, nameof(logSumExp));
        if (logSumExp is not null)
        {
            Check.NotSame(logSumExp, query, nameof(logSumExp));
            Check.NotSame(logSumExp, output, nameof(logSumExp));
        }
        CpuKvCache pages = Check.Cache(cache, layer, shape);
        AttentionJob job = _operators.AttentionFor(source.ElementType, pages, PageKind.Suffix);
        AttentionJob? prefixJob = pages.Shape.IsMixed ? _operators.AttentionFor(source.ElementType, pages, PageKind.Prefix) : null;
        _work.Compile(plan, shape, job.Limits, prefixJob?.Limits ?? default, prefixJob is null ? null : pages);
        if (_work.MaxPage >= pages.Pages.Length)
            throw new ArgumentException($"The plan uses page {_work.MaxPage}, but the cache has {pages.NumPages} pages.", nameof(plan));

        var parts = new PartialResults(
            _partSums.Floats((long)_work.NumSlots * shape.HeadDim), _partWeights.Floats(_work.NumSlots), _partMax.Floats(_work.NumSlots));
        float* logSumExps = logs is null ? null : (float*)logs.Pointer;
        void Prepare(AttentionJob kernel, PageKind kind)
        {
            kernel.Work = _work;
            kernel.Shape = shape;
            kernel.Options = options;
            kernel.Converter = _operators.Converter;
            kernel.Cache = pages;
            kernel.Layout = pages.LayoutOf(kind);
            kernel.Layer = layer;
            kernel.Kind = kind;
            kernel.Query = source.Pointer;
            kernel.QueryType = source.ElementType;
            kernel.Output = result.Pointer;
            kernel.OutputType = result.ElementType;
            kernel.LogSumExp = logSumExps;
            kernel.Parts = parts;
        }
        Prepare(job, PageKind.Suffix);
        if (prefixJob is not null) Prepare(prefixJob, PageKind.Prefix);
        long scratch = ((long)_pool.NumThreads * job.ScratchPerWorker(shape.HeadDim) + 15) / 16 * 16;
        job.Scratch = _workerScratch.Floats(scratch + (long)_pool.NumThreads * (prefixJob?.ScratchPerWorker(shape.HeadDim) ?? 0));
        Job all = job;
        if (prefixJob is not null)
        {
            prefixJob.Scratch = job.Scratch + scratch;
            (_mixedAttention.Work, _mixedAttention.Suffix, _mixedAttention.Prefix) = (_work, job, prefixJob);
            all = _mixedAttention;
        }
        MergeJob merge = _operators.Merge;
        merge.Work = _work;
        merge.NumHeads = shape.NumHeads;
        merge.HeadDim = shape.HeadDim;
        merge.ScalesExactly = job.ScalesExactly && prefixJob is null or { ScalesExactly: true };
        merge.Parts = parts;
        merge.Output = job.Output;
        merge.OutputType = job.OutputType;
        merge.LogSumExp = logSumExps;
        foreach (AttentionWave wave in _work.Waves)
        {
            (job.FirstItem, job.NumItems) = (wave.FirstItem, wave.NumItems);
            if (prefixJob is not null) (prefixJob.FirstItem, prefixJob.NumItems, _mixedAttention.FirstItem) = (wave.FirstItem, wave.NumItems, wave.FirstItem);
            _pool.Run(all, wave.NumItems, wave.NumComputeBound);
            merge.FirstMergeRow = wave.FirstMergeRow;
            merge.NumMergeRows = wave.NumMergeRows;
            _pool.Run(merge, RowItems.Count(wave.NumMergeRows, MergeJob.RowsPerItem));
        }
        KeepAlive(query, cache, output, logSumExp);
    }

    /// <inheritdoc/>
    public void GatedActivation(DeviceBuffer gateUp, int numRows, int intermediateSize, ActivationKind activation, DeviceBuffer output)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(numRows);
        ArgumentOutOfRangeException.ThrowIfLessThan(intermediateSize, 1);
        if (activation is not (ActivationKind.Silu or ActivationKind.Gelu or ActivationKind.GeluTanh))
            throw new ArgumentOutOfRangeException(nameof(activation), activation, "Unknown activation.");
        CpuBuffer source = Check.Buffer(gateUp, 2L * numRows * intermediateSize, nameof(gateUp));
        CpuBuffer result = Check.Buffer(output, (long)numRows * intermediateSize, nameof(output));
        Check.NotSame(output, gateUp, nameof(output));
        ActivationJob job = _operators.Activation;
        job.GateUp = source.Pointer;
        job.InputType = source.ElementType;
        job.NumRows = numRows;
        job.RowsPerItem = RowItems.RowsPerItem(2L * intermediateSize);
        job.IntermediateSize = intermediateSize;
        job.Activation = activation;
        job.Output = result.Pointer;
        job.OutputType = result.ElementType;
        _pool.Run(job, RowItems.Count(numRows, job.RowsPerItem));
        KeepAlive(gateUp, output);
    }

    /// <inheritdoc/>
    public void Logits(DeviceBuffer hidden, ReadOnlySpan<int> rows, PackedMatrix head, float scale, float? softCap, DeviceBuffer logits)
    {
        CpuMatrix weights = Check.Matrix(head, _operators, nameof(head));
        CpuBuffer source = Check.Buffer(hidden, 0, nameof(hidden));
        CpuBuffer result = Check.Float32(logits, (long)rows.Length * weights.OutputSize, nameof(logits));
        Check.NotSame(logits, hidden, nameof(logits));
        if (softCap is not null && !(float.IsFinite(softCap.Value) && softCap > 0))
            throw new ArgumentOutOfRangeException(nameof(softCap), softCap, "A logit soft-cap must be positive and finite.");
        foreach (int row in rows)
        {
            if (row < 0 || row >= source.Length / weights.InputSize)
                throw new ArgumentOutOfRangeException(nameof(rows), row, $"The hidden buffer has {source.Length / weights.InputSize} rows.");
        }
        fixed (int* chosen = rows) _matrixProduct.Multiply(source, chosen, rows.Length, weights, scale, softCap, result);
        KeepAlive(hidden, head, logits);
    }

    /// <inheritdoc/>
    public void ChooseTokens(DeviceBuffer logits, int rowSize, ReadOnlySpan<TokenChoice> choices, int first, bool withLogProbabilities)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rowSize, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        CpuBuffer source = Check.Float32(logits, (long)choices.Length * rowSize, nameof(logits));
        for (int row = 0; row < choices.Length; row++)
            _chosen.Choose(new Span<float>((float*)source.Pointer + (nint)row * rowSize, rowSize), choices[row], first + row, withLogProbabilities);
        GC.KeepAlive(logits);
    }

    /// <inheritdoc/>
    public PendingTokens ReadTokens(int numTokens) => _chosen.Read(numTokens);

    /// <summary>Stops the threads and frees the workspace. Buffers, matrices and caches have their own owners.</summary>
    public void Dispose()
    {
        if (_isDisposed) return;
        _isDisposed = true;
        _pool.Dispose();
        foreach (KeyValuePair<RotaryEmbedding, RotaryTable> entry in _rotaryTables) entry.Value.Dispose();
        _rotaryTables.Clear();
        _workerScratch.Dispose();
        _matrixProduct.Dispose();
        _partSums.Dispose();
        _partWeights.Dispose();
        _partMax.Dispose();
    }

    /// <summary>What attention over each type of keys and values is computed with; BF16 queries come apart where they have kernels of their own.</summary>
    private IEnumerable<KernelChoice> AttentionKernels(InstructionSet instructionSet)
    {
        foreach (ElementType type in ElementTypes.All)
        {
            using var cache = new CpuKvCache(
                _allocator, _pool, _operators.Converter, new KvCacheShape(1, 1, OperatorSet.CommonHeadDim, type), _operators.PairsBFloat16, numPages: 0);
            AttentionJob plain = _operators.AttentionFor(ElementType.Float32, cache, PageKind.Suffix), pairs = _operators.AttentionFor(ElementType.BFloat16, cache, PageKind.Suffix);
            CpuPageLayout layout = cache.LayoutOf(PageKind.Suffix);
            string operation = $"{AttentionOver} {type.ShortName()}";
            yield return new KernelChoice(operation, instructionSet.VectorName, plain.Describe(layout, _operators.Converter));
            if (pairs != plain) yield return new KernelChoice(operation + ", bf16 queries", instructionSet.Name, pairs.Describe(layout, _operators.Converter));
        }
    }

    // The kernels hold bare pointers; a buffer that its owner has dropped must not be finalized under them.
    private static void KeepAlive(object? first, object? second, object? third = null, object? fourth = null)
    {
        GC.KeepAlive(first);
        GC.KeepAlive(second);
        GC.KeepAlive(third);
        GC.KeepAlive(fourth);
    }

    private static CpuBuffer PrepareNorm(
        NormJob job, DeviceBuffer input, string inputName, int numRows, DeviceBuffer weight, float epsilon, DeviceBuffer output)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(numRows);
        CpuBuffer weights = Check.Float32(weight, 1, nameof(weight));
        int hiddenSize = checked((int)weights.Length);
        CpuBuffer source = Check.Buffer(input, (long)numRows * hiddenSize, inputName);
        CpuBuffer result = Check.Buffer(output, (long)numRows * hiddenSize, nameof(output));
        job.NumRows = numRows;
        job.RowsPerItem = RowItems.RowsPerItem(hiddenSize);
        job.HiddenSize = hiddenSize;
        job.Weight = (float*)weights.Pointer;
        job.Epsilon = epsilon;
        job.Output = result.Pointer;
        job.OutputType = result.ElementType;
        return source;
    }

    private RotaryTable PrepareRotary(RotaryEmbedding rotary, AttentionShape shape, ReadOnlySpan<int> positions)
    {
        if (rotary.RotaryDim < 2 || rotary.RotaryDim % 2 != 0 || rotary.RotaryDim > shape.HeadDim)
        {
            throw new ArgumentException(
                $"The rotary dimension is {rotary.RotaryDim}; it must be even and at most the head dimension {shape.HeadDim}.", nameof(rotary));
        }
        if (!_rotaryTables.TryGetValue(rotary, out RotaryTable? table))
        {
            table = new RotaryTable(_allocator, rotary);
            _rotaryTables.Add(rotary, table);
        }
        table.Ensure(positions);
        return table;
    }
}
