using System.Globalization;
using System.Text.Json;

namespace Hydragen.Cli.Bench;

/// <summary>What the rows of all measurements of attention have in common, in tables and in JSON.</summary>
/// <param name="rates">Rates and ceilings of the data's type.</param>
/// <param name="units">Units of tables.</param>
internal sealed class AttentionRows(AttentionRates rates, BenchUnits units)
{
    /// <summary>Titles of <see cref="Cells"/>.</summary>
    public static string[] Titles(BenchUnits units) => [$"{units.Time} (min–max)", units.Arithmetic, "of peak", units.Reads, "of read"];

    /// <summary>Time, rates and their shares of the ceilings.</summary>
    public string[] Cells(AttentionMeasurement row)
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        double gigabytes = rates.Gigabytes(row);
        var time = new Spread(row.Time.Median * units.TimesPerSecond, row.Time.Min * units.TimesPerSecond, row.Time.Max * units.TimesPerSecond);
        return
        [
            BenchTable.Text(time, units.TimeFormat),
            (row.Gflops / units.RateScale).ToString(units.RateFormat, culture), rates.Peak is { } peak ? (row.Gflops / peak).ToString("0 %", culture) : "",
            (gigabytes / units.RateScale).ToString(units.RateFormat, culture), (gigabytes / rates.ReadFor(row)).ToString("0 %", culture),
        ];
    }

    /// <summary>The machine around a row.</summary>
    public static string State(AttentionMeasurement row) => row.State is { } state
        ? string.Create(CultureInfo.InvariantCulture, $"{(state.IsQuiet ? "quiet" : "noisy")} {state.Share:0 %}") : "";

    /// <summary>The shape of a row.</summary>
    public static void WriteShape(Utf8JsonWriter json, AttentionCell cell)
    {
        json.WriteNumber("query_length", cell.QueryLength);
        json.WriteNumber("heads", cell.Shape.NumHeads);
        json.WriteNumber("kv_heads", cell.Shape.NumKvHeads);
        json.WriteNumber("head_dim", cell.Shape.HeadDim);
    }

    /// <summary>Times, rates and their shares of the ceilings.</summary>
    public void WriteRates(Utf8JsonWriter json, AttentionMeasurement row)
    {
        json.WriteSpread("ms", new Spread(row.Time.Median * 1e3, row.Time.Min * 1e3, row.Time.Max * 1e3));
        json.WriteNumbers("samples_ms", row.Seconds.Select(seconds => seconds * 1e3));
        json.WriteNumber("calls_per_sample", row.CallsPerSample);
        json.WriteNumber("data_sets", row.NumLayers);
        json.WriteNumber("gflops", row.Gflops);
        if (rates.Fma is { } fma) json.WriteNumber("share_of_fma", row.Gflops / fma);
        if (rates.Peak is { } peak) json.WriteNumber("share_of_peak", row.Gflops / peak);
        json.WriteNumber("gbps", rates.Gigabytes(row));
        json.WriteNumber("read_ceiling_gbps", rates.ReadFor(row));
        json.WriteNumber("share_of_read", rates.Gigabytes(row) / rates.ReadFor(row));
    }
}
