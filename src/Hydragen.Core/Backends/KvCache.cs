namespace Hydragen.Core;

/// <summary>
/// Keys and values in pages of <see cref="PageSize"/> tokens. A page id names the same tokens in every layer; token t of a
/// page lies at slot id <c>page · PageSize + t</c>. Callers hand out pages and never see inside one: the backend owns the
/// layout. Not thread-safe; calls are ordered with the operators of the backend that made it.
/// </summary>
public abstract class KvCache : IDisposable
{
    /// <summary>Tokens of a page.</summary>
    public const int PageSize = 64;

    /// <summary>Creates a cache description.</summary>
    protected KvCache(KvCacheShape shape) => Shape = shape ?? throw new ArgumentNullException(nameof(shape));

    /// <summary>Layers, heads and element type.</summary>
    public KvCacheShape Shape { get; }

    /// <summary>Pages that exist; valid page ids are 0 … NumPages − 1.</summary>
    public abstract int NumPages { get; }

    /// <summary>Bytes that one page really occupies, padding included.</summary>
    public abstract long BytesPerPage { get; }

    /// <summary>Grows the cache to at least so many pages; the content of existing pages stays.</summary>
    /// <exception cref="InsufficientMemoryException">The device cannot hold so many pages; nothing changed.</exception>
    public abstract void Reserve(int numPages);

    /// <summary>Copies consecutive tokens of all layers from one page to another.</summary>
    /// <param name="sourceSlot">First slot id to read; the range must not leave its page.</param>
    /// <param name="destinationSlot">First slot id to write; the range must not leave its page.</param>
    /// <param name="numTokens">Tokens to copy.</param>
    public abstract void Copy(int sourceSlot, int destinationSlot, int numTokens);

    /// <summary>Stores the keys and values of some tokens in one layer, rounding to the cache's element type.</summary>
    /// <param name="layer">Layer index.</param>
    /// <param name="slots">Slot id of each token, <c>[numTokens]</c>; none twice.</param>
    /// <param name="key">FP32 <c>[numTokens, numKvHeads, headDim]</c>.</param>
    /// <param name="value">FP32 <c>[numTokens, numKvHeads, headDim]</c>.</param>
    public abstract void Write(int layer, ReadOnlySpan<int> slots, ReadOnlySpan<float> key, ReadOnlySpan<float> value);

    /// <summary>Checks slot ids against the pages.</summary>
    /// <param name="slots">Slot ids.</param>
    /// <param name="allowsNone">Whether −1 may stand for no slot.</param>
    /// <exception cref="ArgumentOutOfRangeException">A slot does not exist.</exception>
    public void CheckSlots(ReadOnlySpan<int> slots, bool allowsNone = false)
    {
        foreach (int slot in slots)
        {
            if (slot == -1 && allowsNone) continue;
            if ((uint)slot >= (uint)NumPages * PageSize)
                throw new ArgumentOutOfRangeException(nameof(slots), slot, $"The cache has {NumPages} pages, so slots 0 to {(long)NumPages * PageSize - 1}.");
        }
    }

    /// <summary>Checks that an operator's heads fit and that a layer exists.</summary>
    /// <exception cref="ArgumentException">The cache holds other heads.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The layer does not exist.</exception>
    public void CheckLayer(int layer, AttentionShape shape)
    {
        ArgumentNullException.ThrowIfNull(shape);
        if (Shape.NumKvHeads != shape.NumKvHeads || Shape.HeadDim != shape.HeadDim)
        {
            throw new ArgumentException(
                $"The cache holds {Shape.NumKvHeads} heads of {Shape.HeadDim}, the operator has {shape.NumKvHeads} key/value heads of {shape.HeadDim}.",
                nameof(shape));
        }
        CheckLayer(layer);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Checks the arguments of <see cref="Write"/>.</summary>
    /// <exception cref="ArgumentException">They do not fit each other or the cache.</exception>
    protected void CheckWrite(int layer, ReadOnlySpan<int> slots, ReadOnlySpan<float> key, ReadOnlySpan<float> value)
    {
        CheckLayer(layer);
        CheckLength(key.Length, slots.Length, nameof(key));
        CheckLength(value.Length, slots.Length, nameof(value));
        CheckSlots(slots);
    }

    /// <summary>Checks the arguments of <see cref="Copy"/>; any slots are allowed when there is nothing to copy.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A range leaves its page or the cache.</exception>
    protected void CheckCopy(int sourceSlot, int destinationSlot, int numTokens)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(numTokens);
        if (numTokens == 0) return;
        CheckRange(sourceSlot, numTokens, nameof(sourceSlot));
        CheckRange(destinationSlot, numTokens, nameof(destinationSlot));
    }

    /// <summary>Frees the pages.</summary>
    protected abstract void Dispose(bool disposing);

    private void CheckRange(int slot, int numTokens, string name)
    {
        if (slot < 0 || slot / PageSize >= NumPages || slot % PageSize + numTokens > PageSize)
        {
            throw new ArgumentOutOfRangeException(name, slot,
                $"{numTokens} tokens from slot {slot} must lie in one of the {NumPages} pages of {PageSize} tokens.");
        }
    }

    private void CheckLayer(int layer)
    {
        if ((uint)layer >= (uint)Shape.NumLayers)
            throw new ArgumentOutOfRangeException(nameof(layer), layer, $"The cache has {Shape.NumLayers} layers.");
    }

    private void CheckLength(int length, int numTokens, string name)
    {
        int tokenSize = Shape.NumKvHeads * Shape.HeadDim;
        if (length != (long)numTokens * tokenSize)
            throw new ArgumentException($"{numTokens} tokens of {tokenSize} elements need {(long)numTokens * tokenSize} numbers, not {length}.", name);
    }
}
