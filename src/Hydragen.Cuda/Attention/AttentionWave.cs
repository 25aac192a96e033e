namespace Hydragen.Cuda;

/// <summary>A range of a plan's rows whose partial results fit into the workspace together.</summary>
/// <param name="Items">For each <see cref="ItemClass"/> the first item and how many.</param>
/// <param name="FirstMergeRow">First of the rows that the merge writes.</param>
/// <param name="NumMergeRows">How many.</param>
/// <param name="MaxParts">The most partial results that one of them has.</param>
internal readonly record struct AttentionWave((int First, int Count)[] Items, int FirstMergeRow, int NumMergeRows, int MaxParts)
{
    /// <summary>Whether a block merges a head, and not a warp.</summary>
    public bool MergesMany => MaxParts >= AttentionKernels.ManyParts;
}
