namespace Hydragen.Cli.Bench;

/// <summary>The state probe right before and right after a measurement, and the best rate, in GFLOP/s, that the run had seen until then.</summary>
internal readonly record struct MachineState(ProbeSample Before, ProbeSample After, double Best)
{
    /// <summary>Below this share the machine counts as noisy.</summary>
    public const double QuietShare = 0.85;

    /// <summary>What was left of the machine: the worst of both rates as shares of their peaks or of the best, and of the shares of processor time.</summary>
    public double Share => Math.Min(ShareOf(Before), ShareOf(After));

    public bool IsQuiet => Share >= QuietShare;

    private double ShareOf(ProbeSample sample) => Math.Min(sample.Rate / (sample.Peak ?? Best), sample.ProcessorShare);
}
