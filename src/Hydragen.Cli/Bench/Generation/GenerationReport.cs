using System.Globalization;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Hydragen.Models;
using Spectre.Console;

namespace Hydragen.Cli.Bench;

/// <summary>The results of the generation benchmark, for people, programs and the eye.</summary>
internal sealed class GenerationReport(GenerationSetup setup, ModelConfiguration model, ICeilings ceilings)
{
    private readonly List<GenerationMeasurement> _rows = [];

    /// <summary>Adds the modes of a cell.</summary>
    /// <param name="rows">The modes, measured side by side.</param>
    /// <param name="output">Receives a JSON line a mode, or null.</param>
    public void Add(IReadOnlyList<GenerationMeasurement> rows, JsonLines? output)
    {
        _rows.AddRange(rows);
        if (output is null) return;
        foreach (GenerationMeasurement row in rows) WriteJson(output, row);
    }

    public void WriteTable(Terminal terminal)
    {
        Table table = BenchTable.Create(terminal,
            ["PP", "own", "TG", "B", "mode", "N_KV", "KV MiB", "T_PP s", "S_PP t/s", "T_TG s", "S_TG t/s (min–max)", "of ceiling", "GFLOP/s", "of peak",
             "hydragen × (min–max)", "machine"]);
        foreach (GenerationMeasurement row in _rows) table.AddRow([.. Cells(row).Select(Markup.Escape)]);
        BenchTable.Write(terminal, table);
        terminal.Note("PP: tokens of the shared prompt; own: prompt tokens of each sequence behind it; TG: new tokens of each of B sequences; N_KV: tokens in KV memory; T: median time; S: tokens a second.");
        foreach (GenerationMeasurement row in _rows.Where(row => row.Skipped is not null))
            terminal.Note($"PP {row.Cell.Prefix}, own {row.Cell.Suffix}, TG {row.Cell.NewTokens}, B {row.Cell.Batch}, {row.Mode.Name()}: does not fit; {row.Skipped}");
        BenchTable.NoteNoise(terminal, _rows.Where(row => row.State is not null).DistinctBy(row => row.Cell).Select(row => row.State!.Value));
    }

    /// <summary>Decode speed.</summary>
    public LineChart Chart()
    {
        static int[] Point(GenerationCell cell) => [cell.Prefix, cell.Batch, cell.NewTokens, cell.Suffix];
        var sweep = new Sweep(["prefix", "batch", "new tokens", "suffix"], setup.Cells.Select(Point));
        string weights = setup.WeightType == WeightType.Model ? "" : $", {setup.WeightType.Name()} weights";
        string kv = setup.KvType == setup.ComputeType ? "" : $", {setup.KvType.ShortName()} keys and values";
        string model = $"{setup.ModelName}, {setup.ComputeType.ShortName()}{kv}{weights}";
        var chart = new LineChart(
            "Decoding behind a shared prompt", string.Join(", ", ((string[])[model, sweep.Constants]).Where(part => part.Length > 0)),
            sweep.AxisName, "tokens a second, all sequences");
        foreach (GenerationMeasurement row in _rows.Where(row => row.Skipped is null))
        {
            int[] point = Point(row.Cell);
            chart.Add(sweep.LineName(point, row.Mode.Name()), point[sweep.Axis], row.DecodeSpeed.Median);
        }
        return chart;
    }

    private string[] Cells(GenerationMeasurement row)
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        string[] cell =
        [
            row.Cell.Prefix.ToString(culture), row.Cell.Suffix.ToString(culture), row.Cell.NewTokens.ToString(culture), row.Cell.Batch.ToString(culture), row.Mode.Name(),
            row.Cell.NumKvTokens(row.Mode).ToString(culture),
        ];
        if (row.Skipped is not null) return [.. cell, "does not fit", "", "", "", "", "", "", "", "", ""];
        Spread speed = row.DecodeSpeed;
        Spread? gain = row.Mode is SharingMode.Hydragen or SharingMode.NoAttention ? null : Row(row.Cell, SharingMode.Hydragen)?.SpeedRelativeTo(row);
        Spread? ofCeiling = row.Mode == SharingMode.NoAttention ? null : row.SpeedRelativeTo(Row(row.Cell, SharingMode.NoAttention));
        return
        [
            .. cell,
            (row.Rounds[0].PeakKvBytes / 1048576.0).ToString("0.0", culture),
            row.PrefillSeconds.Median.ToString("0.000", culture), row.PrefillSpeed.Median.ToString("0.0", culture),
            row.DecodeSeconds.Median.ToString("0.000", culture),
            string.Create(culture, $"{speed.Median:0.0} ({speed.Min:0.0}–{speed.Max:0.0})"),
            ofCeiling?.Median.ToString("0 %", culture) ?? "",
            Gflops(row).ToString("0.0", culture), (Gflops(row) / Peak)?.ToString("0 %", culture) ?? "",
            gain is { } spread ? string.Create(culture, $"{spread.Median:0.00} ({spread.Min:0.00}–{spread.Max:0.00})") : "",
            row.State is { } state ? string.Create(culture, $"{(state.IsQuiet ? "quiet" : "noisy")} {state.Share:0 %}") : "",
        ];
    }

    private void WriteJson(JsonLines output, GenerationMeasurement row) => output.Write(json =>
    {
        json.WriteString("type", "generate");
        json.WriteString("model", setup.ModelName);
        json.WriteString("compute_type", setup.ComputeType.ShortName());
        json.WriteString("kv_type", setup.KvType.ShortName());
        json.WriteString("weight_type", setup.WeightType.Name());
        json.WriteNumber("batch", row.Cell.Batch);
        json.WriteNumber("prefix", row.Cell.Prefix);
        json.WriteNumber("suffix", row.Cell.Suffix);
        json.WriteNumber("new_tokens", row.Cell.NewTokens);
        json.WriteString("mode", row.Mode.Name());
        if (row.Skipped is not null)
        {
            json.WriteString("skipped", row.Skipped);
            return;
        }
        json.WriteNumber("kv_tokens", row.Cell.NumKvTokens(row.Mode));
        json.WriteNumber("kv_bytes", row.Rounds[0].PeakKvBytes);
        json.WriteNumbers("prefill_seconds", row.Rounds.Select(round => round.PrefillTime.TotalSeconds));
        json.WriteNumbers("decode_seconds", row.Rounds.Select(round => round.DecodeTime.TotalSeconds));
        json.WriteSpread("prefill_tokens_per_second", row.PrefillSpeed);
        json.WriteSpread("decode_tokens_per_second", row.DecodeSpeed);
        json.WriteNumber("decode_gflops", Gflops(row));
        if (ceilings is Ceilings processor) json.WriteNumber("share_of_fma", Gflops(row) / processor.FmaGflops);
        if (Peak is { } peak) json.WriteNumber("share_of_peak", Gflops(row) / peak);
        if (row.Mode != SharingMode.Hydragen && Row(row.Cell, SharingMode.Hydragen)?.SpeedRelativeTo(row) is { } gain)
            json.WriteSpread("hydragen_speed_relative_to_this", gain);
        if (row.State is { } state) json.WriteState(state);
    });

    private double? Peak => ceilings.PeakGflops(setup.ComputeType);

    private GenerationMeasurement? Row(GenerationCell cell, SharingMode mode) => _rows.Find(row => row.Cell == cell && row.Mode == mode);

    private double Gflops(GenerationMeasurement row) =>
        GenerationSetup.DecodeFlops(model, row.Cell, row.Mode) / row.DecodeSeconds.Median / 1e9;
}
