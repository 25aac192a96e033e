namespace Hydragen.Cli.Bench;

/// <summary>One run of a probe.</summary>
/// <param name="Rate">10⁹ floating-point operations or bytes a second.</param>
/// <param name="ProcessorShare">Processor time that the probe's threads got, as a share of the time that they ran; less than 1 when others compute.</param>
/// <param name="Peak">The rate of the same work on registers alone, right before; null where the best of the run takes its place.</param>
internal readonly record struct ProbeSample(double Rate, double ProcessorShare, double? Peak = null);
