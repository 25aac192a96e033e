using System.Globalization;
using System.Text.Json;
using Hydragen.Core;
using Hydragen.Cuda;

namespace Hydragen.Cli.Bench;

/// <summary>What a GPU can do at most.</summary>
/// <param name="ReadGigabytes">Reads of memory by 16-byte loads, 10⁹ bytes a second.</param>
/// <param name="SmallProductGflops">BF16 products of 4096³ by cuBLASLt, 10⁹ floating-point operations a second; null without the library.</param>
/// <param name="LargeProductGflops">The same of 8192³.</param>
/// <param name="EmptyGraphSeconds">What a graph of one kernel with nothing to do takes; every time contains it.</param>
internal sealed record GpuCeilings(double ReadGigabytes, double? SmallProductGflops, double? LargeProductGflops, double EmptyGraphSeconds) : ICeilings
{
    // Products of seconds are slower than the first ones, because the GPU runs into its power limit.
    private const double MaxChange = 0.1;

    private const int LargeProduct = 8192, SmallProduct = 4096;

    public string Description => string.Create(CultureInfo.InvariantCulture,
        $"memory reads {ReadGigabytes / 1e3:0.00} TB/s (16-byte loads); {Products}; an empty graph takes {EmptyGraphSeconds * 1e6:0.0} µs");

    public string? Warning => LargeProductGflops is null ? "cuBLASLt (libcublasLt.so.13 or .12) was not found: there is no ceiling of matrix products." : null;

    public double BestReadGigabytes => ReadGigabytes;

    /// <summary>Measures them.</summary>
    /// <param name="meter">Of the GPU.</param>
    /// <param name="maxBytes">The most memory to use.</param>
    /// <param name="cancellationToken">Ends it between two measurements.</param>
    public static GpuCeilings Measure(CudaMeter meter, long maxBytes, CancellationToken cancellationToken)
    {
        // Memory that was freed may still be wiped in the background, so reads are measured before and after the products.
        double first = meter.MeasureReadRate(maxBytes / 2);
        cancellationToken.ThrowIfCancellationRequested();
        double? small = meter.MeasureMatrixProducts(SmallProduct, 20) / 1e9, large = meter.MeasureMatrixProducts(LargeProduct, 5) / 1e9;
        double second = meter.MeasureReadRate(maxBytes / 2);
        return new GpuCeilings(Math.Max(first, second) / 1e9, small, large, meter.MeasureEmptyGraph());
    }

    private string Products => LargeProductGflops is null ? "matrix products unknown" : string.Create(CultureInfo.InvariantCulture,
        $"BF16 products of cuBLASLt {LargeProductGflops / 1e3:0} TFLOP/s (8192³), {SmallProductGflops / 1e3:0} TFLOP/s (4096³)");

    public double? PeakGflops(ElementType type) =>
        type == ElementType.Float32 || LargeProductGflops is null ? null : Math.Max(LargeProductGflops.Value, SmallProductGflops ?? 0);

    public bool IsLike(ICeilings other) => other is GpuCeilings ceilings && IsNear(ReadGigabytes, ceilings.ReadGigabytes)
        && IsNear(PeakGflops(ElementType.BFloat16) ?? 0, ceilings.PeakGflops(ElementType.BFloat16) ?? 0);

    public void Write(Utf8JsonWriter json)
    {
        json.WriteNumber("read_gbps", ReadGigabytes);
        if (SmallProductGflops is { } small) json.WriteNumber("cublaslt_4096_gflops", small);
        if (LargeProductGflops is { } large) json.WriteNumber("cublaslt_8192_gflops", large);
        json.WriteNumber("empty_graph_us", EmptyGraphSeconds * 1e6);
    }

    private static bool IsNear(double left, double right) => Math.Abs(left - right) <= MaxChange * Math.Max(left, right);
}
