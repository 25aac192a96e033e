using System.Text.Json;
using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>What the lines of all benchmarks have in common.</summary>
internal static class BenchJson
{
    /// <summary>The mode's name on the command line.</summary>
    public static string Name(this SharingMode mode) => mode == SharingMode.NoAttention ? "no-attention" : mode.ToString().ToLowerInvariant();

    public static void WriteSpread(this Utf8JsonWriter json, string name, Spread spread)
    {
        json.WriteStartObject(name);
        json.WriteNumber("median", spread.Median);
        json.WriteNumber("min", spread.Min);
        json.WriteNumber("max", spread.Max);
        json.WriteEndObject();
    }

    public static void WriteNumbers(this Utf8JsonWriter json, string name, IEnumerable<double> values)
    {
        json.WriteStartArray(name);
        foreach (double value in values) json.WriteNumberValue(value);
        json.WriteEndArray();
    }

    public static void WriteState(this Utf8JsonWriter json, MachineState state)
    {
        json.WriteStartObject("machine_state");
        json.WriteNumber("before_gflops", state.Before.Rate);
        json.WriteNumber("after_gflops", state.After.Rate);
        if (state.Before.Peak is { } peakBefore) json.WriteNumber("before_peak_gflops", peakBefore);
        if (state.After.Peak is { } peakAfter) json.WriteNumber("after_peak_gflops", peakAfter);
        json.WriteNumber("share", state.Share);
        json.WriteBoolean("quiet", state.IsQuiet);
        json.WriteEndObject();
    }

    public static void WriteCeilings(this Utf8JsonWriter json, Ceilings ceilings)
    {
        json.WriteStartObject("ceilings");
        json.WriteNumber("fma_gflops", ceilings.FmaGflops);
        json.WriteNumber("bf16_gflops", ceilings.BFloat16Gflops);
        json.WriteString("bf16_unit", ceilings.BFloat16Unit);
        if (ceilings.FedBFloat16Gflops is { } fed) json.WriteNumber("bf16_from_l1_gflops", fed);
        json.WriteNumber("fma_from_l1_gflops", ceilings.FedFmaGflops);
        json.WriteNumber("read_gbps", ceilings.ReadGigabytes);
        json.WriteNumber("read_streams_gbps", ceilings.StreamsReadGigabytes);
        json.WriteNumber("read_buffer_bytes", ceilings.BufferBytes);
        json.WriteNumber("processor_share", ceilings.ProcessorShare);
        json.WriteEndObject();
    }
}
