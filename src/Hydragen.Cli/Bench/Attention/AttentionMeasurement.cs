using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>One mode of one cell.</summary>
/// <param name="Cell">The cell.</param>
/// <param name="Mode">The mode.</param>
/// <param name="NumLayers">Data sets that the calls took in turn.</param>
/// <param name="CallsPerSample">Calls that each sample is the mean or, on a GPU, the median of.</param>
/// <param name="Seconds">Seconds of a call, one sample a round; rounds of different modes belong together. Empty when it did not run.</param>
/// <param name="State">The machine around the rounds; null when it is not known.</param>
/// <param name="Skipped">Why it did not run, or null.</param>
internal sealed record AttentionMeasurement(
    AttentionCell Cell, AttentionMode Mode, int NumLayers, int CallsPerSample, IReadOnlyList<double> Seconds, MachineState? State, string? Skipped)
{
    /// <summary>The most device memory that the mode was seen to use, and what its cache, queries and outputs need; null when not measured.</summary>
    public (long UsedBytes, long NeededBytes)? Memory { get; init; }

    /// <summary>10⁹ bytes a second that memory gave right before or after, whichever was more; null when not measured.</summary>
    public double? ReadGigabytes { get; init; }

    /// <summary>How the nodes were computed; null when it did not run.</summary>
    public NodeSharing? Nodes { get; init; }

    public Spread Time => Spread.Of(Seconds);

    /// <summary>10⁹ floating-point operations a second.</summary>
    public double Gflops => Cell.Flops(Mode) / Time.Median / 1e9;

    /// <summary>How many times as long as <paramref name="other"/> it took, round by round; null when either did not run.</summary>
    public Spread? RatioTo(AttentionMeasurement? other) =>
        other is null || other.Seconds.Count == 0 || Seconds.Count == 0 ? null : Spread.OfRatios(Seconds, other.Seconds);
}
