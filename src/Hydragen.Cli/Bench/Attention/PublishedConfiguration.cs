using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>
/// One of the ten configurations for which tokens a second of attention have been published (the reference implementation on an NVIDIA
/// A100): sequences that share a prefix generate tokens, so that their suffix grows from 1 to the last.
/// </summary>
/// <param name="Batch">Sequences.</param>
/// <param name="Prefix">Shared tokens.</param>
/// <param name="NumGenerated">Tokens that each sequence generates.</param>
/// <param name="NumKvHeads">Key/value heads; there are 32 query heads of 128.</param>
/// <param name="PublishedTokensPerSecond">The published figure.</param>
internal sealed record PublishedConfiguration(int Batch, int Prefix, int NumGenerated, int NumKvHeads, int PublishedTokensPerSecond)
{
    /// <summary>All ten.</summary>
    public static IReadOnlyList<PublishedConfiguration> All { get; } =
    [
        new(64, 1024, 512, 32, 54_183),
        new(64, 2048, 512, 32, 52_424),
        new(256, 2048, 512, 32, 10_365),
        new(256, 2048, 1024, 32, 4_678),
        new(256, 4096, 1024, 32, 4_680),
        new(512, 2048, 512, 8, 66_894),
        new(512, 4096, 512, 8, 65_739),
        new(1024, 4096, 512, 8, 41_175),
        new(1024, 8192, 512, 8, 40_716),
        new(1024, 16384, 512, 8, 40_497),
    ];

    /// <summary>Heads.</summary>
    public AttentionShape Shape => NumKvHeads == 32 ? AttentionProtocols.UngroupedShape : AttentionProtocols.GroupedShape;

    /// <summary>Suffixes that are measured.</summary>
    public IReadOnlyList<int> Suffixes => [1, NumGenerated / 4, NumGenerated / 2, NumGenerated * 3 / 4, NumGenerated];

    /// <summary>The points that are measured; parts of a step at the last only.</summary>
    public IEnumerable<AttentionCell> Cells => Suffixes.Select(
        suffix => new AttentionCell(Shape, Batch, Prefix, suffix) { HasParts = suffix == NumGenerated, Configuration = this });

    /// <summary>The mean of something over the generated tokens, from its values at <see cref="Suffixes"/>: the trapezoid rule.</summary>
    /// <exception cref="ArgumentException">There is not one value for each suffix.</exception>
    public double Mean(IReadOnlyList<double> values)
    {
        IReadOnlyList<int> suffixes = Suffixes;
        if (values.Count != suffixes.Count) throw new ArgumentException($"There are {values.Count} values for {suffixes.Count} suffixes.", nameof(values));
        double area = 0;
        for (int i = 1; i < values.Count; i++) area += (suffixes[i] - suffixes[i - 1]) * (values[i] + values[i - 1]) / 2;
        return area / (suffixes[^1] - suffixes[0]);
    }
}
