using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>
/// Runs every operator on an NVIDIA GPU with kernels that are compiled for it when they are first used (NVRTC) and kept on disk, and
/// matrix products of cuBLASLt. Attention alone needs the driver and the run-time compiler, and no other part of CUDA. Everything runs in
/// order on one stream; only downloads wait for it. Not thread-safe.
/// </summary>
/// <remarks>
/// Queries of the cache's 16-bit type run on tensor cores: products accumulate in FP32, and softmax weights are rounded to
/// that type before they multiply values. So do 16-bit queries with caches of bytes, in FP16: queries are scaled by powers of two, FP8 is
/// exact, and levels of INT8 times their scales are rounded. Other queries and FP32 caches run in FP32 arithmetic, more slowly. Partial results stay FP32
/// until they are merged. The same plan on the same GPU gives the same bits, wherever the pages lie. On tensor cores a NaN or an
/// infinity among the values of a segment can reach rows of the segment whose mask hides that key; keys outside it reach no row.
/// </remarks>
public sealed partial class CudaBackend : IComputeBackend
{
    private const double Log2E = 1.4426950408889634;

    private readonly CudaDevice _device;
    private readonly Lazy<IReadOnlyList<KernelChoice>> _kernelChoices;
    private readonly KernelLibrary _kernels;
    private readonly DeviceWork _work;
    private readonly ModelOperators _operators;
    private readonly Dictionary<(int HeadDim, ElementType Storage, bool IsScaled), AttentionKernels> _variants = [];
    private readonly Dictionary<(int HeadDim, ElementType Query, ElementType Storage, ElementType Prefix, int Scaled), (AttentionKernels[] Variants, PageReading[] Readings)> _readings = [];
    private readonly bool _hasHopper;
    private bool _isDisposed;

    /// <summary>Opens a GPU.</summary>
    /// <param name="options">Settings; null for the defaults.</param>
    /// <exception cref="ArgumentException">The options or the environment name kernels that do not exist.</exception>
    /// <exception cref="PlatformNotSupportedException">Something that CUDA needs is missing here, or the GPU cannot run the kernels asked for; the message says what.</exception>
    /// <exception cref="CudaException">The driver refuses.</exception>
    public CudaBackend(CudaOptions? options = null)
        : this(options, AttentionWork.DefaultWorkspaceBytes)
    {
    }

    /// <param name="options">Settings; null for the defaults.</param>
    /// <param name="maxWorkspaceBytes">Bound of the partial results.</param>
    internal CudaBackend(CudaOptions? options, long maxWorkspaceBytes)
    {
        options ??= new CudaOptions();
        CudaEnvironment environment = CudaEnvironment.Probe();
        if (environment.Missing.Count > 0) throw new PlatformNotSupportedException($"CUDA cannot be used: {string.Join("; ", environment.Missing)}.");
        if (options.DeviceIndex >= environment.Devices.Count)
            throw new PlatformNotSupportedException($"There is no GPU {options.DeviceIndex}; the driver sees {environment.Devices.Count}.");
        CudaGpu gpu = environment.Devices[options.DeviceIndex];
        KernelSet kernelSet = KernelSet.Select(options.KernelSet, gpu.ComputeCapability, out _);
        bool usesGraphs = StepGraphs.AreEnabled(options.UsesGraphs);
        _device = new CudaDevice(options.DeviceIndex);
        var cache = new KernelCache(options.KernelCacheFolder ?? KernelCache.DefaultFolder);
        var compiler = new KernelCompiler(_device.ComputeCapability, cache);
        _kernels = new KernelLibrary(_device, compiler);
        _work = new DeviceWork(_device, maxWorkspaceBytes);
        _operators = new ModelOperators(_device, _kernels, cache);
        Steps = new StepGraphs(_device, usesGraphs);
        _hasHopper = kernelSet == KernelSet.Hopper;
        Description = $"CUDA, {gpu.Name}, compute capability {gpu.ComputeCapability}, {gpu.NumMultiprocessors} multiprocessors";
        _kernelChoices = new Lazy<IReadOnlyList<KernelChoice>>(() => KernelsFor(gpu, options.KernelSet));
    }

