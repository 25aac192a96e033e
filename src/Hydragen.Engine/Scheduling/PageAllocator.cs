using System.Numerics;
using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>
/// Hands out KV pages. A span first reserves the pages that it may ever need, which is where the budget is checked, and takes
/// them one by one as it grows, so that a running sequence never fails. The cache grows when pages are taken, so that memory is touched
/// late, or already when they are reserved, so that no step allocates. Pages of prefixes and of sequences may differ in size: the budget is
/// counted in the largest unit that measures both, the cache grows when they are reserved, and free pages of one kind are given up where the
/// other needs their memory. Those lie in chunks that go as a whole, so room can be there that a page in use withholds for now; when nothing
/// is in use, all of it can be had. Not thread-safe.
/// </summary>
internal sealed class PageAllocator
{
    private const int FirstGrowth = 64;
    private readonly KvCache _cache;
    private readonly bool _growsEarly;
    private readonly Pool[] _pools;
    private bool[] _isUsed = [];

    /// <param name="cache">The pages.</param>
    /// <param name="maxUnits">The budget, in units of <see cref="BytesPerUnitOf"/>.</param>
    /// <param name="growsEarly">Whether the cache grows when pages are reserved.</param>
    public PageAllocator(KvCache cache, long maxUnits, bool growsEarly = false)
    {
        _cache = cache;
        _growsEarly = growsEarly || cache.Shape.IsMixed;
        MaxUnits = maxUnits;
        BytesPerUnit = BytesPerUnitOf(cache);
        _pools = [.. cache.Kinds.Select(kind => new Pool(kind, cache.BytesOf(kind) / BytesPerUnit))];
        AddPages(0);
    }

    /// <summary>The budget.</summary>
    public long MaxUnits { get; }

    /// <summary>Bytes of a unit.</summary>
    public long BytesPerUnit { get; }

    /// <summary>Bytes of the pages that are in use.</summary>
    public long UsedBytes => NumUsed * BytesPerUnit;

    /// <summary>The most bytes that were in use at once.</summary>
    public long PeakBytes { get; private set; }

    private long NumReserved => Sum(pool => pool.NumReserved);

    private long NumUsed => Sum(pool => pool.NumUsed);

    private long NumExisting => Sum(pool => _cache.NumPagesOf(pool.Kind));

    /// <summary>Bytes that measure pages of each kind: a page when all have one size. Pages of all ranks of a group are as many units.</summary>
    public static long BytesPerUnitOf(KvCache cache) =>
        (long)BigInteger.GreatestCommonDivisor(cache.BytesOf(PageKind.Suffix), cache.BytesOf(PageKind.Prefix));

    public static int PagesFor(int numTokens) => (int)(((long)numTokens + KvCache.PageSize - 1) / KvCache.PageSize);

    /// <summary>Whether pages of nodes and of a sequence can be reserved now; with two kinds of pages the cache has them then.</summary>
    /// <exception cref="InsufficientMemoryException">The device does not hold so many, although the budget does.</exception>
    public bool TryMakeRoom(int numPrefixPages, int numSuffixPages)
    {
        if (_pools.Length == 1) return numPrefixPages + (long)numSuffixPages <= MaxUnits - NumReserved;
        (_pools[(int)PageKind.Suffix].NumWanted, _pools[(int)PageKind.Prefix].NumWanted) = (numSuffixPages, numPrefixPages);
        long missing = NumExisting - MaxUnits, room = 0;
        foreach (Pool pool in _pools)
        {
            int spare = Spare(pool);
            if (spare < 0) missing -= spare * pool.UnitsPerPage;
            else room += _cache.Release(pool.Kind, _isUsed, spare, spare, isTrial: true) * pool.UnitsPerPage;
        }
        if (missing > room) return false;
        if (_pools.Any(pool => Spare(pool) < 0)) GrowBoth(missing);
        return true;
    }

    public void ResetPeak() => PeakBytes = UsedBytes;

    /// <summary>Reserves pages for a span of at most <paramref name="numTokens"/> tokens.</summary>
    /// <exception cref="OutOfKvMemoryException">The budget does not hold so many; nothing changed.</exception>
    /// <exception cref="InsufficientMemoryException">The device does not hold so many, although the budget does; nothing changed.</exception>
    public void Reserve(TokenSpan span, int numTokens)
    {
        Pool pool = PoolOf(span.Kind);
        int count = PagesFor(numTokens);
        if (!(span.Kind == PageKind.Prefix ? TryMakeRoom(count, 0) : TryMakeRoom(0, count)))
            throw new OutOfKvMemoryException(count * pool.UnitsPerPage * BytesPerUnit, NumReserved * BytesPerUnit, MaxUnits * BytesPerUnit);
        if (_growsEarly && pool.NumReserved + count > _cache.NumPagesOf(pool.Kind)) Grow(pool.NumReserved + count);
        span.Pages = new int[count];
        pool.NumReserved += count;
    }

    /// <summary>Takes reserved pages until the span can hold so many tokens.</summary>
    public void Take(TokenSpan span, int numTokens)
    {
        Pool pool = PoolOf(span.Kind);
        while ((long)span.NumPages * KvCache.PageSize < numTokens)
        {
            if (pool.Free.Count == 0) Grow(_cache.NumPages + 1);
            int page = pool.Free.Pop();
            _isUsed[page] = true;
            pool.NumUsed++;
            span.Pages[span.NumPages++] = page;
        }
        PeakBytes = Math.Max(PeakBytes, UsedBytes);
    }

