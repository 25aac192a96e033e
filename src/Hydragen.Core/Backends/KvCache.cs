namespace Hydragen.Core;

/// <summary>
/// Keys and values in pages of <see cref="PageSize"/> tokens. A page id names the same tokens in every layer; token t of a
/// page lies at slot id <c>page · PageSize + t</c>. Callers hand out pages and never see inside one: the backend owns the
/// layout. Where prefixes have a type of their own (<see cref="KvCacheShape.IsMixed"/>), a page has a kind from its beginning to its end.
/// Not thread-safe; calls are ordered with the operators of the backend that made it.
/// </summary>
public abstract partial class KvCache : IDisposable
{
    /// <summary>Tokens of a page.</summary>
    public const int PageSize = 64;

    private const byte NoKind = byte.MaxValue;

    private static readonly PageKind[] OneKind = [PageKind.Suffix], BothKinds = [PageKind.Suffix, PageKind.Prefix];

    private readonly List<Chunk> _chunks = [];
    private readonly List<(int FirstPage, int NumPages)> _vacant = [];
    private readonly int[] _numPages = new int[2];
    private readonly bool _isMixed;
    private byte[] _kinds = [];

    /// <summary>Creates a cache description.</summary>
    protected KvCache(KvCacheShape shape)
    {
        Shape = shape ?? throw new ArgumentNullException(nameof(shape));
        _isMixed = shape.IsMixed;
    }

    /// <summary>Layers, heads and element types.</summary>
    public KvCacheShape Shape { get; }

    /// <summary>The kinds of pages; one when all have one type.</summary>
    public IReadOnlyList<PageKind> Kinds => _isMixed ? BothKinds : OneKind;

    /// <summary>Valid page ids are 0 … NumPages − 1, but for those that <see cref="Release"/> took away.</summary>
    public int NumPages { get; private set; }

    /// <summary>Bytes that one page of a sequence really occupies, padding included.</summary>
    public long BytesPerPage => BytesOf(PageKind.Suffix);

    /// <summary>Changes when ids stop naming the pages that they named before.</summary>
    public long Generation { get; private set; }

    /// <summary>Whether the pages were freed.</summary>
    protected bool IsDisposed { get; private set; }

    /// <summary>Bytes that one page of a kind really occupies, padding included.</summary>
    public abstract long BytesOf(PageKind kind);

    /// <summary>Bytes of all pages.</summary>
    public long SizeInBytes => _isMixed
        ? _numPages[(int)PageKind.Suffix] * BytesOf(PageKind.Suffix) + _numPages[(int)PageKind.Prefix] * BytesOf(PageKind.Prefix) : NumPages * BytesPerPage;

    /// <summary>Pages of a kind that exist; all pages when all have one type.</summary>
    public int NumPagesOf(PageKind kind) => _numPages[IndexOf(kind)];

    /// <summary>Kind of a page; <see cref="PageKind.Suffix"/> when all have one type.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such page.</exception>
    public PageKind KindOf(int page)
    {
        if (!HasPage(page)) throw new ArgumentOutOfRangeException(nameof(page), page, $"The cache has no such page among its {NumPages}.");
        return _isMixed ? (PageKind)_kinds[page] : PageKind.Suffix;
    }

    /// <summary>Kind of the pages that a segment of a plan reads; <see cref="PageKind.Suffix"/> when all have one type or there are none.</summary>
    /// <exception cref="ArgumentException">The segment reads pages of both kinds, or one that does not exist.</exception>
    public PageKind KindOf(AttentionPlan plan, in AttentionSegment segment)
    {
        ArgumentNullException.ThrowIfNull(plan);
        if (!_isMixed || segment.NumKeys == 0) return PageKind.Suffix;
        ReadOnlySpan<int> pages = plan.PageTable.Slice(segment.FirstPage, segment.NumPages);
        foreach (int page in pages)
        {
            if (!HasPage(page)) throw new ArgumentException($"The plan uses page {page}, which is none of the cache's {NumPages} pages.", nameof(plan));
            if (_kinds[page] != _kinds[pages[0]])
            {
                throw new ArgumentException(
                    $"A segment reads page {pages[0]} of {NameOf(pages[0])} and page {page} of {NameOf(page)}; the pages of a segment must be of one kind.", nameof(plan));
            }
        }
        return (PageKind)_kinds[pages[0]];
    }

    /// <summary>Whether an id names a page.</summary>
    public bool HasPage(int page) => (uint)page < (uint)NumPages && (!_isMixed || _kinds[page] != NoKind);

