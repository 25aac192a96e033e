using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>
/// Measures what a backend launches: as a CUDA graph, on the device's clock. Also fills caches quickly, and measures what the device can
/// do at most. Not thread-safe; dispose it before the backend.
/// </summary>
internal sealed class CudaMeter : IDisposable
{
    private const long MinFlushBytes = 256L << 20, MaxReadBytes = 4L << 30;
    private const int ReadThreads = 512, ReadTileBytes = ReadThreads * 8 * 16, ReadBlocksPerMultiprocessor = 4, FillThreads = 256;
    private const int ReadRepeats = 15, RunsPerLaunch = 1 << 20;

    private readonly CudaDevice _device;
    private readonly KernelLibrary _kernels;
    private readonly DeviceMemory _flush, _sink;

    /// <param name="backend">The backend to measure.</param>
    public CudaMeter(CudaBackend backend)
    {
        (_device, _kernels) = (backend.Device, backend.KernelLibrary);
        _device.MakeCurrent();
        _sink = _device.Allocate(sizeof(uint));
        _flush = _device.Allocate((Math.Max(MinFlushBytes, 4L * _device.L2Bytes) + ReadTileBytes - 1) / ReadTileBytes * ReadTileBytes);
        _device.Clear(_flush);
    }

    /// <summary>The kernel that fills caches of a head size and element type.</summary>
    public static KernelVariant FillKernel(int headDim, ElementType storage) => new("cache_fill", AttentionKernels.Defines(headDim, storage), FillThreads, 0);

    /// <summary>The kernel that reads memory.</summary>
    public static KernelVariant ReadKernel { get; } = new("memory_read", $"THREADS={ReadThreads}", ReadThreads, 0);

    /// <summary>Memory of the device that nobody uses, and memory that somebody does (<c>cuMemGetInfo</c>), in bytes.</summary>
    public (long FreeBytes, long UsedBytes) Memory
    {
        get
        {
            _device.MakeCurrent();
            DriverStatus.Check(DriverApi.MemGetInfo(out nuint free, out nuint total), "cuMemGetInfo");
            return ((long)free, (long)(total - free));
        }
    }

    /// <summary>Seconds of each replay of some launches, from the end of what was before to the end of the last kernel.</summary>
    /// <param name="launches">Puts work into the backend's stream. Called twice: once as it is, so that memory and kernels are ready, and once captured.</param>
    /// <param name="replays">How many times, at least 1.</param>
    /// <param name="isCold">Whether other memory, far more than the last cache holds, is read before each replay.</param>
    /// <exception cref="CudaException">The launches cannot be captured, or a kernel fails.</exception>
    public double[] Time(Action launches, int replays, bool isCold)
    {
        _device.MakeCurrent();
        launches();
        using var graph = new CudaGraph(_device, launches);
        CudaEvent[] starts = CreateEvents(replays), ends = CreateEvents(replays);
        try
        {
            graph.Launch();
            for (int i = 0; i < replays; i++)
            {
                if (isCold) Read(_flush.Value, _flush.Bytes);
                starts[i].Record(_device.Stream);
                graph.Launch();
                ends[i].Record(_device.Stream);
            }
            _device.Synchronize();
            return [.. starts.Zip(ends, (start, end) => end.SecondsSince(start))];
        }
        finally
        {
            foreach (CudaEvent moment in (CudaEvent[])[.. starts, .. ends]) moment.Dispose();
        }
    }

    /// <summary>Fills slots of all layers of a cache with the numbers that <see cref="CacheNumbers"/> describes.</summary>
    /// <param name="cache">A cache of the backend.</param>
    /// <param name="tokens">Slots that follow one another, and the tokens of a stream that go there.</param>
    public void Fill(KvCache cache, IEnumerable<(int FirstSlot, int NumTokens, int Stream, int FirstToken)> tokens)
    {
        _device.MakeCurrent();
        var pages = (CudaKvCache)cache;
        // The numbers are stored as they are.
        if (pages.ScalesAddress(0) != 0 || pages.ScalesAddress(0, PageKind.Prefix) != 0) throw new ArgumentException("A cache with scales cannot be filled.", nameof(cache));
        pages.BeginAppend();
        foreach (IGrouping<PageKind, (int, CacheRun Run)> runs in tokens.SelectMany(piece => Split(pages, piece)).GroupBy(run => cache.KindOf(run.Page)))
            Fill(pages, runs.Key, [.. runs.Select(run => run.Run)]);
    }

