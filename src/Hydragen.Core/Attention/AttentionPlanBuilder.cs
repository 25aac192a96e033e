using System.Runtime.InteropServices;

namespace Hydragen.Core;

/// <summary>
/// Collects rows and segments and builds a validated <see cref="AttentionPlan"/>. Reusable: <see cref="Clear"/> keeps the
/// memory. Not thread-safe.
/// </summary>
public sealed class AttentionPlanBuilder
{
    private readonly List<int> _rowPositions = [];
    private readonly List<AttentionSegment> _segments = [];
    private readonly List<int> _pageTable = [];
    private readonly List<int> _nextPosition = [];

    /// <summary>Rows added so far.</summary>
    public int NumRows => _rowPositions.Count;

    /// <summary>Forgets all rows and segments.</summary>
    public void Clear()
    {
        _rowPositions.Clear();
        _segments.Clear();
        _pageTable.Clear();
    }

    /// <summary>Adds query rows at consecutive positions.</summary>
    /// <param name="firstPosition">Absolute position of the first of them.</param>
    /// <param name="numRows">How many, 0 allowed.</param>
    /// <returns>The index of the first added row.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A value is negative, or a position would overflow.</exception>
    public int AddRows(int firstPosition, int numRows)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstPosition);
        ArgumentOutOfRangeException.ThrowIfNegative(numRows);
        if (firstPosition > int.MaxValue - numRows)
            throw new ArgumentOutOfRangeException(nameof(numRows), numRows, "Row positions would exceed the largest integer.");
        int firstRow = _rowPositions.Count;
        for (int row = 0; row < numRows; row++) _rowPositions.Add(firstPosition + row);
        return firstRow;
    }

    /// <summary>Adds a segment over the keys that lie in <paramref name="pages"/> from <paramref name="firstSlot"/> on.</summary>
    /// <param name="firstRow">First query row.</param>
    /// <param name="numRows">Query rows.</param>
    /// <param name="pages">Page ids in key order; entries past the last key are ignored.</param>
    /// <param name="firstSlot">Slot of the first key in the first page.</param>
    /// <param name="numKeys">Keys.</param>
    /// <param name="firstPosition">Absolute position of the first key.</param>
    /// <param name="mask">Full or causal.</param>
    /// <exception cref="ArgumentException">The pages are too few for the keys.</exception>
    public void AddSegment(
        int firstRow, int numRows, ReadOnlySpan<int> pages, int firstSlot, int numKeys, int firstPosition, AttentionMask mask)
    {
        var segment = new AttentionSegment(firstRow, numRows, _pageTable.Count, firstSlot, numKeys, firstPosition, mask);
        if (firstSlot < 0 || firstSlot >= KvCache.PageSize)
            throw new ArgumentException($"{Name(_segments.Count)} starts at slot {firstSlot}; a page has slots 0 to {KvCache.PageSize - 1}.");
        if (numKeys < 0) throw new ArgumentException($"{Name(_segments.Count)} has {numKeys} keys; the count cannot be negative.");
        if (pages.Length < segment.NumPages)
        {
            throw new ArgumentException(
                $"{Name(_segments.Count)} needs {segment.NumPages} pages for {numKeys} keys from slot {firstSlot}, but has {pages.Length}.");
        }
        _segments.Add(segment);
        foreach (int page in pages[..segment.NumPages]) _pageTable.Add(page);
    }

    /// <summary>Builds a new plan.</summary>
    /// <exception cref="ArgumentException">The rows and segments contradict each other; the message says which and how.</exception>
    public AttentionPlan Build()
    {
        var plan = new AttentionPlan();
        Build(plan);
        return plan;
    }

    /// <summary>Refills a plan that nobody uses any more, without allocating once its arrays are large enough.</summary>
    /// <inheritdoc cref="Build()" path="/exception"/>
    public void Build(AttentionPlan plan)
    {
        ArgumentNullException.ThrowIfNull(plan);
        Validate();
        Copy(_rowPositions, ref plan.RowPositionsArray);
        Copy(_segments, ref plan.SegmentsArray);
        Copy(_pageTable, ref plan.PageTableArray);
        plan.NumRows = _rowPositions.Count;
        plan.NumSegments = _segments.Count;
        plan.PageTableLength = _pageTable.Count;
        plan.MarkRebuilt();
    }

    private void Validate()
    {
        CollectionsMarshal.SetCount(_nextPosition, _rowPositions.Count);
        Span<int> nextPosition = CollectionsMarshal.AsSpan(_nextPosition);
        nextPosition.Clear();
        for (int i = 0; i < _segments.Count; i++)
        {
            AttentionSegment segment = _segments[i];
            if (segment.FirstRow < 0 || segment.NumRows < 0 || segment.FirstRow > _rowPositions.Count - segment.NumRows)
            {
                throw new ArgumentException(
                    $"{Name(i)} covers rows {segment.FirstRow} to {(long)segment.FirstRow + segment.NumRows - 1}; the plan has {_rowPositions.Count} rows.");
            }
            if (segment.FirstPosition < 0 || segment.FirstPosition > int.MaxValue - segment.NumKeys)
                throw new ArgumentException($"{Name(i)} has its first key at position {segment.FirstPosition}; positions run from 0 to {int.MaxValue}.");
            if (segment.Mask is not (AttentionMask.Full or AttentionMask.Causal))
                throw new ArgumentException($"{Name(i)} has the unknown mask {segment.Mask}.");
            if (segment.NumKeys == 0) continue;
            foreach (ref int next in nextPosition.Slice(segment.FirstRow, segment.NumRows))
            {
                if (segment.FirstPosition < next)
                {
                    throw new ArgumentException(
                        $"{Name(i)} starts at key position {segment.FirstPosition}, but an earlier segment of one of its rows already reaches position {next - 1}; list a row's segments by ascending position, without overlap.");
                }
                next = segment.FirstPosition + segment.NumKeys;
            }
        }
        foreach (int page in _pageTable)
        {
            if (page < 0) throw new ArgumentException($"Page id {page} is negative.");
        }
    }

    private static string Name(int index) => $"Attention segment {index}";

    private static void Copy<T>(List<T> source, ref T[] destination)
    {
        if (destination.Length < source.Count) destination = new T[Math.Max(source.Count, destination.Length * 2)];
        source.CopyTo(destination);
    }
}