    /// <summary>
    /// Grows the cache to at least so many pages of a kind, or pages at all when all have one type; the content of existing pages stays. New
    /// pages get the ids that were released, and then those behind all others.
    /// </summary>
    /// <param name="numPages">Pages, those that exist included.</param>
    /// <param name="kind">Their kind.</param>
    /// <exception cref="InsufficientMemoryException">The device cannot hold so many pages; nothing changed.</exception>
    public void Reserve(int numPages, PageKind kind = PageKind.Suffix)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(numPages);
        int index = IndexOf(kind), missing = numPages - _numPages[index];
        if (missing <= 0) return;
        int firstChunk = _chunks.Count, numVacant = _vacant.Count, end = NumPages, perChunk = PagesPerChunk(missing);
        (int First, int Count) place = default;
        try
        {
            for (int count; missing > 0; missing -= count)
            {
                if (place.Count == 0) place = numVacant > 0 ? _vacant[--numVacant] : (end, missing);
                count = Math.Min(Math.Min(missing, place.Count), perChunk);
                _chunks.Add(new Chunk(Allocate(place.First, count, kind), (PageKind)index, place.First, count));
                place = (place.First + count, place.Count - count);
                end = Math.Max(end, place.First);
            }
        }
        catch
        {
            for (int i = firstChunk; i < _chunks.Count; i++) _chunks[i].Memory.Dispose();
            _chunks.RemoveRange(firstChunk, _chunks.Count - firstChunk);
            throw;
        }
        _vacant.RemoveRange(numVacant, _vacant.Count - numVacant);
        if (place.Count > 0) _vacant.Add(place);
        NumPages = end;
        _numPages[index] = numPages;
        if (!_isMixed) return;
        if (_kinds.Length < end) Array.Resize(ref _kinds, Math.Max(end, _kinds.Length * 2));
        for (int i = firstChunk; i < _chunks.Count; i++) _kinds.AsSpan(_chunks[i].FirstPage, _chunks[i].NumPages).Fill((byte)index);
    }

    /// <summary>
    /// Gives memory of pages back to the device, in a cache with two kinds of pages. Their ids name no page until <see cref="Reserve"/> makes new
    /// ones of them, of any kind. Pages that were allocated together go together, when none of them is in use.
    /// </summary>
    /// <param name="kind">Kind of the pages.</param>
    /// <param name="isUsed">Whether a page is in use, <c>[numPages]</c>.</param>
    /// <param name="minPages">When so many are given back, no more are.</param>
    /// <param name="maxPages">The most that may be given back.</param>
    /// <param name="isTrial">Whether pages are counted only.</param>
    /// <returns>How many are given back.</returns>
    /// <exception cref="InvalidOperationException">All pages have one type.</exception>
    public int Release(PageKind kind, ReadOnlySpan<bool> isUsed, int minPages, int maxPages, bool isTrial = false)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        if (!_isMixed) throw new InvalidOperationException("Only a cache with two kinds of pages gives up pages of one for the other.");
        if (isUsed.Length != NumPages) throw new ArgumentException($"There are {NumPages} pages, but {isUsed.Length} flags.", nameof(isUsed));
        int done = 0;
        for (int i = _chunks.Count - 1; i >= 0 && done < minPages; i--)
        {
            Chunk chunk = _chunks[i];
            if (chunk.Kind != kind || done + chunk.NumPages > maxPages || isUsed.Slice(chunk.FirstPage, chunk.NumPages).Contains(true)) continue;
            done += chunk.NumPages;
            if (isTrial) continue;
            chunk.Memory.Dispose();
            _chunks.RemoveAt(i);
            _vacant.Add((chunk.FirstPage, chunk.NumPages));
            _kinds.AsSpan(chunk.FirstPage, chunk.NumPages).Fill(NoKind);
            _numPages[(int)kind] -= chunk.NumPages;
            Generation++;
        }
        return done;
    }

    /// <summary>Copies consecutive tokens of all layers from one page to another of the same kind.</summary>
    /// <param name="sourceSlot">First slot id to read; the range must not leave its page.</param>
    /// <param name="destinationSlot">First slot id to write; the range must not leave its page.</param>
    /// <param name="numTokens">Tokens to copy.</param>
    public abstract void Copy(int sourceSlot, int destinationSlot, int numTokens);

    /// <summary>Stores the keys and values of some tokens in one layer, rounding to the element type of their pages.</summary>
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
            if ((uint)slot >= (uint)NumPages * PageSize || !HasPage(slot / PageSize))
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
        if (!IsDisposed)
        {
            IsDisposed = true;
            Dispose(disposing: true);
            foreach (Chunk chunk in _chunks) chunk.Memory.Dispose();
            _chunks.Clear();
            NumPages = 0;
        }
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
    /// <exception cref="ArgumentException">The pages are of different kinds.</exception>
    protected void CheckCopy(int sourceSlot, int destinationSlot, int numTokens)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(numTokens);
        if (numTokens == 0) return;
        CheckRange(sourceSlot, numTokens, nameof(sourceSlot));
        CheckRange(destinationSlot, numTokens, nameof(destinationSlot));
        (int source, int destination) = (sourceSlot / PageSize, destinationSlot / PageSize);
        if (KindOf(source) != KindOf(destination))
        {
            throw new ArgumentException(
                $"Page {source} of {NameOf(source)} cannot be copied to page {destination} of {NameOf(destination)}.", nameof(destinationSlot));
        }
    }

    /// <summary>
    /// The most pages, at least one, that are allocated together when some are missing. With two kinds of pages it must not depend on their
    /// size, which may differ from rank to rank of a group.
    /// </summary>
    protected abstract int PagesPerChunk(int numMissing);

    /// <summary>Allocates memory for consecutive pages of a kind, all zero, and notes where each lies.</summary>
    /// <returns>The memory, which is disposed with the pages.</returns>
    /// <exception cref="InsufficientMemoryException">There is not so much memory; nothing changed.</exception>
    protected abstract IDisposable Allocate(int firstPage, int numPages, PageKind kind);

    /// <summary>Frees what there is besides the pages; called once.</summary>
    protected abstract void Dispose(bool disposing);

    private int IndexOf(PageKind kind) => _isMixed ? (int)kind : 0;

    private string NameOf(int page)
    {
        PageKind kind = KindOf(page);
        return $"{(kind == PageKind.Prefix ? "prefixes" : "sequences")} ({Shape.TypeOf(kind).ShortName()})";
    }

    private void CheckRange(int slot, int numTokens, string name)
    {
        if (slot < 0 || !HasPage(slot / PageSize) || slot % PageSize + numTokens > PageSize)
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

    /// <summary>Consecutive pages that were allocated together.</summary>
    private readonly record struct Chunk(IDisposable Memory, PageKind Kind, int FirstPage, int NumPages);
}
