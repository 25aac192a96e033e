namespace Hydragen.Cli.Bench;

/// <summary>The state probe right before and right after a measurement, in GFLOP/s, and the best that the run had seen until then.</summary>
internal readonly record struct MachineState(double Before, double After, double Best)
{
    /// <summary>Below this share of the best state the machine counts as noisy.</summary>
    public const double QuietShare = 0.85;

    /// <summary>The worse of the two samples as a share of the best.</summary>
    public double Share => Math.Min(Before, After) / Best;

    public bool IsQuiet => Share >= QuietShare;
}