    /// <summary>Bytes a second that the device reads from its memory, far more than the last cache holds; the median of several times.</summary>
    /// <param name="maxBytes">The most memory to use.</param>
    public double MeasureReadRate(long maxBytes)
    {
        long bytes = Math.Max(1, Math.Min(maxBytes, MaxReadBytes) / ReadTileBytes) * ReadTileBytes;
        // A cache, so that the numbers are not zeros.
        int bytesPerPage = KvCache.PageSize * 2 * 128 * sizeof(ushort), numPages = (int)(bytes / bytesPerPage);
        using var cache = new CudaKvCache(_device, _kernels, new KvCacheShape(1, 1, 128, ElementType.BFloat16), numPages);
        Fill(cache, [(0, numPages * KvCache.PageSize, 0, 0)]);
        bytes = (long)numPages * bytesPerPage / ReadTileBytes * ReadTileBytes;
        return bytes / Median(Time(() => Read(cache.PageAddress(0), bytes), ReadRepeats, isCold: false));
    }

    /// <summary>Seconds that a graph of one kernel with nothing to do takes: what every measured time contains.</summary>
    public double MeasureEmptyGraph() => Median(Time(() => Read(_flush.Value, 0), ReadRepeats, isCold: false));

    /// <summary>Measures products of square BF16 matrices.</summary>
    /// <param name="size">Rows and columns.</param>
    /// <param name="replays">Products in a row.</param>
    /// <returns>Floating-point operations a second; null where cuBLASLt is missing.</returns>
    public double? MeasureMatrixProducts(int size, int replays)
    {
        if (!NativeLibraries.HasMatrixLibrary) return null;
        using var product = new MatrixProduct(_device, _kernels, size);
        Fill(product.Operands, [(0, product.Operands.NumPages * KvCache.PageSize, 1, 0)]);
        void Replay()
        {
            for (int i = 0; i < replays; i++) product.Launch();
        }
        return 2.0 * size * size * size * replays / Median(Time(Replay, 3, isCold: false));
    }

    public void Dispose()
    {
        _flush.Dispose();
        _sink.Dispose();
    }

    private void Fill(CudaKvCache cache, PageKind kind, CacheRun[] runs)
    {
        CudaKernel kernel = _kernels.Get(FillKernel(cache.Shape.HeadDim, cache.Shape.TypeOf(kind)));
        using DeviceMemory list = _device.Allocate((long)Math.Min(runs.Length, RunsPerLaunch) * 24);
        for (int first = 0; first < runs.Length; first += RunsPerLaunch)
        {
            ReadOnlySpan<CacheRun> piece = runs.AsSpan(first, Math.Min(RunsPerLaunch, runs.Length - first));
            _device.Upload(list.Value, piece);
            for (int layer = 0; layer < cache.Shape.NumLayers; layer++)
            {
                var parameters = new CacheFillParameters { Runs = list.Value, LayerOffset = cache.LayerOffset(layer, kind), Layer = layer };
                kernel.Launch(piece.Length, 2 * cache.Shape.NumKvHeads, parameters);
            }
        }
        // The list is freed behind the kernels.
        _device.Synchronize();
    }

    private void Read(nint address, long bytes)
    {
        var parameters = new MemoryReadParameters { Data = address, Sink = _sink.Value, NumChunks = bytes / 16 };
        _kernels.Get(ReadKernel).Launch((long)_device.NumMultiprocessors * ReadBlocksPerMultiprocessor, 1, parameters);
    }

    private CudaEvent[] CreateEvents(int count) => [.. Enumerable.Range(0, count).Select(_ => new CudaEvent(_device.Context))];

    private static IEnumerable<(int Page, CacheRun Run)> Split(CudaKvCache cache, (int FirstSlot, int NumTokens, int Stream, int FirstToken) piece)
    {
        for (int done = 0; done < piece.NumTokens;)
        {
            int slot = (piece.FirstSlot + done) % KvCache.PageSize, count = Math.Min(KvCache.PageSize - slot, piece.NumTokens - done);
            int page = (piece.FirstSlot + done) / KvCache.PageSize;
            yield return (page, new CacheRun(cache.PageAddress(page), slot, count, piece.Stream, piece.FirstToken + done));
            done += count;
        }
    }

    private static double Median(double[] values)
    {
        Array.Sort(values);
        return values.Length % 2 == 1 ? values[values.Length / 2] : (values[values.Length / 2 - 1] + values[values.Length / 2]) / 2;
    }
}
