using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// Pages <c>[layer][kvHead]</c> of keys and values, each a matrix in strips like <see cref="CpuMatrix"/>: keys as 4 strips of 16 tokens,
/// <c>[4][headDim][16]</c>, so that scores vectorise over keys; values as strips of 16 elements, <c>[paddedHeadDim / 16][64][16]</c>, so
/// that their sum vectorises over elements. For instruction sets with dot products of pairs, BF16 neighbours along the sum lie
/// together: <c>[4][headDim / 2][16][2]</c> and <c>[paddedHeadDim / 16][32][16][2]</c>. So do bytes, for every instruction set, with a sign in
/// bit 7 and a magnitude below (<see cref="IByteFormat"/>). Behind the values of INT8 stand the scales, FP16 <c>[64]</c> of the keys and
/// <c>[64]</c> of the values. Pages live in chunks that never move.
/// </summary>
internal sealed unsafe class CpuKvCache : KvCache
{
    private const long ChunkBytes = 8 << 20;

    private readonly NativeAllocator _allocator;
    private readonly WorkerPool _pool;
    private readonly KvWriteJob _write;
    private readonly List<NativeBlock> _chunks = [];
    private readonly int _elementSize;
    private nuint[] _pages = [];
    private int _numPages;
    private bool _isDisposed;

    public CpuKvCache(
        NativeAllocator allocator, WorkerPool pool, ElementConverter converter, KvCacheShape shape, bool pairsBFloat16, int numPages)
        : base(shape)
    {
        _allocator = allocator;
        _pool = pool;
        _write = new KvWriteJob(this, converter);
        _elementSize = shape.ElementType.SizeInBytes();
        IsPaired = shape.ElementType.IsByte() || (pairsBFloat16 && shape.ElementType == ElementType.BFloat16);
        PaddedHeadDim = TileShape.PadToStrips(shape.HeadDim);
        ScaleOffset = (long)PageSize * (shape.HeadDim + PaddedHeadDim) * _elementSize;
        HasScales = shape.ElementType.ScaleSizeInBytes() > 0;
        HeadBytes = ScaleOffset + 2L * PageSize * shape.ElementType.ScaleSizeInBytes();
        BytesPerPage = HeadBytes * shape.NumLayers * shape.NumKvHeads;
        Reserve(numPages);
    }

    /// <summary>Whether neighbours along the sum lie together.</summary>
    public bool IsPaired { get; }

    /// <summary>Elements of a value: headDim rounded up to 16, the rest zero.</summary>
    public int PaddedHeadDim { get; }

    /// <summary>Bytes of one head's keys, values and scales in a page.</summary>
    public long HeadBytes { get; }

    /// <summary>Whether elements are multiplied by a scale that a token's key, or value, of a head shares.</summary>
    public bool HasScales { get; }

    /// <summary>Bytes from a head's keys to the scales of the keys; those of the values follow.</summary>
    public long ScaleOffset { get; }

    /// <summary>Bytes from a head's keys to its values.</summary>
    public long ValueOffset => (long)PageSize * Shape.HeadDim * _elementSize;

    public override int NumPages => _numPages;

    public override long BytesPerPage { get; }

