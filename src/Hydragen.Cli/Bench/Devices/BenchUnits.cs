namespace Hydragen.Cli.Bench;

/// <summary>Units of a table.</summary>
/// <param name="Time">Name of the unit of time.</param>
/// <param name="TimesPerSecond">How many are a second.</param>
/// <param name="Arithmetic">Name of the unit of arithmetic.</param>
/// <param name="Reads">Name of the unit of reads.</param>
/// <param name="RateScale">That unit of both in 10⁹ a second.</param>
internal sealed record BenchUnits(string Time, double TimesPerSecond, string Arithmetic, string Reads, double RateScale)
{
    public static BenchUnits Processor { get; } = new("ms", 1e3, "GFLOP/s", "GB/s", 1);

    public static BenchUnits Gpu { get; } = new("µs", 1e6, "TFLOP/s", "TB/s", 1e3);

    /// <summary>Digits behind the point of a time.</summary>
    public string TimeFormat => RateScale == 1 ? "0.000" : "0.0";

    /// <summary>Digits behind the point of a rate.</summary>
    public string RateFormat => RateScale == 1 ? "0.0" : "0.00";
}
