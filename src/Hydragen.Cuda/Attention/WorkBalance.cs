namespace Hydragen.Cuda;

/// <summary>
/// Divides the work of one class of items: how many pages an item may have, and how long some blocks need for all. A task is an item and a
/// key/value head; blocks take tasks in order, the longest first. Times are estimates in seconds.
/// </summary>
/// <param name="secondsPerPage">One block's time for a page.</param>
/// <param name="secondsPerTask">What a task costs besides.</param>
/// <param name="minPages">Fewest pages of an item that is cut.</param>
internal sealed class WorkBalance(double secondsPerPage, double secondsPerTask, int minPages)
{
    private readonly List<Group> _groups = [];

    // Segments of equal length: pages of each, row tiles times heads of all, and how many rows (with a partial result each) they have.
    private readonly record struct Group(int NumPages, long NumTiles, long NumRows);

    /// <summary>Adds a segment.</summary>
    /// <param name="numPages">Its pages.</param>
    /// <param name="numTiles">Blocks of vectors, times key/value heads.</param>
    /// <param name="numRows">Its rows.</param>
    public void Add(int numPages, long numTiles, long numRows)
    {
        for (int i = 0; i < _groups.Count; i++)
        {
            if (_groups[i].NumPages != numPages) continue;
            _groups[i] = new Group(numPages, _groups[i].NumTiles + numTiles, _groups[i].NumRows + numRows);
            return;
        }
        _groups.Add(new Group(numPages, numTiles, numRows));
    }

    /// <summary>Whether there is any work.</summary>
    public bool IsEmpty => _groups.Count == 0;

    /// <summary>The pages an item may have so that all blocks finish soonest.</summary>
    /// <param name="numBlocks">Blocks that work at a time.</param>
    /// <param name="secondsPerPart">What each further partial result of a row costs.</param>
    public int Choose(int numBlocks, double secondsPerPart)
    {
        _groups.Sort((left, right) => right.NumPages.CompareTo(left.NumPages));
        int longest = _groups.Count == 0 ? 1 : _groups[0].NumPages, best = longest;
        double bestSeconds = double.PositiveInfinity;
        for (int numSplits = 1; numSplits <= longest; numSplits += Math.Max(1, numSplits / 2))
        {
            int pages = (longest + numSplits - 1) / numSplits;
            if (numSplits > 1 && pages < minPages) break;
            double seconds = Seconds(pages, numBlocks);
            foreach (Group group in _groups) seconds += ((group.NumPages + pages - 1) / pages - 1) * group.NumRows * secondsPerPart;
            if (seconds >= bestSeconds) continue;
            (best, bestSeconds) = (pages, seconds);
        }
        return Math.Max(1, best);
    }

    /// <summary>When the last of some blocks finishes.</summary>
    /// <param name="pagesPerItem">Pages an item may have.</param>
    /// <param name="numBlocks">Blocks.</param>
    public double Seconds(int pagesPerItem, int numBlocks)
    {
        // The first block has the longest share: every numBlocks-th task. Tasks of full items come first, those with the rest of a segment after.
        double seconds = 0;
        long end = 0, next = 0;
        foreach (Group group in _groups)
        {
            end += group.NumTiles * (group.NumPages / pagesPerItem);
            if (next >= end) continue;
            long count = (end - next + numBlocks - 1) / numBlocks;
            seconds += count * (pagesPerItem * secondsPerPage + secondsPerTask);
            next += count * numBlocks;
        }
        foreach (Group group in _groups)
        {
            int rest = group.NumPages % pagesPerItem;
            if (rest == 0) continue;
            end += group.NumTiles;
            if (next >= end) continue;
            long count = (end - next + numBlocks - 1) / numBlocks;
            seconds += count * (rest * secondsPerPage + secondsPerTask);
            next += count * numBlocks;
        }
        return seconds;
    }
}
