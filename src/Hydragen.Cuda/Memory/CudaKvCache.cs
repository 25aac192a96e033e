using System.Runtime.InteropServices;
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

    // The driver rounds memory up to 2 MiB, so pages of few layers come in larger chunks; what is given back for another kind of pages should
    // not be much more than is needed.
    private const int MinPagesPerMixedChunk = 16, PageLayersPerMixedChunk = 256;

    // Of a head's keys and of its values, FP32.
    private const int BytesPerScale = 2 * sizeof(float);

    private readonly CudaDevice _device;
    private readonly KernelLibrary _kernels;
    private readonly CacheKernels _variants, _prefixVariants;
    private readonly DeviceScratch _staging;
    private readonly DeviceMemory?[] _scales = new DeviceMemory?[2];
    private nint[] _pages = [];

    public CudaKvCache(CudaDevice device, KernelLibrary kernels, KvCacheShape shape, int numPages)
        : base(shape)
    {
        _device = device;
        _kernels = kernels;
        _variants = new CacheKernels(shape.HeadDim, shape.ElementType);
        _prefixVariants = shape.IsMixed ? new CacheKernels(shape.HeadDim, shape.TypeOf(PageKind.Prefix)) : _variants;
        _staging = new DeviceScratch(device);
        Reserve(numPages);
    }

    /// <summary>Bytes of one head's keys and values in a page of a kind.</summary>
    public long HeadBytes(PageKind kind = PageKind.Suffix) => PageLayout.HeadBytes(Shape.HeadDim, Shape.TypeOf(kind));

    public override long BytesOf(PageKind kind) => HeadBytes(kind) * Shape.NumLayers * Shape.NumKvHeads;

    /// <summary>Bytes from the start of a page of a kind to a layer.</summary>
    /// <exception cref="ObjectDisposedException">The cache was freed.</exception>
    public long LayerOffset(int layer, PageKind kind = PageKind.Suffix)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        return layer * Shape.NumKvHeads * HeadBytes(kind);
    }

    /// <summary>Device address of the scales of a layer's heads in pages of a kind, <c>[numKvHeads]</c>; 0 when there are none.</summary>
    public nint ScalesAddress(int layer, PageKind kind = PageKind.Suffix) =>
        _scales[ScalesIndex(kind)] is { } scales ? scales.Value + layer * Shape.NumKvHeads * BytesPerScale : 0;

    /// <summary>Which pages have scales: 1 those of sequences, or of the only type, and 2 those of prefixes.</summary>
    public int ScaledKinds => (_scales[0] is null ? 0 : 1) + (_scales[1] is null ? 0 : 2);

    /// <summary>Called before a kernel stores tokens.</summary>
    public void BeginAppend() => NoteStored();

    /// <summary>Device address of a page.</summary>
    /// <exception cref="ObjectDisposedException">The cache was freed.</exception>
    public nint PageAddress(int page)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        return _pages[page];
    }

    public override void Copy(int sourceSlot, int destinationSlot, int numTokens)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        CheckCopy(sourceSlot, destinationSlot, numTokens);
        if (numTokens == 0 || sourceSlot == destinationSlot) return;
        nint source = _pages[sourceSlot / PageSize], destination = _pages[destinationSlot / PageSize];
        PageKind kind = KindOf(sourceSlot / PageSize);
        if (numTokens == PageSize)
        {
            _device.Copy(destination, source, BytesOf(kind));
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
        _kernels.Get(VariantsOf(kind).Copy).Launch(2L * Shape.NumLayers * Shape.NumKvHeads, 1, parameters);
    }

    public override void Write(int layer, ReadOnlySpan<int> slots, ReadOnlySpan<float> key, ReadOnlySpan<float> value)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        CheckWrite(layer, slots, key, value);
        BeginAppend();
        if (!Shape.IsMixed)
        {
            WriteTokens(layer, slots, key, value, PageKind.Suffix);
            return;
        }
        int tokenSize = Shape.NumKvHeads * Shape.HeadDim;
        // Tokens that follow one another mostly lie in pages of one kind.
        for (int first = 0, end; first < slots.Length; first = end)
        {
            PageKind kind = KindOf(slots[first] / PageSize);
            end = first + 1;
            while (end < slots.Length && KindOf(slots[end] / PageSize) == kind) end++;
            WriteTokens(layer, slots[first..end], key[(first * tokenSize)..(end * tokenSize)], value[(first * tokenSize)..(end * tokenSize)], kind);
        }
    }

    public override void FindLargest(int layer, ReadOnlySpan<int> slots, Span<KvMagnitude> largest)
    {
        CheckFindLargest(layer, slots, largest);
        largest.Clear();
        var found = new KvMagnitude[largest.Length];
        foreach (PageKind kind in Kinds)
        {
            var tokens = new List<nint>();
            foreach (int slot in slots)
            {
                if (KindOf(slot / PageSize) == kind) tokens.Add(_pages[slot / PageSize] + slot % PageSize);
            }
            if (tokens.Count == 0) continue;
            FindLargest(layer, CollectionsMarshal.AsSpan(tokens), kind, found);
            for (int i = 0; i < found.Length; i++) largest[i] = largest[i].Max(found[i]);
        }
    }

    protected override unsafe void SetDeviceScales(PageKind kind, ReadOnlySpan<KvScale> scales)
    {
        DeviceMemory memory = _device.Allocate((long)scales.Length * BytesPerScale);
        _device.Upload(memory.Value, scales);
        _scales[ScalesIndex(kind)]?.Dispose();
        _scales[ScalesIndex(kind)] = memory;
    }

    protected override int PagesPerChunk(int numMissing) => Shape.IsMixed ? Math.Max(MinPagesPerMixedChunk, PageLayersPerMixedChunk / Shape.NumLayers) : numMissing;

    protected override IDisposable Allocate(int firstPage, int numPages, PageKind kind)
    {
        DeviceMemory chunk = _device.Allocate(checked(numPages * BytesOf(kind)));
        _device.Clear(chunk);
        if (_pages.Length < firstPage + numPages) Array.Resize(ref _pages, Math.Max(firstPage + numPages, _pages.Length * 2));
        for (int page = 0; page < numPages; page++) _pages[firstPage + page] = chunk.Value + (nint)(page * BytesOf(kind));
        return chunk;
    }

    protected override void Dispose(bool disposing)
    {
        _staging.Dispose();
        foreach (DeviceMemory? scales in _scales) scales?.Dispose();
        _pages = [];
    }

    private int ScalesIndex(PageKind kind) => Shape.IsMixed ? (int)kind : 0;

    private CacheKernels VariantsOf(PageKind kind) => kind == PageKind.Prefix ? _prefixVariants : _variants;

    private void WriteTokens(int layer, ReadOnlySpan<int> slots, ReadOnlySpan<float> key, ReadOnlySpan<float> value, PageKind kind)
    {
        int tokenSize = Shape.NumKvHeads * Shape.HeadDim;
        for (int first = 0; first < slots.Length; first += TokensPerPiece)
        {
            int count = Math.Min(TokensPerPiece, slots.Length - first);
            WritePiece(
                layer, slots.Slice(first, count), key.Slice(first * tokenSize, count * tokenSize), value.Slice(first * tokenSize, count * tokenSize), kind);
        }
    }

    private void FindLargest(int layer, ReadOnlySpan<nint> tokens, PageKind kind, Span<KvMagnitude> largest)
    {
        nint staging = _staging.Reserve((long)tokens.Length * sizeof(ulong) + (long)largest.Length * BytesPerScale);
        var parameters = new CacheLargestParameters
        {
            Tokens = staging,
            Largest = staging + tokens.Length * sizeof(ulong),
            LayerOffset = LayerOffset(layer, kind),
            NumTokens = tokens.Length,
        };
        _device.Upload(parameters.Tokens, tokens);
        _kernels.Get(VariantsOf(kind).Largest).Launch(2L * largest.Length, 1, parameters);
        _device.Download(largest, parameters.Largest);
    }

    private void WritePiece(int layer, ReadOnlySpan<int> slots, ReadOnlySpan<float> key, ReadOnlySpan<float> value, PageKind kind)
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
            LayerOffset = LayerOffset(layer, kind),
            NumTokens = slots.Length,
            NumKvHeads = Shape.NumKvHeads,
            Scales = ScalesAddress(layer, kind),
        };
        _device.Upload(parameters.Key, key);
        _device.Upload(parameters.Value, value);
        _device.Upload<nint>(parameters.Tokens, tokens);
        long numThreads = (long)slots.Length * Shape.NumKvHeads * VariantsOf(kind).ThreadsPerHead;
        _kernels.Get(VariantsOf(kind).Write).Launch((numThreads + CacheKernels.NumThreads - 1) / CacheKernels.NumThreads, 1, parameters);
    }
}
