using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>What a run of the attention benchmark measures.</summary>
/// <param name="Protocol">Its name.</param>
/// <param name="Shape">Heads.</param>
/// <param name="KvType">Type of keys, values and queries.</param>
/// <param name="QueryLength">Query rows of each sequence: its last tokens.</param>
/// <param name="Cells">The points to measure, in order.</param>
/// <param name="Modes">The modes that are measured side by side.</param>
/// <param name="Repeats">Interleaved rounds.</param>
/// <param name="IsWarm">Whether caches may keep the data from call to call.</param>
/// <param name="MaxBytes">The most memory for keys and values.</param>
internal sealed record AttentionSetup(
    string Protocol, AttentionShape Shape, ElementType KvType, int QueryLength, IReadOnlyList<AttentionCell> Cells,
    IReadOnlyList<SharingMode> Modes, int Repeats, bool IsWarm, long MaxBytes)
{
    /// <summary>Bytes of one token's keys and values.</summary>
    public long BytesPerToken => new KvCacheShape(1, Shape.NumKvHeads, Shape.HeadDim, KvType).BytesPerToken;

    /// <summary>Floating-point operations of a step: two products of headDim elements for each query head and key that it sees.</summary>
    public double Flops(AttentionCell cell)
    {
        double hidden = (QueryLength - 1) / 2.0; // causal: the mean row does not see half of the query's own tokens
        return 4.0 * cell.Batch * QueryLength * Shape.NumHeads * Shape.HeadDim * (cell.Prefix + cell.Suffix - hidden);
    }

    /// <summary>Bytes of keys and values that a step must read: a shared prefix once in total, otherwise once for each sequence.</summary>
    public double Bytes(AttentionCell cell, SharingMode mode)
    {
        long prefixReads = mode == SharingMode.Hydragen ? 1 : cell.Batch;
        return (double)BytesPerToken * (prefixReads * cell.Prefix + (long)cell.Batch * cell.Suffix);
    }
}
