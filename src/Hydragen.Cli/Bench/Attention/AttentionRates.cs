namespace Hydragen.Cli.Bench;

/// <summary>Times of steps turned into rates, and the least time that the ceilings of the same run allow.</summary>
internal sealed class AttentionRates(AttentionSetup setup, ICeilings ceilings)
{
    // What a launch may take where there is hardly anything to compute.
    private const double LaunchSeconds = 8e-6;

    /// <summary>The arithmetic ceiling, 10⁹ floating-point operations a second; null when unknown.</summary>
    public double? Peak => ceilings.PeakGflops(setup.QueryType);

    /// <summary>FP32 multiply-adds of a processor, 10⁹ floating-point operations a second; null on a GPU.</summary>
    public double? Fma => (ceilings as Ceilings)?.FmaGflops;

    /// <summary>The ceiling of reads, 10⁹ bytes a second.</summary>
    public double Read => ceilings.BestReadGigabytes;

    /// <summary>What the reads of a row are compared with: those of memory around it, or else the ceiling.</summary>
    public double ReadFor(AttentionMeasurement row) => row.ReadGigabytes ?? Read;

    /// <summary>10⁹ bytes of keys and values a second.</summary>
    public double Gigabytes(AttentionMeasurement row) => setup.Bytes(row.Cell, row.Mode) / row.Time.Median / 1e9;

    /// <summary>
    /// Two times that a step cannot go below: that of the products over shared keys at the arithmetic ceiling, and that of reading all keys
    /// and values at the ceiling of reads. Null for modes without sharing, and where a ceiling is unknown.
    /// </summary>
    public (double Products, double Reads)? FloorSeconds(AttentionCell cell, AttentionMode mode)
    {
        if (mode is AttentionMode.Paged or AttentionMode.Copied || Peak is not { } peak) return null;
        double products = mode == AttentionMode.Sequences ? 0 : cell.Flops(AttentionMode.Nodes) / peak / 1e9;
        return (products, setup.Bytes(cell, mode) / Read / 1e9);
    }

    /// <summary>The longer of the two; short suffixes may take 8 µs more.</summary>
    public double? LimitSeconds(AttentionCell cell, AttentionMode mode) => FloorSeconds(cell, mode) is { } floors
        ? Math.Max(floors.Products, floors.Reads) + (setup.Protocol == AttentionProtocols.Suffix ? LaunchSeconds : 0) : null;
}
