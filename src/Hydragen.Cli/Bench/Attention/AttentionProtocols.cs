using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>The shapes and sweeps that have names.</summary>
internal static class AttentionProtocols
{
    public const string Published = "published", Micro = "micro", Custom = "custom";

    /// <summary>Heads of the published measurement: one of eight parts of a 34-billion-parameter model.</summary>
    public static AttentionShape PublishedShape { get; } = new(numHeads: 8, numKvHeads: 1, headDim: 128);

    public static AttentionShape MicroShape { get; } = new(numHeads: 8, numKvHeads: 2, headDim: 128);

    /// <summary>Suffix lengths of the published measurement.</summary>
    public static IReadOnlyList<int> PublishedSuffixes { get; } = [.. Enumerable.Range(0, 33).Select(i => 16 * i)];

    /// <summary>The micro-benchmark of the paper (arXiv 2402.05099, figure 4): four pairs of batch and prefix, suffixes swept.</summary>
    public static IReadOnlyList<AttentionCell> PublishedCells(IReadOnlyList<int> suffixes)
    {
        (int Batch, int Prefix)[] pairs = [(512, 1024), (1024, 2048), (2048, 4096), (4096, 8192)];
        return [.. pairs.SelectMany(pair => suffixes.Select(suffix => new AttentionCell(pair.Batch, pair.Prefix, suffix)))];
    }

    /// <summary>A decode step that a CPU can do in milliseconds.</summary>
    public static IReadOnlyList<AttentionCell> MicroCells { get; } = Product([64], [1024, 4096, 16384], [128]);

    /// <summary>Every combination, the suffix running fastest.</summary>
    public static IReadOnlyList<AttentionCell> Product(IReadOnlyList<int> batches, IReadOnlyList<int> prefixes, IReadOnlyList<int> suffixes) =>
        [.. from batch in batches from prefix in prefixes from suffix in suffixes select new AttentionCell(batch, prefix, suffix)];
}
