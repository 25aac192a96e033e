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
        json.WriteNumber("before_gflops", state.Before);
        json.WriteNumber("after_gflops", state.After);
        json.WriteNumber("share_of_best", state.Share);
        json.WriteBoolean("quiet", state.IsQuiet);
        json.WriteEndObject();
    }
}
