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

    public static void WriteCeilings(this Utf8JsonWriter json, ICeilings ceilings)
    {
        json.WriteStartObject("ceilings");
        ceilings.Write(json);
        json.WriteEndObject();
    }
}
