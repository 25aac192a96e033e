namespace Hydragen.Core;

/// <summary>
/// Everything that one step of attention computes, as a list of segments over query rows and KV pages; built once a step by
/// <see cref="AttentionPlanBuilder"/> and used by every layer. The partial results of a row's segments are merged by
/// log-sum-exp (arXiv 2402.05099, section 3.1). A row without segments yields zeros and a log-sum-exp of −∞.
/// </summary>
/// <remarks>
/// A plan does not change while an operator uses it. <see cref="AttentionPlanBuilder.Build(AttentionPlan)"/> refills a plan
/// that its owner no longer uses, so that a decode step allocates nothing; <see cref="Id"/> then changes.
/// </remarks>
public sealed class AttentionPlan
{
    private static long _lastId;

    internal int[] RowPositionsArray = [];
    internal AttentionSegment[] SegmentsArray = [];
    internal int[] PageTableArray = [];
    internal int NumSegments;
    internal int PageTableLength;

    internal AttentionPlan()
    {
    }

    /// <summary>Differs for every content that any plan of this process ever had; backends key compiled work lists by it.</summary>
    public long Id { get; private set; }

    /// <summary>Query rows of the step.</summary>
    public int NumRows { get; internal set; }

    /// <summary>Absolute position of each query row, <c>[numRows]</c>.</summary>
    public ReadOnlySpan<int> RowPositions => RowPositionsArray.AsSpan(0, NumRows);

    /// <summary>The segments; those that hold a given row stand in order of ascending position and do not overlap.</summary>
    public ReadOnlySpan<AttentionSegment> Segments => SegmentsArray.AsSpan(0, NumSegments);

    /// <summary>Page ids that the segments index.</summary>
    public ReadOnlySpan<int> PageTable => PageTableArray.AsSpan(0, PageTableLength);

    internal void MarkRebuilt() => Id = Interlocked.Increment(ref _lastId);
}