    /// <summary>The GPU.</summary>
    internal CudaDevice Device => _device;

    /// <summary>The kernels that were loaded for it.</summary>
    internal KernelLibrary KernelLibrary => _kernels;

    /// <inheritdoc/>
    public string Description { get; }

    /// <inheritdoc/>
    public IReadOnlyList<KernelChoice> Kernels => _kernelChoices.Value;

    /// <summary>The kernels that a backend uses on a GPU, for people.</summary>
    /// <param name="gpu">The GPU.</param>
    /// <param name="option">The set from the options, or null.</param>
    /// <exception cref="ArgumentException">The set is unknown.</exception>
    /// <exception cref="PlatformNotSupportedException">The set that was asked for cannot run on this GPU.</exception>
    internal static IReadOnlyList<KernelChoice> KernelsFor(CudaGpu gpu, string? option)
    {
        KernelSet set = KernelSet.Select(option, gpu.ComputeCapability, out string reason);
        return
        [
            new KernelChoice("attention, keys of many vectors", set == KernelSet.Hopper ? "wgmma" : "mma.sync", reason),
            new KernelChoice("attention, keys of few vectors", "mma.sync", "16-bit queries and a cache of their type, INT8 or FP8"),
            new KernelChoice("attention, other types", "scalar", "FP32 caches, FP32 queries, and 16-bit queries of another type than a 16-bit cache"),
            SharingRule.Of(gpu.Rates, set == KernelSet.Hopper),
            new KernelChoice(
                "matrix product", CudaEnvironment.MatrixLibraryVersion is null ? "none" : "cuBLASLt",
                CudaEnvironment.MatrixLibraryVersion is { } version ? $"version {version}, the fastest of what it proposes for a shape" : CudaEnvironment.MissingMatrixLibrary),
        ];
    }

