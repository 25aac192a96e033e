using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Pages in memory of the processor, each as <see cref="CpuPageLayout"/> describes. They live in chunks that never move.</summary>
internal sealed unsafe class CpuKvCache : KvCache
{
    private const long ChunkBytes = 8 << 20;

    private readonly NativeAllocator _allocator;
    private readonly WorkerPool _pool;
    private readonly KvWriteJob _write;
    private readonly CpuPageLayout _layout, _prefixLayout;
    private nuint[] _pages = [];

    public CpuKvCache(
        NativeAllocator allocator, WorkerPool pool, ElementConverter converter, KvCacheShape shape, bool pairsBFloat16, int numPages)
        : base(shape)
    {
        _allocator = allocator;
        _pool = pool;
        _write = new KvWriteJob(this, converter);
        _layout = new CpuPageLayout(shape, shape.ElementType, pairsBFloat16);
        _prefixLayout = shape.IsMixed ? new CpuPageLayout(shape, shape.TypeOf(PageKind.Prefix), pairsBFloat16) : _layout;
        Reserve(numPages);
    }

    /// <summary>Page addresses, <c>[numPages]</c>.</summary>
    public ReadOnlySpan<nuint> Pages
    {
        get
        {
            ObjectDisposedException.ThrowIf(IsDisposed, this);
            return _pages.AsSpan(0, NumPages);
        }
    }

    /// <summary>What a page of a kind looks like.</summary>
    public CpuPageLayout LayoutOf(PageKind kind) => kind == PageKind.Prefix ? _prefixLayout : _layout;

    public override long BytesOf(PageKind kind) => LayoutOf(kind).PageBytes;

    public override void Copy(int sourceSlot, int destinationSlot, int numTokens)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        CheckCopy(sourceSlot, destinationSlot, numTokens);
        if (numTokens == 0) return;
        byte* source = (byte*)_pages[sourceSlot / PageSize], destination = (byte*)_pages[destinationSlot / PageSize];
        CpuPageLayout layout = LayoutOf(KindOf(sourceSlot / PageSize));
        if (numTokens == PageSize) Buffer.MemoryCopy(source, destination, layout.PageBytes, layout.PageBytes);
        else layout.Copy(source, sourceSlot % PageSize, destination, destinationSlot % PageSize, numTokens);
    }

    public override void Write(int layer, ReadOnlySpan<int> slots, ReadOnlySpan<float> key, ReadOnlySpan<float> value)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        CheckWrite(layer, slots, key, value);
        BeginAppend();
        int tokenSize = Shape.NumKvHeads * Shape.HeadDim;
        fixed (int* slotIds = slots)
        fixed (float* keys = key, values = value)
        {
            _write.Layer = layer;
            _write.NumTokens = slots.Length;
            _write.Slots = slotIds;
            _write.Keys = keys;
            _write.Values = values;
            _pool.Run(_write, KvWriteJob.CountItems(slots.Length));
        }
    }

    /// <summary>Called before tokens are stored by <see cref="Append"/>.</summary>
    public void BeginAppend() => NoteStored();

    /// <summary>Stores one head of one token; the slot was checked. Different tokens may be stored at the same time.</summary>
    public void Append(ElementConverter converter, int layer, int kvHead, int slot, float* key, float* value)
    {
        PageKind kind = ReferenceEquals(_prefixLayout, _layout) ? PageKind.Suffix : KindOf(slot / PageSize);
        CpuPageLayout layout = LayoutOf(kind);
        layout.Store(converter, (byte*)_pages[slot / PageSize] + layout.HeadOffset(layer, kvHead), slot % PageSize, key, value, ScaleOf(kind, layer, kvHead));
    }

    public override void FindLargest(int layer, ReadOnlySpan<int> slots, Span<KvMagnitude> largest)
    {
        CheckFindLargest(layer, slots, largest);
        largest.Clear();
        for (int kvHead = 0; kvHead < largest.Length; kvHead++)
        {
            foreach (int slot in slots)
            {
                CpuPageLayout layout = LayoutOf(KindOf(slot / PageSize));
                largest[kvHead] = largest[kvHead].Max(layout.Largest((byte*)_pages[slot / PageSize] + layout.HeadOffset(layer, kvHead), slot % PageSize));
            }
        }
    }

    protected override int PagesPerChunk(int numMissing) => Shape.IsMixed ? 1 : (int)Math.Clamp(ChunkBytes / BytesPerPage, 1, 1024);

    protected override IDisposable Allocate(int firstPage, int numPages, PageKind kind)
    {
        long pageBytes = BytesOf(kind);
        if (_pages.Length < firstPage + numPages) Array.Resize(ref _pages, Math.Max(firstPage + numPages, _pages.Length * 2));
        NativeBlock chunk = _allocator.Allocate(checked((nuint)pageBytes * (nuint)numPages), zeroed: true);
        for (int page = 0; page < numPages; page++) _pages[firstPage + page] = (nuint)chunk.Pointer + (nuint)(page * pageBytes);
        return chunk;
    }

    protected override void Dispose(bool disposing) => _pages = [];
}