    /// <summary>Gives back what a span took and reserved.</summary>
    public void Release(TokenSpan span)
    {
        Pool pool = PoolOf(span.Kind);
        foreach (int page in span.Pages.AsSpan(0, span.NumPages))
        {
            if (!_isUsed[page]) throw new InvalidOperationException($"KV page {page} is returned but not in use.");
            _isUsed[page] = false;
            pool.Free.Push(page);
        }
        pool.NumUsed -= span.NumPages;
        pool.NumReserved -= span.Pages.Length;
        span.NumPages = 0;
        span.NumComputed = 0;
        span.Pages = [];
    }

    /// <summary>Throws when the books do not balance; called by tests after every step.</summary>
    public void CheckIntegrity()
    {
        if (NumReserved > MaxUnits || NumExisting > MaxUnits)
            throw new InvalidOperationException($"{NumReserved} reserved and {NumExisting} existing units of memory exceed the budget of {MaxUnits}.");
        foreach (Pool pool in _pools)
        {
            int used = 0, existing = _cache.NumPagesOf(pool.Kind);
            for (int page = 0; page < _isUsed.Length; page++)
            {
                if (_isUsed[page] && PoolOf(_cache.KindOf(page)) == pool) used++;
            }
            if (used != pool.NumUsed || used + pool.Free.Count != existing || used > pool.NumReserved || (_growsEarly && pool.NumReserved > existing))
            {
                throw new InvalidOperationException(
                    $"{pool.Free.Count} free, {pool.NumUsed} used ({used} marked) and {pool.NumReserved} reserved pages do not fit {existing} pages of kind {pool.Kind}.");
            }
            foreach (int page in pool.Free)
            {
                if (_isUsed[page] || PoolOf(_cache.KindOf(page)) != pool) throw new InvalidOperationException($"KV page {page} is free for {pool.Kind}, but in use or of another kind.");
            }
        }
    }

    private Pool PoolOf(PageKind kind) => _pools[_pools.Length == 1 ? 0 : (int)kind];

    private long Sum(Func<Pool, int> count)
    {
        long sum = 0;
        foreach (Pool pool in _pools) sum += count(pool) * pool.UnitsPerPage;
        return sum;
    }

    /// <summary>Pages of a kind that are neither reserved nor wanted; less than none when some must be made.</summary>
    private int Spare(Pool pool) => _cache.NumPagesOf(pool.Kind) - pool.NumReserved - pool.NumWanted;

    /// <summary>Grows a cache of one type to some pages, and beyond that in steps that double it.</summary>
    private void Grow(int numPages)
    {
        int end = _cache.NumPages, target = (int)Math.Min(MaxUnits, Math.Max(Math.Max(FirstGrowth, numPages), end * 2L));
        try
        {
            _cache.Reserve(target);
        }
        catch (InsufficientMemoryException) when (target > numPages)
        {
            _cache.Reserve(numPages);
        }
        AddPages(end);
    }

    /// <summary>Makes the pages of each kind that are wanted, first giving up those of the other that are in the way, and then more of them where there is room.</summary>
    private void GrowBoth(long missing)
    {
        Pool[] growing = [.. _pools.Where(pool => Spare(pool) < 0)];
        try
        {
            foreach (Pool pool in _pools.Except(growing))
            {
                if (missing > 0) _cache.Release(pool.Kind, _isUsed, (int)((missing + pool.UnitsPerPage - 1) / pool.UnitsPerPage), Spare(pool));
            }
            foreach (Pool pool in growing) _cache.Reserve(pool.NumReserved + pool.NumWanted, pool.Kind);
            foreach (Pool pool in growing)
            {
                int existing = _cache.NumPagesOf(pool.Kind);
                _cache.Reserve((int)Math.Min(Math.Max(FirstGrowth, existing * 2L), existing + (MaxUnits - NumExisting) / pool.UnitsPerPage), pool.Kind);
            }
        }
        catch (InsufficientMemoryException) when (growing.All(pool => Spare(pool) >= 0))
        {
            // There is what is wanted, and no more.
        }
        finally
        {
            foreach (Pool pool in _pools) pool.Free.Clear();
            AddPages(0);
        }
    }

    /// <summary>Adds pages that are not in use, from one on, to those that are free.</summary>
    private void AddPages(int first)
    {
        Array.Resize(ref _isUsed, _cache.NumPages);

        // Pushed backwards, so that pages are handed out in ascending order.
        for (int page = _isUsed.Length - 1; page >= first; page--)
        {
            if (!_isUsed[page] && _cache.HasPage(page)) PoolOf(_cache.KindOf(page)).Free.Push(page);
        }
    }

    /// <summary>Pages of a kind.</summary>
    private sealed class Pool(PageKind kind, long unitsPerPage)
    {
        public PageKind Kind { get; } = kind;

        public long UnitsPerPage { get; } = unitsPerPage;

        public Stack<int> Free { get; } = [];

        public int NumReserved { get; set; }

        /// <summary>Pages for which room is being made.</summary>
        public int NumWanted { get; set; }

        public int NumUsed { get; set; }
    }
}
