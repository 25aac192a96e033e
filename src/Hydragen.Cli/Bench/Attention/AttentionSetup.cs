using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>What a run of the attention benchmark measures.</summary>
/// <param name="Protocol">Its name.</param>
/// <param name="KvType">Type of keys and values.</param>
/// <param name="Cells">The points to measure, in order.</param>
/// <param name="Modes">The modes that are measured side by side.</param>
/// <param name="Repeats">Interleaved rounds.</param>
/// <param name="IsWarm">Whether caches may keep the data from call to call.</param>
/// <param name="MaxBytes">The most memory for keys and values.</param>
internal sealed record AttentionSetup(
    string Protocol, ElementType KvType, IReadOnlyList<AttentionCell> Cells,
    IReadOnlyList<AttentionMode> Modes, int Repeats, bool IsWarm, long MaxBytes)
{
    /// <summary>Where rows of the outputs are kept for other programs, or null.</summary>
    public string? OutputFolder { get; init; }

    /// <summary>Whether outputs are read back.</summary>
    public bool ComparesOutputs => OutputFolder is not null || Modes.Count > 1;

    /// <summary>Type of queries: that of keys and values, or BF16 beside bytes.</summary>
    public ElementType QueryType => KvType.IsByte() ? ElementType.BFloat16 : KvType;

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
