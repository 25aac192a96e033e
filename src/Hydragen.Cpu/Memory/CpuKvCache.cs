using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// Pages <c>[layer][kvHead]</c> of keys and values. Keys lie as 4 strips of 16 tokens, <c>[4][headDim][16]</c>, so that scores
/// vectorise over keys; values as <c>[64][paddedHeadDim]</c>, so that their sum vectorises over elements. Pages live in chunks
/// that never move.
/// </summary>
internal sealed unsafe class CpuKvCache : KvCache
{
    private const long ChunkBytes = 8 << 20;

    private readonly NativeAllocator _allocator;
    private readonly ElementConverter _converter;
    private readonly List<NativeBlock> _chunks = [];
    private readonly int _elementSize;
    private nuint[] _pages = [];
    private int _numPages;
    private bool _isDisposed;

    public CpuKvCache(NativeAllocator allocator, ElementConverter converter, KvCacheShape shape, int numPages)
        : base(shape)
    {
        _allocator = allocator;
        _converter = converter;
        _elementSize = shape.ElementType.SizeInBytes();
        PaddedHeadDim = TileShape.PadToStrips(shape.HeadDim);
        HeadBytes = (long)PageSize * (shape.HeadDim + PaddedHeadDim) * _elementSize;
        BytesPerPage = HeadBytes * shape.NumLayers * shape.NumKvHeads;
        Reserve(numPages);
    }

    /// <summary>Elements of a value row: headDim rounded up to 16, the rest zero.</summary>
    public int PaddedHeadDim { get; }

    /// <summary>Bytes of one head's keys and values in a page.</summary>
    public long HeadBytes { get; }

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
        ArgumentOutOfRangeException.ThrowIfNegative(numTokens);
        if (numTokens == 0) return;
        CheckRange(sourceSlot, numTokens, nameof(sourceSlot));
        CheckRange(destinationSlot, numTokens, nameof(destinationSlot));
        byte* source = (byte*)_pages[sourceSlot / PageSize], destination = (byte*)_pages[destinationSlot / PageSize];
        if (numTokens == PageSize)
        {
            Buffer.MemoryCopy(source, destination, BytesPerPage, BytesPerPage);
            return;
        }
        int from = sourceSlot % PageSize, to = destinationSlot % PageSize;
        long valueRowBytes = (long)PaddedHeadDim * _elementSize;
        for (int head = 0; head < Shape.NumLayers * Shape.NumKvHeads; head++, source += HeadBytes, destination += HeadBytes)
        {
            CopyKeys(source, from, destination, to, numTokens);
            long bytes = numTokens * valueRowBytes;
            Buffer.MemoryCopy(source + ValueOffset + from * valueRowBytes, destination + ValueOffset + to * valueRowBytes, bytes, bytes);
        }
    }

    public override void Write(int layer, ReadOnlySpan<int> slots, ReadOnlySpan<float> key, ReadOnlySpan<float> value)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if ((uint)layer >= (uint)Shape.NumLayers)
            throw new ArgumentOutOfRangeException(nameof(layer), layer, $"The cache has {Shape.NumLayers} layers.");
        int tokenSize = Shape.NumKvHeads * Shape.HeadDim;
        CheckLength(key.Length, slots.Length, tokenSize, nameof(key));
        CheckLength(value.Length, slots.Length, tokenSize, nameof(value));
        CheckSlots(slots);
        fixed (float* keys = key, values = value)
        {
            for (int token = 0; token < slots.Length; token++)
            {
                for (int head = 0; head < Shape.NumKvHeads; head++)
                {
                    long offset = (long)token * tokenSize + head * Shape.HeadDim;
                    Append(_converter, layer, head, slots[token], keys + offset, values + offset);
                }
            }
        }
    }

    /// <summary>Stores one head of one token; the slot was checked.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Append(ElementConverter converter, int layer, int kvHead, int slot, float* key, float* value)
    {
        byte* head = (byte*)_pages[slot / PageSize] + HeadOffset(layer, kvHead);
        int token = slot % PageSize;
        byte* keys = head + ((long)(token / TileShape.StripWidth) * Shape.HeadDim * TileShape.StripWidth + token % TileShape.StripWidth) * _elementSize;
        switch (Shape.ElementType)
        {
            case ElementType.Float32: AppendKey<Float32Storage>(keys, key); break;
            case ElementType.BFloat16: AppendKey<BFloat16Storage>(keys, key); break;
            default: AppendKey<Float16Storage>(keys, key); break;
        }
        converter.FromSingle(value, head + ValueOffset + (long)token * PaddedHeadDim * _elementSize, Shape.ElementType, Shape.HeadDim);
    }

    /// <summary>Checks slot ids against the pages.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A slot does not exist.</exception>
    public void CheckSlots(ReadOnlySpan<int> slots)
    {
        foreach (int slot in slots)
        {
            if ((uint)slot >= (uint)_numPages * PageSize)
                throw new ArgumentOutOfRangeException(nameof(slots), slot, $"The cache has {_numPages} pages, so slots 0 to {(long)_numPages * PageSize - 1}.");
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

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AppendKey<T>(byte* keys, float* key)
        where T : struct, IStorage
    {
        for (nint i = 0; i < Shape.HeadDim; i++) T.Set(keys, i * TileShape.StripWidth, key[i]);
    }

    // Tokens of one strip lie side by side in each row of it; moving in the right order makes overlap within a page safe.
    private void CopyKeys(byte* source, int from, byte* destination, int to, int numTokens)
    {
        bool backwards = source == destination && from < to;
        for (int i = 0; i < numTokens; i++)
        {
            int token = backwards ? numTokens - 1 - i : i;
            byte* sourceKey = KeyAddress(source, from + token), destinationKey = KeyAddress(destination, to + token);
            if (_elementSize == sizeof(float)) CopyKey((uint*)sourceKey, (uint*)destinationKey);
            else CopyKey((ushort*)sourceKey, (ushort*)destinationKey);
        }
    }

    private byte* KeyAddress(byte* head, int token) =>
        head + ((long)(token / TileShape.StripWidth) * Shape.HeadDim * TileShape.StripWidth + token % TileShape.StripWidth) * _elementSize;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void CopyKey<E>(E* source, E* destination)
        where E : unmanaged
    {
        for (nint i = 0; i < Shape.HeadDim; i++) destination[i * TileShape.StripWidth] = source[i * TileShape.StripWidth];
    }

    private void CheckRange(int slot, int numTokens, string name)
    {
        if (slot < 0 || slot / PageSize >= _numPages || slot % PageSize + numTokens > PageSize)
        {
            throw new ArgumentOutOfRangeException(name, slot,
                $"{numTokens} tokens from slot {slot} must lie in one of the {_numPages} pages of {PageSize} tokens.");
        }
    }

    private static void CheckLength(int length, int numTokens, int tokenSize, string name)
    {
        if (length != (long)numTokens * tokenSize)
            throw new ArgumentException($"{numTokens} tokens of {tokenSize} elements need {(long)numTokens * tokenSize} numbers, not {length}.", name);
    }
}
