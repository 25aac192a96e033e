namespace Hydragen.Cli.Bench;

/// <summary>One run of a probe.</summary>
/// <param name="Rate">10⁹ floating-point operations or bytes a second.</param>
/// <param name="ProcessorShare">Processor time that the probe's threads got, as a share of the time that they ran; less than 1 when others compute.</param>
internal readonly record struct ProbeSample(double Rate, double ProcessorShare);
