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
    /// <summary>Type of the keys and values of the prefix; null like all others.</summary>
    public ElementType? PrefixKvType { get; init; }

    /// <summary>Types in words.</summary>
    public string Types => IsMixed ? $"{KvType.ShortName()} behind {PrefixKvType!.Value.ShortName()}" : KvType.ShortName();

    /// <summary>Whether the prefix has a type of its own.</summary>
    public bool IsMixed => PrefixKvType is { } type && type != KvType;

    /// <summary>Where rows of the outputs are kept for other programs, or null.</summary>
    public string? OutputFolder { get; init; }

    /// <summary>Whether outputs are read back.</summary>
    public bool ComparesOutputs => OutputFolder is not null || Modes.Count > 1;

    /// <summary>Type of queries: that of keys and values; beside bytes that of the prefix, and BF16 where that has bytes too.</summary>
    public ElementType QueryType => !KvType.IsByte() ? KvType : PrefixKvType is { } type && !type.IsByte() ? type : ElementType.BFloat16;

    /// <summary>What caches for a cell look like.</summary>
    /// <param name="cell">The cell.</param>
    /// <param name="numLayers">Layers.</param>
    /// <param name="isCopied">Whether every sequence has its own copy of the prefix.</param>
    public KvCacheShape CacheShape(AttentionCell cell, int numLayers, bool isCopied = false) =>
        new(numLayers, cell.Shape.NumKvHeads, cell.Shape.HeadDim, KvType, isCopied ? null : PrefixKvType);

    /// <summary>Bytes of keys and values that a mode's step must read: what is shared once in total, otherwise once for each sequence.</summary>
    public double Bytes(AttentionCell cell, AttentionMode mode)
    {
        double own = mode == AttentionMode.Nodes ? 0 : (double)cell.Batch * cell.Suffix;
        double prefix = mode switch
        {
            AttentionMode.Hydragen or AttentionMode.Nodes => cell.NodeTokens,
            AttentionMode.Sequences => 0,
            _ => (double)cell.Batch * cell.Prefix,
        };
        KvCacheShape shape = CacheShape(cell, 1);
        return shape.BytesPerTokenOf(PageKind.Prefix) * prefix + shape.BytesPerToken * own;
    }
}
