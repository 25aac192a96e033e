using System.Globalization;
using System.Text.Json;
using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Cli.Bench;

/// <summary>What this machine can do at most, measured with all threads; the best of several attempts.</summary>
/// <param name="NumLanes">FP32 lanes of the vectors used.</param>
/// <param name="FmaGflops">FP32 multiply-adds on registers, 10⁹ floating-point operations a second.</param>
/// <param name="FedFmaGflops">The same with one operand from the first-level cache; the machine-state probe where there are no tiles.</param>
/// <param name="ReadGigabytes">10⁹ bytes a second read from memory, one stream a thread.</param>
/// <param name="StreamsReadGigabytes">The same, several streams a thread.</param>
/// <param name="BufferBytes">Memory that was read.</param>
/// <param name="ProcessorShare">The best share of processor time that an attempt got; less than 1 when others computed all the time.</param>
internal sealed record Ceilings(
    int NumLanes, double FmaGflops, double FedFmaGflops, double ReadGigabytes, double StreamsReadGigabytes, long BufferBytes, double ProcessorShare) : ICeilings
{
    /// <summary>Ceilings of one machine that differ by more than this say that it was noisy.</summary>
    private const double MaxChange = 0.15;

    /// <summary>Products of BF16 on registers, 10⁹ floating-point operations a second, in the fastest unit that the operators use for them.</summary>
    public double BFloat16Gflops { get; init; } = FmaGflops;

    /// <summary>That unit's instruction.</summary>
    public string BFloat16Unit { get; init; } = "FP32 multiply-add";

    /// <summary>The same with operands from the first-level cache, where that is the machine-state probe; else null.</summary>
    public double? FedBFloat16Gflops { get; init; }

    public string Description => string.Create(CultureInfo.InvariantCulture,
        $"{FmaGflops:0} GFLOP/s FP32 ({NumLanes} lanes), {BFloat16Gflops:0} GFLOP/s BF16 ({BFloat16Unit}), memory reads {ReadGigabytes:0.0} GB/s in one stream a thread, {StreamsReadGigabytes:0.0} GB/s in {ProbeKernels.NumStreams}");

    public string? Warning => ProcessorShare >= MachineState.QuietShare ? null : string.Create(CultureInfo.InvariantCulture,
        $"Other programs compute: the ceilings were measured with {ProcessorShare:0 %} of the processors and are too low.");

    /// <summary>The better of the two ways to read.</summary>
    public double BestReadGigabytes => Math.Max(ReadGigabytes, StreamsReadGigabytes);

    /// <summary>The arithmetic ceiling of operators on a type of data.</summary>
    public double PeakGflops(ElementType type) => type == ElementType.BFloat16 ? BFloat16Gflops : FmaGflops;

    double? ICeilings.PeakGflops(ElementType type) => PeakGflops(type);

    public bool IsLike(ICeilings other) => other is Ceilings ceilings
        && IsNear(FmaGflops, ceilings.FmaGflops) && IsNear(BFloat16Gflops, ceilings.BFloat16Gflops)
        && IsNear(FedFmaGflops, ceilings.FedFmaGflops) && IsNear(BestReadGigabytes, ceilings.BestReadGigabytes);

    public void Write(Utf8JsonWriter json)
    {
        json.WriteNumber("fma_gflops", FmaGflops);
        json.WriteNumber("bf16_gflops", BFloat16Gflops);
        json.WriteString("bf16_unit", BFloat16Unit);
        if (FedBFloat16Gflops is { } fed) json.WriteNumber("bf16_from_l1_gflops", fed);
        json.WriteNumber("fma_from_l1_gflops", FedFmaGflops);
        json.WriteNumber("read_gbps", ReadGigabytes);
        json.WriteNumber("read_streams_gbps", StreamsReadGigabytes);
        json.WriteNumber("read_buffer_bytes", BufferBytes);
        json.WriteNumber("processor_share", ProcessorShare);
    }

    private static bool IsNear(double left, double right) => Math.Abs(left - right) <= MaxChange * Math.Max(left, right);
}
