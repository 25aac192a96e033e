using System.Globalization;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Spectre.Console;

namespace Hydragen.Cli.Bench;

/// <summary>The results of the attention benchmark, for people, programs and the eye.</summary>
internal sealed class AttentionReport(AttentionSetup setup, Ceilings ceilings)
{
    private readonly List<AttentionMeasurement> _rows = [];

    /// <summary>Adds the modes of a cell.</summary>
    /// <param name="rows">The modes, measured side by side.</param>
    /// <param name="output">Receives a JSON line a mode, or null.</param>
    public void Add(IReadOnlyList<AttentionMeasurement> rows, JsonLines? output)
    {
        _rows.AddRange(rows);
        if (output is null) return;
        AttentionMeasurement? shared = rows.FirstOrDefault(row => row.Mode == SharingMode.Hydragen);
        foreach (AttentionMeasurement row in rows) WriteJson(output, row, row == shared ? null : row.RatioTo(shared));
    }

    public void WriteTable(Terminal terminal)
    {
        Table table = BenchTable.Create(terminal,
            ["batch", "prefix", "suffix", "mode", "ms (min–max)", "GFLOP/s", "of peak", "GB/s", "of read", "× hydragen (min–max)", "machine"]);
        AttentionMeasurement? shared = null;
        foreach (AttentionMeasurement row in _rows)
        {
            if (row.Mode == SharingMode.Hydragen) shared = row;
            table.AddRow([.. Cells(row, shared?.Cell == row.Cell ? shared : null).Select(Markup.Escape)]);
        }
        BenchTable.Write(terminal, table);
        foreach (AttentionMeasurement row in _rows.Where(row => row.Skipped is not null))
            terminal.Note($"batch {row.Cell.Batch}, prefix {row.Cell.Prefix}, suffix {row.Cell.Suffix}, {row.Mode.Name()}: does not fit; {row.Skipped}");
        BenchTable.NoteNoise(terminal, _rows.Where(row => row.Skipped is null).DistinctBy(row => row.Cell).Select(row => row.State));
    }

    /// <summary>The ratio to sharing; times when there is nothing to divide by.</summary>
    public LineChart Chart()
    {
        static int[] Point(AttentionCell cell) => [cell.Suffix, cell.Prefix, cell.Batch];
        bool isRatio = setup.Modes.Contains(SharingMode.Hydragen) && setup.Modes.Count > 1;
        var sweep = new Sweep(["suffix", "prefix", "batch"], setup.Cells.Select(Point));
        string heads = $"{setup.Shape.NumHeads}/{setup.Shape.NumKvHeads} heads of {setup.Shape.HeadDim}, {setup.KvType.ShortName()}";
        var chart = new LineChart(
            isRatio ? "Attention step without sharing : with sharing" : "Attention step",
            string.Join(", ", ((string[])[heads, sweep.Constants]).Where(part => part.Length > 0)),
            sweep.AxisName, isRatio ? "times as long as with sharing" : "ms");
        foreach (AttentionMeasurement row in _rows.Where(row => row.Skipped is null && !(isRatio && row.Mode == SharingMode.Hydragen)))
        {
            int[] point = Point(row.Cell);
            double? y = isRatio ? row.RatioTo(SharedRow(row.Cell))?.Median : row.Time.Median * 1e3;
            if (y is not null) chart.Add(sweep.LineName(point, row.Mode.Name()), point[sweep.Axis], y.Value);
        }
        return chart;
    }

    private AttentionMeasurement? SharedRow(AttentionCell cell) => _rows.Find(row => row.Cell == cell && row.Mode == SharingMode.Hydragen);

    private string[] Cells(AttentionMeasurement row, AttentionMeasurement? shared)
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        string[] cell = [row.Cell.Batch.ToString(culture), row.Cell.Prefix.ToString(culture), row.Cell.Suffix.ToString(culture), row.Mode.Name()];
        if (row.Skipped is not null) return [.. cell, "does not fit", "", "", "", "", "", ""];
        double gflops = Gflops(row), gigabytes = Gigabytes(row);
        Spread ms = new(row.Time.Median * 1e3, row.Time.Min * 1e3, row.Time.Max * 1e3);
        Spread? ratio = row.Mode == SharingMode.Hydragen ? null : row.RatioTo(shared);
        return
        [
            .. cell,
            string.Create(culture, $"{ms.Median:0.000} ({ms.Min:0.000}–{ms.Max:0.000})"),
            gflops.ToString("0.0", culture), (gflops / Peak).ToString("0 %", culture),
            gigabytes.ToString("0.0", culture), (gigabytes / ceilings.BestReadGigabytes).ToString("0 %", culture),
            ratio is { } spread ? string.Create(culture, $"{spread.Median:0.00} ({spread.Min:0.00}–{spread.Max:0.00})") : "",
            string.Create(culture, $"{(row.State.IsQuiet ? "quiet" : "noisy")} {row.State.Share:0 %}"),
        ];
    }

    private void WriteJson(JsonLines output, AttentionMeasurement row, Spread? ratio) => output.Write(json =>
    {
        json.WriteString("type", "attention");
        json.WriteString("protocol", setup.Protocol);
        json.WriteNumber("batch", row.Cell.Batch);
        json.WriteNumber("prefix", row.Cell.Prefix);
        json.WriteNumber("suffix", row.Cell.Suffix);
        json.WriteNumber("query_length", setup.QueryLength);
        json.WriteNumber("heads", setup.Shape.NumHeads);
        json.WriteNumber("kv_heads", setup.Shape.NumKvHeads);
        json.WriteNumber("head_dim", setup.Shape.HeadDim);
        json.WriteString("kv_type", setup.KvType.ShortName());
        json.WriteString("mode", row.Mode.Name());
        if (row.Skipped is not null)
        {
            json.WriteString("skipped", row.Skipped);
            return;
        }
        json.WriteSpread("ms", new Spread(row.Time.Median * 1e3, row.Time.Min * 1e3, row.Time.Max * 1e3));
        json.WriteNumbers("samples_ms", row.Seconds.Select(seconds => seconds * 1e3));
        json.WriteNumber("calls_per_sample", row.CallsPerSample);
        json.WriteNumber("data_sets", row.NumLayers);
        json.WriteNumber("gflops", Gflops(row));
        json.WriteNumber("share_of_fma", Gflops(row) / ceilings.FmaGflops);
        json.WriteNumber("share_of_peak", Gflops(row) / Peak);
        json.WriteNumber("gbps", Gigabytes(row));
        json.WriteNumber("share_of_read", Gigabytes(row) / ceilings.BestReadGigabytes);
        if (ratio is not null) json.WriteSpread("ratio_to_hydragen", ratio.Value);
        json.WriteState(row.State);
    });

    private double Peak => ceilings.PeakGflops(setup.KvType);

    private double Gflops(AttentionMeasurement row) => setup.Flops(row.Cell) / row.Time.Median / 1e9;

    private double Gigabytes(AttentionMeasurement row) => setup.Bytes(row.Cell, row.Mode) / row.Time.Median / 1e9;
}
