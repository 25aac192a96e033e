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
        json.WriteNumber("before_processor_share", state.Before.ProcessorShare);
        json.WriteNumber("after_processor_share", state.After.ProcessorShare);
        json.WriteNumber("best_gflops", state.Best);
        json.WriteNumber("share", state.Share);
        json.WriteBoolean("quiet", state.IsQuiet);
        json.WriteEndObject();
    }

    /// <summary>What <see cref="WriteState"/> wrote.</summary>
    public static MachineState ReadState(this JsonElement json)
    {
        ProbeSample Sample(string name) => new(
            json.GetProperty(name + "_gflops").GetDouble(), json.GetProperty(name + "_processor_share").GetDouble(),
            json.TryGetProperty(name + "_peak_gflops", out JsonElement peak) ? peak.GetDouble() : null);
        return new MachineState(Sample("before"), Sample("after"), json.GetProperty("best_gflops").GetDouble());
    }

    /// <summary>The numbers of an array.</summary>
    public static double[] ReadNumbers(this JsonElement json, string name) => [.. json.GetProperty(name).EnumerateArray().Select(value => value.GetDouble())];

    /// <summary>The mode of a name on the command line.</summary>
    public static SharingMode ParseSharingMode(string name) => Enum.GetValues<SharingMode>().Single(mode => mode.Name() == name);

    public static void WriteCeilings(this Utf8JsonWriter json, ICeilings ceilings)
    {
        json.WriteStartObject("ceilings");
        ceilings.Write(json);
        json.WriteEndObject();
    }
}
