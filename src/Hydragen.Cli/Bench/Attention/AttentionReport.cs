using System.Globalization;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Spectre.Console;

namespace Hydragen.Cli.Bench;

/// <summary>The results of the attention benchmark, for people, programs and the eye.</summary>
internal sealed class AttentionReport(AttentionSetup setup, AttentionRates rates, BenchUnits units)
{
    private readonly List<AttentionMeasurement> _rows = [];
    private readonly AttentionRows _cells = new(rates, units);

    /// <summary>Adds the modes of a cell.</summary>
    /// <param name="rows">The modes, measured side by side.</param>
    /// <param name="output">Receives a JSON line a mode, or null.</param>
    public void Add(IReadOnlyList<AttentionMeasurement> rows, JsonLines? output)
    {
        _rows.AddRange(rows);
        if (output is null) return;
        AttentionMeasurement? shared = rows.FirstOrDefault(row => row.Mode == AttentionMode.Hydragen);
        foreach (AttentionMeasurement row in rows) WriteJson(output, row, row == shared ? null : row.RatioTo(shared));
    }

    /// <summary>Whether there is anything to show.</summary>
    public bool HasRows => _rows.Count > 0;

    public void WriteTable(Terminal terminal)
    {
        bool hasState = _rows.Any(row => row.State is not null);
        string[] titles =
        [
            "batch", "prefix", "suffix", "mode", .. AttentionRows.Titles(units), "× limit",
            "× hydragen (min–max)", .. (string[])(hasState ? ["machine"] : []),
        ];
        Table table = BenchTable.Create(terminal, titles);
        AttentionMeasurement? shared = null;
        foreach (AttentionMeasurement row in _rows)
        {
            if (row.Mode == AttentionMode.Hydragen) shared = row;
            string[] cells = Cells(row, shared?.Cell == row.Cell ? shared : null);
            table.AddRow([.. cells.Concat(Enumerable.Repeat("", titles.Length)).Take(titles.Length).Select(Markup.Escape)]);
        }
        BenchTable.Write(terminal, table);
        foreach (AttentionMeasurement row in _rows.Where(row => row.Skipped is not null))
            terminal.Note($"batch {row.Cell.Batch}, prefix {row.Cell.Prefix}, suffix {row.Cell.Suffix}, {row.Mode.Name()}: does not fit; {row.Skipped}");
        BenchTable.NoteNoise(terminal, _rows.Where(row => row.Skipped is null).DistinctBy(row => row.Cell).Select(row => row.State).OfType<MachineState>());
    }

    /// <summary>The ratio to sharing; times when there is nothing to divide by.</summary>
    public LineChart Chart()
    {
        static int[] Point(AttentionCell cell) => [cell.Suffix, cell.Prefix, cell.Batch];
        bool isRatio = setup.Modes.Contains(AttentionMode.Hydragen) && setup.Modes.Count(mode => mode.IsWhole()) > 1;
        var sweep = new Sweep(["suffix", "prefix", "batch"], setup.Cells.Select(Point));
        string heads = string.Join(" and ", setup.Cells.Select(cell => $"{cell.Shape.NumHeads}/{cell.Shape.NumKvHeads} heads of {cell.Shape.HeadDim}").Distinct());
        var chart = new LineChart(
            isRatio ? "Attention step without sharing : with sharing" : "Attention step",
            string.Join(", ", ((string[])[$"{heads}, {setup.Types}", sweep.Constants]).Where(part => part.Length > 0)),
            sweep.AxisName, isRatio ? "times as long as with sharing" : units.Time);
        foreach (AttentionMeasurement row in _rows.Where(row => row.Skipped is null && row.Mode.IsWhole() && !(isRatio && row.Mode == AttentionMode.Hydragen)))
        {
            int[] point = Point(row.Cell);
            double? y = isRatio ? row.RatioTo(SharedRow(row.Cell))?.Median : row.Time.Median * units.TimesPerSecond;
            if (y is not null) chart.Add(sweep.LineName(point, row.Mode.Name()), point[sweep.Axis], y.Value);
        }
        return chart;
    }

    private AttentionMeasurement? SharedRow(AttentionCell cell) => _rows.Find(row => row.Cell == cell && row.Mode == AttentionMode.Hydragen);

    private string[] Cells(AttentionMeasurement row, AttentionMeasurement? shared)
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        string[] cell = [row.Cell.Batch.ToString(culture), row.Cell.Prefix.ToString(culture), row.Cell.Suffix.ToString(culture), row.Mode.Name()];
        if (row.Skipped is not null) return [.. cell, "does not fit"];
        Spread? ratio = row.Mode == AttentionMode.Hydragen ? null : row.RatioTo(shared);
        return
        [
            .. cell,
            .. _cells.Cells(row),
            rates.LimitSeconds(row.Cell, row.Mode) is { } limit ? (row.Time.Median / limit).ToString("0.00", culture) : "",
            ratio is { } spread ? BenchTable.Text(spread, "0.00") : "",
            AttentionRows.State(row),
        ];
    }

    private void WriteJson(JsonLines output, AttentionMeasurement row, Spread? ratio) => output.Write(json =>
    {
        json.WriteString("type", "attention");
        json.WriteString("protocol", setup.Protocol);
        json.WriteNumber("batch", row.Cell.Batch);
        json.WriteNumber("prefix", row.Cell.Prefix);
        if (row.Cell.Levels.Count > 1) json.WriteString("tree", string.Join(',', row.Cell.Levels.Select(level => $"{level.NumNodes}x{level.Length}")));
        json.WriteNumber("suffix", row.Cell.Suffix);
        if (row.Cell.Configuration is { } configuration) json.WriteNumber("generated", configuration.NumGenerated);
        AttentionRows.WriteShape(json, row.Cell);
        json.WriteString("kv_type", setup.KvType.ShortName());
        json.WriteString("prefix_kv_type", (setup.PrefixKvType ?? setup.KvType).ShortName());
        json.WriteString("mode", row.Mode.Name());
        if (row.Skipped is not null)
        {
            json.WriteString("skipped", row.Skipped);
            return;
        }
        _cells.WriteRates(json, row);
        if (rates.LimitSeconds(row.Cell, row.Mode) is { } limit) json.WriteNumber("limit_ms", limit * 1e3);
        if (ratio is not null) json.WriteSpread("ratio_to_hydragen", ratio.Value);
        if (row.Nodes is { } nodes)
        {
            json.WriteNumber("shared_nodes", nodes.NumShared);
            json.WriteNumber("folded_nodes", nodes.NumFolded);
        }
        if (row.Memory is { } memory)
        {
            json.WriteNumber("memory_bytes", memory.UsedBytes);
            json.WriteNumber("cache_and_buffer_bytes", memory.NeededBytes);
        }
        if (row.State is { } state) json.WriteState(state);
    });
}