    /// <summary>Page addresses, <c>[numPages]</c>.</summary>
    public ReadOnlySpan<nuint> Pages
    {
        get
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            return _pages.AsSpan(0, _numPages);
        }
    }

    /// <summary>Bytes from the start of a page to a head of a layer.</summary>
    public long HeadOffset(int layer, int kvHead) => ((long)layer * Shape.NumKvHeads + kvHead) * HeadBytes;

    public override void Reserve(int numPages)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(numPages);
        if (numPages <= _numPages) return;
        if (_pages.Length < numPages) Array.Resize(ref _pages, Math.Max(numPages, _pages.Length * 2));
        int pagesPerChunk = (int)Math.Clamp(ChunkBytes / BytesPerPage, 1, 1024);
        int firstNewChunk = _chunks.Count, added = 0;
        try
        {
            while (_numPages + added < numPages)
            {
                int count = Math.Min(pagesPerChunk, numPages - _numPages - added);
                NativeBlock chunk = _allocator.Allocate(checked((nuint)BytesPerPage * (nuint)count), zeroed: true);
                _chunks.Add(chunk);
                for (int page = 0; page < count; page++) _pages[_numPages + added++] = (nuint)chunk.Pointer + (nuint)(page * BytesPerPage);
            }
        }
        catch
        {
            for (int chunk = firstNewChunk; chunk < _chunks.Count; chunk++) _chunks[chunk].Dispose();
            _chunks.RemoveRange(firstNewChunk, _chunks.Count - firstNewChunk);
            throw;
        }
        _numPages = numPages;
    }

    public override void Copy(int sourceSlot, int destinationSlot, int numTokens)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        CheckCopy(sourceSlot, destinationSlot, numTokens);
        if (numTokens == 0) return;
        byte* source = (byte*)_pages[sourceSlot / PageSize], destination = (byte*)_pages[destinationSlot / PageSize];
        if (numTokens == PageSize)
        {
            Buffer.MemoryCopy(source, destination, BytesPerPage, BytesPerPage);
            return;
        }
        int from = sourceSlot % PageSize, to = destinationSlot % PageSize;
        for (int head = 0; head < Shape.NumLayers * Shape.NumKvHeads; head++, source += HeadBytes, destination += HeadBytes)
        {
            if (_elementSize == sizeof(float)) CopyTokens((uint*)source, from, (uint*)destination, to, numTokens);
            else if (_elementSize == sizeof(ushort)) CopyTokens((ushort*)source, from, (ushort*)destination, to, numTokens);
            else CopyTokens(source, from, destination, to, numTokens);
            if (!HasScales) continue;
            for (int kind = 0; kind < 2; kind++)
            {
                new ReadOnlySpan<Half>(Scales(source, kind) + from, numTokens).CopyTo(new Span<Half>(Scales(destination, kind) + to, numTokens));
            }
        }
    }

    public override void Write(int layer, ReadOnlySpan<int> slots, ReadOnlySpan<float> key, ReadOnlySpan<float> value)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        CheckWrite(layer, slots, key, value);
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

    /// <summary>Stores one head of one token; the slot was checked. Different tokens may be stored at the same time.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Append(ElementConverter converter, int layer, int kvHead, int slot, float* key, float* value)
    {
        byte* head = (byte*)_pages[slot / PageSize] + HeadOffset(layer, kvHead);
        int token = slot % PageSize;
        switch (Shape.ElementType)
        {
            case ElementType.Float32:
                Scatter((uint*)head, token, (uint*)key, (uint*)value);
                break;
            case ElementType.BFloat16 or ElementType.Float16:
                ushort* rounded = stackalloc ushort[2 * AttentionShape.MaxHeadDim];
                converter.FromSingle(key, (byte*)rounded, Shape.ElementType, Shape.HeadDim);
                converter.FromSingle(value, (byte*)(rounded + Shape.HeadDim), Shape.ElementType, Shape.HeadDim);
                Scatter((ushort*)head, token, rounded, rounded + Shape.HeadDim);
                break;
            default:
                byte* bytes = stackalloc byte[2 * AttentionShape.MaxHeadDim];
                Half keyScale = converter.Bytes.FromSingle(key, Shape.ElementType, Shape.HeadDim, bytes);
                Half valueScale = converter.Bytes.FromSingle(value, Shape.ElementType, Shape.HeadDim, bytes + Shape.HeadDim);
                Scatter(head, token, bytes, bytes + Shape.HeadDim);
                if (HasScales) (Scales(head, 0)[token], Scales(head, 1)[token]) = (keyScale, valueScale);
                break;
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (!disposing || _isDisposed) return;
        _isDisposed = true;
        foreach (NativeBlock chunk in _chunks) chunk.Dispose();
        _chunks.Clear();
        _pages = [];
        _numPages = 0;
    }

    /// <summary>The scales of a head's keys (0) or values (1), <c>[64]</c>.</summary>
    private Half* Scales(byte* head, int kind) => (Half*)(head + ScaleOffset) + kind * PageSize;

    /// <summary>Index of a key's element in a head's page; elements 2i and 2i + 1 of a pair stand side by side, or 16 apart.</summary>
    private nint KeyIndex(int token, int element)
    {
        nint strip = (nint)(token / TileShape.StripWidth) * Shape.HeadDim * TileShape.StripWidth;
        int lane = token % TileShape.StripWidth;
        return IsPaired ? strip + (element / 2 * TileShape.StripWidth + lane) * 2 + element % 2 : strip + element * TileShape.StripWidth + lane;
    }

    /// <summary>Index of a value's element, counted from the start of the head's values.</summary>
    private nint ValueIndex(int token, int element)
    {
        int strip = element / TileShape.StripWidth * PageSize * TileShape.StripWidth, lane = element % TileShape.StripWidth;
        return IsPaired ? strip + (token / 2 * TileShape.StripWidth + lane) * 2 + token % 2 : strip + token * TileShape.StripWidth + lane;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Scatter<E>(E* head, int token, E* key, E* value)
        where E : unmanaged
    {
        // Elements two apart lie equally far apart in both layouts.
        nint keyStride = 2 * TileShape.StripWidth, pairStride = KeyIndex(token, 1) - KeyIndex(token, 0);
        E* keys = head + KeyIndex(token, 0);
        for (nint i = 0; i < Shape.HeadDim; i += 2, keys += keyStride)
        {
            keys[0] = key[i];
            keys[pairStride] = key[i + 1];
        }
        nint laneStride = IsPaired ? 2 : 1;
        E* values = head + PageSize * Shape.HeadDim + ValueIndex(token, 0);
        for (nint i = 0; i < Shape.HeadDim; i += TileShape.StripWidth, values += PageSize * TileShape.StripWidth)
        {
            nint count = Math.Min(TileShape.StripWidth, Shape.HeadDim - i);
            for (nint lane = 0; lane < count; lane++) values[lane * laneStride] = value[i + lane];
        }
    }

    // Moving tokens in the right order makes overlap within a page safe.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void CopyTokens<E>(E* source, int from, E* destination, int to, int numTokens)
        where E : unmanaged
    {
        bool backwards = source == destination && from < to;
        E* sourceValues = source + PageSize * Shape.HeadDim, destinationValues = destination + PageSize * Shape.HeadDim;
        for (int i = 0; i < numTokens; i++)
        {
            int token = backwards ? numTokens - 1 - i : i;
            for (int element = 0; element < Shape.HeadDim; element++)
            {
                destination[KeyIndex(to + token, element)] = source[KeyIndex(from + token, element)];
                destinationValues[ValueIndex(to + token, element)] = sourceValues[ValueIndex(from + token, element)];
            }
        }
    }
}
