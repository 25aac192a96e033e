namespace Hydragen.Cuda;

/// <summary>A range of a plan's rows whose partial results fit into the workspace together.</summary>
/// <param name="Items">The items of each list (<see cref="AttentionWork.ListOf"/>).</param>
/// <param name="FirstMergeRow">First of the rows that the merge writes.</param>
/// <param name="NumMergeRows">How many.</param>
/// <param name="MaxParts">The most partial results that one of them has.</param>
internal readonly record struct AttentionWave(ItemRange[] Items, int FirstMergeRow, int NumMergeRows, int MaxParts)
{
    /// <summary>Whether a block merges a head, and not a warp.</summary>
    public bool MergesMany => MaxParts >= AttentionKernels.ManyParts;
}

/// <summary>Items of a list.</summary>
/// <param name="First">The first.</param>
/// <param name="NumTasks">Items that start a task; they come first.</param>
/// <param name="Count">All, with those that continue a task.</param>
internal readonly record struct ItemRange(int First, int NumTasks, int Count);
