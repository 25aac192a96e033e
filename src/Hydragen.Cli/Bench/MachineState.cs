namespace Hydragen.Cli.Bench;

/// <summary>The state of the machine at one moment.</summary>
/// <param name="Gflops">Rate of the state probe, 10⁹ floating-point operations a second.</param>
/// <param name="ProcessorShare">Processor time that the probe's threads got, as a share of the time that they ran; less than 1 when others compute.</param>
internal readonly record struct ProbeSample(double Gflops, double ProcessorShare);

/// <summary>The state probe right before and right after a measurement, and the best rate, in GFLOP/s, that the run had seen until then.</summary>
internal readonly record struct MachineState(ProbeSample Before, ProbeSample After, double Best)
{
    /// <summary>Below this share the machine counts as noisy.</summary>
    public const double QuietShare = 0.85;

    /// <summary>What was left of the machine: the worst of both rates as shares of the best, and of the shares of processor time.</summary>
    public double Share => Math.Min(
        Math.Min(Before.Gflops, After.Gflops) / Best, Math.Min(Before.ProcessorShare, After.ProcessorShare));

    public bool IsQuiet => Share >= QuietShare;
}