    /// <inheritdoc/>
    /// <exception cref="InsufficientMemoryException">The GPU has not so much free memory.</exception>
    public DeviceBuffer Allocate(ElementType elementType, long length)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        return new CudaBuffer(_device, elementType, length);
    }

    /// <inheritdoc/>
    /// <exception cref="InsufficientMemoryException">The GPU has not so much free memory.</exception>
    public KvCache CreateKvCache(KvCacheShape shape, int numPages)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentNullException.ThrowIfNull(shape);
        ArgumentOutOfRangeException.ThrowIfNegative(numPages);
        ArgumentOutOfRangeException.ThrowIfLessThan(shape.NumLayers, 1, nameof(shape));
        _ = new AttentionShape(Math.Max(1, shape.NumKvHeads), shape.NumKvHeads, shape.HeadDim);
        return new CudaKvCache(_device, _kernels, shape, numPages);
    }

    /// <inheritdoc/>
    public ElementType WeightTypeFor(ElementType queryType, ElementType kvType) =>
        kvType.IsByte() && queryType != ElementType.Float32 ? ElementType.Float16 : queryType == kvType ? kvType : ElementType.Float32;

    /// <inheritdoc/>
    public void Attention(
        AttentionPlan plan, AttentionShape shape, AttentionOptions options, DeviceBuffer query, KvCache cache, int layer,
        DeviceBuffer output, DeviceBuffer? logSumExp)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(shape);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate(shape);
        long numRowHeads = (long)plan.NumRows * shape.NumHeads;
        CudaBuffer source = Check.Buffer(query, numRowHeads * shape.HeadDim, nameof(query));
        CudaBuffer result = Check.Buffer(output, numRowHeads * shape.HeadDim, nameof(output));
        CudaBuffer? logs = null;
        if (logSumExp is not null)
        {
            logs = Check.Buffer(logSumExp, numRowHeads, nameof(logSumExp));
            if (logs.ElementType != ElementType.Float32)
                throw new ArgumentException($"The buffer is {logs.ElementType.ShortName()}, but must be f32.", nameof(logSumExp));
            if (ReferenceEquals(logs, source) || ReferenceEquals(logs, result))
                throw new ArgumentException("The log-sum-exps must not share a buffer with the queries or the output.", nameof(logSumExp));
        }
        CudaKvCache pages = Check.Cache(cache, layer, shape);

        _device.MakeCurrent();
        AttentionKernels[] variants = PrepareAttention(plan, shape, query.ElementType, pages);
        float scale = options.ScaleFor(shape.HeadDim);
        var parameters = new AttentionParameters
        {
            Pages = _work.Pages,
            RowPositions = _work.RowPositions,
            PartSlots = _work.PartSlots,
            AlibiSlopes = _work.Slopes(options.AlibiSlopes.Span),
            Query = source.Address,
            Output = result.Address,
            LogSumExp = logs?.Address ?? 0,
            PartOutput = _work.PartOutput,
            PartSums = _work.PartSums,
            NumHeads = shape.NumHeads,
            NumKvHeads = shape.NumKvHeads,
            GroupSize = shape.GroupSize,
            GroupReciprocal = ((1u << 31) + (uint)shape.GroupSize - 1) / (uint)shape.GroupSize,
            QueryType = (int)source.ElementType,
            OutputType = (int)result.ElementType,
            Window = options.SlidingWindow ?? int.MaxValue,
            Scale = scale,
            SoftCap = options.LogitSoftCap ?? 0,
            ScaleBase2 = (float)(scale * Log2E),
        };
        bool hasLogitOptions = !options.AlibiSlopes.IsEmpty || options.LogitSoftCap is not null || scale <= 0;
        for (int wave = 0; wave < _work.Work.Waves.Count; wave++) Launch(wave, variants, hasLogitOptions, shape, pages, layer, parameters);
        GC.KeepAlive(query);
        GC.KeepAlive(output);
        GC.KeepAlive(logSumExp);
        GC.KeepAlive(cache);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_isDisposed) return;
        _isDisposed = true;
        Steps.Dispose();
        _operators.Dispose();
        _work.Dispose();
        _kernels.Dispose();
        _device.Dispose();
    }

    /// <inheritdoc/>
    public NodeSharing SharingOf(AttentionPlan plan, AttentionShape shape, ElementType queryType, KvCache cache)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentNullException.ThrowIfNull(plan);
        CudaKvCache pages = Check.Cache(cache, 0, shape);
        PageReading[] readings = ReadingsOf(shape.HeadDim, queryType, pages).Readings;
        // What was compiled last is mostly what is asked for.
        if (_work.Holds(plan, shape, readings, pages)) return _work.Work.Sharing;
        var work = new AttentionWork(_device.Rates, AttentionWork.DefaultWorkspaceBytes);
        work.Compile(plan, shape, readings, pages.Shape.IsMixed ? pages : null);
        return work.Sharing;
    }

    private void Launch(
        int index, AttentionKernels[] kinds, bool hasLogitOptions, AttentionShape shape, CudaKvCache cache, int layer, AttentionParameters parameters)
    {
        AttentionWave wave = _work.Work.Waves[index];
        bool isBesideNodes = false;
        // Nodes first, so that their blocks find multiprocessors of their own; sequences start when those have all started.
        foreach (ItemClass itemClass in (ReadOnlySpan<ItemClass>)[
            ItemClass.Scalar, ItemClass.NarrowNode, ItemClass.WideNode, ItemClass.Sequence, ItemClass.ShortSequence, ItemClass.CrowdedSequence])
        {
            for (int kind = 0; kind < kinds.Length; kind++)
            {
                parameters.LayerOffset = cache.LayerOffset(layer, (PageKind)kind);
                parameters.Scales = cache.ScalesAddress(layer, (PageKind)kind);
                LaunchItems(index, itemClass, (PageKind)kind, kinds[kind], hasLogitOptions, shape, parameters, ref isBesideNodes);
            }
        }
        if (wave.NumMergeRows == 0) return;
        var merge = new MergeParameters
        {
            NumRows = _work.NumMergeRows(index),
            Rows = _work.MergeRows(index),
            PartOutput = parameters.PartOutput,
            PartSums = parameters.PartSums,
            Output = parameters.Output,
            LogSumExp = parameters.LogSumExp,
            NumHeads = shape.NumHeads,
            OutputType = parameters.OutputType,
        };
        int headsPerBlock = wave.MergesMany ? 1 : AttentionKernels.HeadsPerMergeBlock;
        _kernels.Get(wave.MergesMany ? kinds[0].MergeOfMany : kinds[0].Merge).Launch(
            DeviceWork.Bound(wave.NumMergeRows), (shape.NumHeads + headsPerBlock - 1) / headsPerBlock, merge, startsEarly: true);
    }

    private void LaunchItems(
        int wave, ItemClass itemClass, PageKind kind, AttentionKernels variants, bool hasLogitOptions, AttentionShape shape, AttentionParameters parameters,
        ref bool isBesideNodes)
    {
        int list = AttentionWork.ListOf(itemClass, kind);
        long count = DeviceWork.Bound(_work.Work.Waves[wave].Items[list].NumTasks);
        if (count == 0) return;
        parameters.Items = _work.Items(wave, list);
        parameters.NumItems = _work.NumItems(wave, list);
        parameters.Tickets = _work.Tickets(list);
        KernelVariant variant = variants.Of(itemClass, hasLogitOptions, _work.Work.HasNextItems);
        CudaKernel kernel = _kernels.Get(variant);
        long numTasks = count * shape.NumKvHeads;
        if (!variant.SharesTasks) kernel.Launch(count, shape.NumKvHeads, parameters);
        else if (itemClass == ItemClass.WideNode)
        {
            kernel.Launch(Math.Min(numTasks, _work.Work.NumNodeBlocks), 1, parameters, startsEarly: true);
            isBesideNodes = true;
        }
        else
        {
            bool hasLoneWarps = itemClass != ItemClass.Sequence;
            long numBlocks = hasLoneWarps ? (numTasks + variants.TasksPerShortBlock - 1) / variants.TasksPerShortBlock : numTasks;
            long maxBlocks = (long)_device.NumMultiprocessors * kernel.BlocksPerMultiprocessor;
            // Where all blocks start at once, single warps have fixed shares, and a block that has one task at most need not ask for it.
            bool asks = hasLoneWarps ? isBesideNodes && _work.Work.TakesTickets(kind) : isBesideNodes || numBlocks > maxBlocks;
            if (!asks) parameters.NumFirstTasks = (int)numBlocks;
            numBlocks = Math.Min(numBlocks, maxBlocks);
            kernel.Launch(numBlocks, 1, parameters, startsEarly: isBesideNodes);
            isBesideNodes = false;
        }
    }

    /// <summary>Sends the work lists of a plan.</summary>
    /// <returns>The kernels for pages of each kind; one when all have one type.</returns>
    private AttentionKernels[] PrepareAttention(AttentionPlan plan, AttentionShape shape, ElementType queryType, CudaKvCache cache)
    {
        (AttentionKernels[] variants, PageReading[] readings) = ReadingsOf(shape.HeadDim, queryType, cache);
        _work.Prepare(plan, shape, readings, cache);
        return variants;
    }

    private (AttentionKernels[] Variants, PageReading[] Readings) ReadingsOf(int headDim, ElementType queryType, CudaKvCache cache)
    {
        KvCacheShape shape = cache.Shape;
        (int, ElementType, ElementType, ElementType, int) key = (headDim, queryType, shape.ElementType, shape.TypeOf(PageKind.Prefix), cache.ScaledKinds);
        if (!_readings.TryGetValue(key, out (AttentionKernels[], PageReading[]) found))
        {
            AttentionKernels[] variants = [.. cache.Kinds.Select(kind => VariantsOf(headDim, shape.TypeOf(kind), cache.ScalesAddress(0, kind) != 0))];
            found = (variants, [.. cache.Kinds.Zip(variants, (kind, kernels) =>
                new PageReading(shape.TypeOf(kind), kernels.VectorsPerItem, WeightTypeFor(queryType, shape.TypeOf(kind)) == ElementType.Float32))]);
            _readings.Add(key, found);
        }
        return found;
    }

    private AttentionKernels VariantsOf(int headDim, ElementType storage, bool isScaled)
    {
        if (!_variants.TryGetValue((headDim, storage, isScaled), out AttentionKernels? variants))
        {
            variants = new AttentionKernels(headDim, storage, _device.MaxSharedBytes, _hasHopper, isScaled);
            _variants.Add((headDim, storage, isScaled), variants);
        }
        return variants;
    }
}
