using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>
/// Pages <c>[layer][kvHead]</c> of keys and values in device memory, as the images that the kernels hold in shared memory (the layout is
/// described in <c>common.cuh</c>). Pages live in chunks that never move, and what no token ever used is zero.
/// </summary>
internal sealed class CudaKvCache : KvCache
{
    // Tokens that travel to the device at once.
    private const int TokensPerPiece = 4096;

    private readonly CudaDevice _device;
    private readonly KernelLibrary _kernels;
    private readonly CacheKernels _variants;
    private readonly DeviceScratch _staging;
    private readonly List<DeviceMemory> _chunks = [];
    private readonly List<nint> _pages = [];
    private bool _isDisposed;

    public CudaKvCache(CudaDevice device, KernelLibrary kernels, KvCacheShape shape, int numPages)
        : base(shape)
    {
        _device = device;
        _kernels = kernels;
        _variants = new CacheKernels(shape.HeadDim, shape.ElementType);
        _staging = new DeviceScratch(device);
        HeadBytes = PageLayout.HeadBytes(shape.HeadDim, shape.ElementType);
        BytesPerPage = HeadBytes * shape.NumLayers * shape.NumKvHeads;
        Reserve(numPages);
    }

    public override int NumPages => _pages.Count;

    public override long BytesPerPage { get; }

    /// <summary>Bytes of one head's keys and values in a page.</summary>
    public long HeadBytes { get; }

    /// <summary>Bytes from the start of a page to a layer.</summary>
    /// <exception cref="ObjectDisposedException">The cache was freed.</exception>
    public long LayerOffset(int layer)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        return layer * Shape.NumKvHeads * HeadBytes;
    }

    /// <summary>Device address of a page.</summary>
    /// <exception cref="ObjectDisposedException">The cache was freed.</exception>
    public nint PageAddress(int page)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        return _pages[page];
    }

    public override void Reserve(int numPages)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(numPages);
        int numNew = numPages - _pages.Count;
        if (numNew <= 0) return;
        DeviceMemory chunk = _device.Allocate(checked(numNew * BytesPerPage));
        _device.Clear(chunk);
        _chunks.Add(chunk);
        for (int page = 0; page < numNew; page++) _pages.Add(chunk.Value + (nint)(page * BytesPerPage));
    }

    public override void Copy(int sourceSlot, int destinationSlot, int numTokens)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        CheckCopy(sourceSlot, destinationSlot, numTokens);
        if (numTokens == 0 || sourceSlot == destinationSlot) return;
        nint source = _pages[sourceSlot / PageSize], destination = _pages[destinationSlot / PageSize];
        if (numTokens == PageSize)
        {
            _device.Copy(destination, source, BytesPerPage);
            return;
        }
        var parameters = new CacheCopyParameters
        {
            Source = source,
            Destination = destination,
            SourceSlot = sourceSlot % PageSize,
            DestinationSlot = destinationSlot % PageSize,
            NumTokens = numTokens,
        };
        _device.MakeCurrent();
        _kernels.Get(_variants.Copy).Launch(2L * Shape.NumLayers * Shape.NumKvHeads, 1, parameters);
    }

    public override void Write(int layer, ReadOnlySpan<int> slots, ReadOnlySpan<float> key, ReadOnlySpan<float> value)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        CheckWrite(layer, slots, key, value);
        int tokenSize = Shape.NumKvHeads * Shape.HeadDim;
        for (int first = 0; first < slots.Length; first += TokensPerPiece)
        {
            int count = Math.Min(TokensPerPiece, slots.Length - first);
            WritePiece(layer, slots.Slice(first, count), key.Slice(first * tokenSize, count * tokenSize), value.Slice(first * tokenSize, count * tokenSize));
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (!disposing || _isDisposed) return;
        _isDisposed = true;
        _staging.Dispose();
        foreach (DeviceMemory chunk in _chunks) chunk.Dispose();
        _chunks.Clear();
        _pages.Clear();
    }

    private void WritePiece(int layer, ReadOnlySpan<int> slots, ReadOnlySpan<float> key, ReadOnlySpan<float> value)
    {
        // A page starts at a multiple of its slots, so one number holds its address and a slot.
        var tokens = new nint[slots.Length];
        for (int i = 0; i < tokens.Length; i++) tokens[i] = _pages[slots[i] / PageSize] + slots[i] % PageSize;
        long valueBytes = (long)key.Length * sizeof(float);
        nint staging = _staging.Reserve(2 * valueBytes + (long)tokens.Length * sizeof(ulong));
        var parameters = new CacheWriteParameters
        {
            Key = staging,
            Value = staging + (nint)valueBytes,
            Tokens = staging + (nint)(2 * valueBytes),
            LayerOffset = LayerOffset(layer),
            NumTokens = slots.Length,
            NumKvHeads = Shape.NumKvHeads,
        };
        _device.Upload(parameters.Key, key);
        _device.Upload(parameters.Value, value);
        _device.Upload<nint>(parameters.Tokens, tokens);
        long numThreads = (long)slots.Length * Shape.NumKvHeads * _variants.ThreadsPerHead;
        _kernels.Get(_variants.Write).Launch((numThreads + CacheKernels.NumThreads - 1) / CacheKernels.NumThreads, 1, parameters);
    }
}
