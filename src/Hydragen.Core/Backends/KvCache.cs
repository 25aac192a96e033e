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

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees the pages.</summary>
    protected abstract void Dispose(bool disposing);
}
