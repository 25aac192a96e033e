using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>
/// Hands out KV pages. A span first reserves the pages that it may ever need, which is where the budget is checked, and takes
/// them one by one as it grows, so that a running sequence never fails. The cache grows when pages are taken, so that memory is touched
/// late, or already when they are reserved, so that no step allocates. Not thread-safe.
/// </summary>
internal sealed class PageAllocator
{
    private const int FirstGrowth = 64;
    private readonly KvCache _cache;
    private readonly bool _growsEarly;
    private int[] _free = [];
    private bool[] _isUsed = [];
    private int _numFree;

    /// <param name="cache">The pages.</param>
    /// <param name="maxPages">The budget.</param>
    /// <param name="growsEarly">Whether the cache grows when pages are reserved.</param>
    public PageAllocator(KvCache cache, int maxPages, bool growsEarly = false)
    {
        _cache = cache;
        _growsEarly = growsEarly;
        MaxPages = maxPages;
        AddPages(Math.Min(cache.NumPages, maxPages));
    }

    public int MaxPages { get; }

    public int NumUsed { get; private set; }

    public int NumReserved { get; private set; }

    public int PeakUsed { get; private set; }

    public int NumAvailable => MaxPages - NumReserved;

    public static int PagesFor(int numTokens) => (int)(((long)numTokens + KvCache.PageSize - 1) / KvCache.PageSize);

    public void ResetPeak() => PeakUsed = NumUsed;

    /// <summary>Reserves pages for a span of at most <paramref name="numTokens"/> tokens.</summary>
    /// <exception cref="OutOfKvMemoryException">The budget does not hold so many; nothing changed.</exception>
    /// <exception cref="InsufficientMemoryException">The device does not hold so many, although the budget does; nothing changed.</exception>
    public void Reserve(TokenSpan span, int numTokens)
    {
        int count = PagesFor(numTokens);
        if (count > NumAvailable) throw new OutOfKvMemoryException(count, NumReserved, MaxPages, _cache.BytesPerPage);
        if (_growsEarly && NumReserved + count > _isUsed.Length) Grow(NumReserved + count);
        span.Pages = new int[count];
        NumReserved += count;
    }

    /// <summary>Takes reserved pages until the span can hold so many tokens.</summary>
    public void Take(TokenSpan span, int numTokens)
    {
        while ((long)span.NumPages * KvCache.PageSize < numTokens)
        {
            if (_numFree == 0) Grow(_isUsed.Length + 1);
            int page = _free[--_numFree];
            _isUsed[page] = true;
            NumUsed++;
            span.Pages[span.NumPages++] = page;
        }
        PeakUsed = Math.Max(PeakUsed, NumUsed);
    }

    /// <summary>Gives back what a span took and reserved.</summary>
    public void Release(TokenSpan span)
    {
        foreach (int page in span.Pages.AsSpan(0, span.NumPages))
        {
            if (!_isUsed[page]) throw new InvalidOperationException($"KV page {page} is returned but not in use.");
            _isUsed[page] = false;
            _free[_numFree++] = page;
        }
        NumUsed -= span.NumPages;
        NumReserved -= span.Pages.Length;
        span.NumPages = 0;
        span.NumComputed = 0;
        span.Pages = [];
    }

    /// <summary>Throws when the books do not balance; called by tests after every step.</summary>
    public void CheckIntegrity()
    {
        int used = _isUsed.Count(isUsed => isUsed);
        if (used != NumUsed || NumUsed + _numFree != _isUsed.Length || NumUsed > NumReserved || NumReserved > MaxPages)
        {
            throw new InvalidOperationException(
                $"{_numFree} free, {NumUsed} used ({used} marked) and {NumReserved} reserved pages do not fit {_isUsed.Length} pages of at most {MaxPages}.");
        }
        foreach (int page in _free.AsSpan(0, _numFree))
        {
            if (_isUsed[page]) throw new InvalidOperationException($"KV page {page} is free and in use.");
        }
    }

    /// <summary>Grows the cache to some pages, and beyond that in steps that double it.</summary>
    private void Grow(int numPages)
    {
        int target = (int)Math.Min(MaxPages, Math.Max(Math.Max(FirstGrowth, numPages), _isUsed.Length * 2L));
        try
        {
            _cache.Reserve(target);
        }
        catch (InsufficientMemoryException) when (target > numPages)
        {
            target = numPages;
            _cache.Reserve(target);
        }
        AddPages(target);
    }

    private void AddPages(int target)
    {
        int first = _isUsed.Length;
        Array.Resize(ref _isUsed, target);
        Array.Resize(ref _free, target);

        // Pushed backwards, so that pages are handed out in ascending order.
        for (int page = target - 1; page >= first; page--) _free[_numFree++] = page;
    }
}
