using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>What a run of the attention benchmark measures.</summary>
/// <param name="Protocol">Its name.</param>
/// <param name="KvType">Type of keys, values and queries.</param>
/// <param name="QueryLength">Query rows of each sequence: its last tokens.</param>
/// <param name="Cells">The points to measure, in order.</param>
/// <param name="Modes">The modes that are measured side by side.</param>
/// <param name="Repeats">Interleaved rounds.</param>
/// <param name="IsWarm">Whether caches may keep the data from call to call.</param>
/// <param name="MaxBytes">The most memory for keys and values.</param>
internal sealed record AttentionSetup(
    string Protocol, ElementType KvType, int QueryLength, IReadOnlyList<AttentionCell> Cells,
    IReadOnlyList<AttentionMode> Modes, int Repeats, bool IsWarm, long MaxBytes)
{
    /// <summary>Where rows of the outputs are kept for other programs, or null.</summary>
    public string? OutputFolder { get; init; }

    /// <summary>Floating-point operations of a mode's step: two products of headDim elements for each query head and key that it sees.</summary>
    public double Flops(AttentionCell cell, AttentionMode mode)
    {
        double hidden = (QueryLength - 1) / 2.0; // causal: the mean row does not see half of the query's own tokens
        double own = cell.Suffix == 0 ? 0 : cell.Suffix - hidden;
        double keys = mode switch
        {
            AttentionMode.Nodes => cell.Prefix,
            AttentionMode.Sequences => own,
            _ => cell.Prefix + own,
        };
        return 4.0 * cell.Batch * QueryLength * cell.Shape.NumHeads * cell.Shape.HeadDim * keys;
    }

    /// <summary>Bytes of keys and values that a mode's step must read: what is shared once in total, otherwise once for each sequence.</summary>
    public double Bytes(AttentionCell cell, AttentionMode mode)
    {
        long own = (long)cell.Batch * cell.Suffix;
        long tokens = mode switch
        {
            AttentionMode.Hydragen => cell.NodeTokens + own,
            AttentionMode.Nodes => cell.NodeTokens,
            AttentionMode.Sequences => own,
            _ => (long)cell.Batch * cell.Prefix + own,
        };
        return (double)new KvCacheShape(1, cell.Shape.NumKvHeads, cell.Shape.HeadDim, KvType).BytesPerToken * tokens;
    }
}
