using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>The shapes and sweeps that have names.</summary>
internal static class AttentionProtocols
{
    public const string Published = "published", Micro = "micro", Tree = "tree", Suffix = "suffix", Custom = "custom";

    /// <summary>Heads of the paper's micro-benchmark: one of eight parts of a 34-billion-parameter model.</summary>
    public static AttentionShape PaperShape { get; } = new(numHeads: 8, numKvHeads: 1, headDim: 128);

    /// <summary>Heads of the micro-benchmark of a processor.</summary>
    public static AttentionShape SmallShape { get; } = new(numHeads: 8, numKvHeads: 2, headDim: 128);

    /// <summary>Heads of the tree and of the configurations with grouped queries.</summary>
    public static AttentionShape GroupedShape { get; } = new(numHeads: 32, numKvHeads: 8, headDim: 128);

    /// <summary>Heads of the short suffixes and of the configurations without grouped queries.</summary>
    public static AttentionShape UngroupedShape { get; } = new(numHeads: 32, numKvHeads: 32, headDim: 128);

    /// <summary>Suffixes of the paper's micro-benchmark, thinned out.</summary>
    public static IReadOnlyList<int> PaperSuffixes { get; } = [0, 16, 64, 128, 256, 512];

    /// <summary>Suffixes whose cost is hardly more than that of a launch.</summary>
    public static IReadOnlyList<int> ShortSuffixes { get; } = [1, 2, 4, 8, 16, 32, 64, 128];

    /// <summary>The ten published configurations, each at five suffixes between the first generated token and the last.</summary>
    public static IReadOnlyList<AttentionCell> PublishedCells { get; } = [.. PublishedConfiguration.All.SelectMany(configuration => configuration.Cells)];

    /// <summary>The micro-benchmark of the paper (arXiv 2402.05099, figure 4): four pairs of batch and prefix, suffixes swept.</summary>
    public static IReadOnlyList<AttentionCell> PaperCells(IReadOnlyList<int> suffixes)
    {
        (int Batch, int Prefix)[] pairs = [(512, 1024), (1024, 2048), (2048, 4096), (4096, 8192)];
        return [.. pairs.SelectMany(pair => suffixes.Select(suffix => new AttentionCell(PaperShape, pair.Batch, pair.Prefix, suffix)))];
    }

    /// <summary>A decode step that a processor can do in milliseconds.</summary>
    public static IReadOnlyList<AttentionCell> SmallCells { get; } = Product(SmallShape, [64], [1024, 4096, 16384], [128]);

    /// <summary>Three levels above 512 sequences, and the same tokens with only the first level shared.</summary>
    public static IReadOnlyList<AttentionCell> TreeCells { get; } =
    [
        new(GroupedShape, 512, 2048 + 512 + 128, 128) { Levels = [new(1, 2048), new(8, 512), new(64, 128)] },
        new(GroupedShape, 512, 2048, 512 + 128 + 128),
    ];

    /// <summary>Sequences without a prefix.</summary>
    public static IReadOnlyList<AttentionCell> SuffixCells(IReadOnlyList<int> suffixes) => Product(UngroupedShape, [256], [0], suffixes);

    /// <summary>Every combination, the suffix running fastest.</summary>
    public static IReadOnlyList<AttentionCell> Product(
        AttentionShape shape, IReadOnlyList<int> batches, IReadOnlyList<int> prefixes, IReadOnlyList<int> suffixes) =>
        [.. from batch in batches from prefix in prefixes from suffix in suffixes select new AttentionCell(shape, batch, prefix, suffix)];
}
