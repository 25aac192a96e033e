using System.Globalization;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Spectre.Console;

namespace Hydragen.Cli.Bench;

/// <summary>The results of the decoding benchmark, for people, programs and the eye.</summary>
internal sealed class DecodingReport(IReadOnlyList<DecodingPoint> points, IReadOnlyList<AttentionSetup> setups, ICeilings ceilings, BenchUnits units)
{
    private readonly List<DecodingRow> _rows = [];
    private readonly Dictionary<ElementType, AttentionRates> _rates = setups.ToDictionary(setup => setup.KvType, setup => new AttentionRates(setup, ceilings));

    /// <summary>Adds the rows of a point.</summary>
    /// <param name="rows">One a type.</param>
    /// <param name="output">Receives a JSON line a row, or null.</param>
    public void Add(IReadOnlyList<DecodingRow> rows, JsonLines? output)
    {
        _rows.AddRange(rows);
        foreach (DecodingRow row in rows) output?.Write(json =>
        {
            AttentionCell cell = row.Point.Cell;
            json.WriteString("type", "decoding");
            json.WriteString("sweep", row.Point.Sweep.Name);
            json.WriteNumber("value", row.Point.Value);
            json.WriteNumber("batch", cell.Batch);
            json.WriteNumber("decoding", cell.QueryLength == 1 ? cell.Batch : cell.NumDecoding);
            json.WriteNumber("keys", cell.Suffix);
            AttentionRows.WriteShape(json, cell);
            json.WriteString("kv_type", row.Type.ShortName());
            if (row.Measurement.Skipped is { } reason)
            {
                json.WriteString("skipped", reason);
                return;
            }
            RowsOf(row.Type).WriteRates(json, row.Measurement);
            if (row.Measurement.State is { } state) json.WriteState(state);
        });
    }

    /// <summary>Whether there is anything to show.</summary>
    public bool HasRows => _rows.Count > 0;

    /// <summary>A table in the order of the sweeps, and what did not run.</summary>
    public void WriteTable(Terminal terminal)
    {
        bool hasState = _rows.Any(row => row.Measurement.State is not null);
        string[] titles = ["sweep", "batch", "queries", "keys", "type", .. AttentionRows.Titles(units), .. (string[])(hasState ? ["machine"] : [])];
        Table table = BenchTable.Create(terminal, titles);
        foreach (DecodingRow row in Ordered().Where(row => row.Measurement.Skipped is null))
            table.AddRow([.. Cells(row).Take(titles.Length).Select(Markup.Escape)]);
        BenchTable.Write(terminal, table);
        foreach (IGrouping<(string Name, string Reason), DecodingRow> group in Ordered().Where(row => row.Measurement.Skipped is not null)
            .GroupBy(row => (row.Point.Sweep.Name, row.Measurement.Skipped!)))
        {
            string places = string.Join(", ", group.GroupBy(row => row.Point.Value)
                .Select(rows => string.Create(CultureInfo.InvariantCulture, $"{rows.Key} ({string.Join(", ", rows.Select(row => row.Type.ShortName()))})")));
            terminal.Note($"{group.Key.Name} {places}: {group.Key.Reason}");
        }
        NoteReads(terminal);
        BenchTable.NoteNoise(terminal, _rows.Select(row => row.Measurement.State).OfType<MachineState>());
    }

    /// <summary>What each type reads at the largest point of the sweeps that wait for memory, beside the ceiling.</summary>
    private void NoteReads(Terminal terminal)
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        foreach (IGrouping<DecodingSweep, DecodingRow> sweep in Ordered().Where(row => row.Point.Sweep.ReadsMemory && row.Measurement.Skipped is null).GroupBy(row => row.Point.Sweep))
        {
            DecodingPoint largest = sweep.Last().Point;
            DecodingRow[] rows = [.. sweep.Where(row => row.Point == largest)];
            string types = string.Join(", ", rows.Select(row => string.Create(culture,
                $"{row.Type.ShortName()} {(_rates[row.Type].Gigabytes(row.Measurement) / _rates[row.Type].ReadFor(row.Measurement)).ToString("0 %", culture)}")));
            string[] ceilingsOfRows = [.. rows.Select(row => _rates[row.Type].ReadFor(row.Measurement)).Order().Select(
                rate => (rate / units.RateScale).ToString(units.RateFormat, culture))];
            string ceiling = ceilingsOfRows[0] == ceilingsOfRows[^1] ? ceilingsOfRows[0] : $"{ceilingsOfRows[0]} to {ceilingsOfRows[^1]}";
            terminal.Note($"{sweep.Key.Name} at {largest.Value.ToString(culture)} {sweep.Key.AxisName}, share of the {ceiling} {units.Reads} that memory reads reach: {types}");
        }
    }

    /// <summary>A chart a sweep: one line a type, and the ceilings.</summary>
    public IReadOnlyList<LineChart> Charts()
    {
        var charts = new List<LineChart>();
        foreach (DecodingSweep sweep in points.Select(point => point.Sweep).Distinct())
        {
            AttentionShape shape = points[0].Cell.Shape;
            var chart = new LineChart(
                sweep.Title, $"{shape.NumHeads}/{shape.NumKvHeads} heads of {shape.HeadDim}", sweep.AxisName, sweep.ReadsMemory ? units.Reads : units.Arithmetic);
            DecodingRow[] rows = [.. Ordered().Where(row => row.Point.Sweep == sweep && row.Measurement.Skipped is null)];
            foreach (DecodingRow row in rows)
            {
                double rate = sweep.ReadsMemory ? _rates[row.Type].Gigabytes(row.Measurement) : row.Measurement.Gflops;
                chart.Add(row.Type.ShortName(), row.Point.Value, rate / units.RateScale);
            }
            foreach ((string name, double ceiling) in CeilingsOf(sweep))
            {
                foreach (int value in rows.Select(row => row.Point.Value).Distinct()) chart.Add(name, value, ceiling / units.RateScale);
            }
            charts.Add(chart);
        }
        return charts;
    }

    private IEnumerable<(string Name, double Rate)> CeilingsOf(DecodingSweep sweep) => sweep.ReadsMemory
        ? [("memory reads", ceilings.BestReadGigabytes)]
        : _rates.Where(rates => rates.Value.Peak is not null).GroupBy(rates => rates.Value.Peak!.Value, rates => rates.Key.ShortName())
            .Select(types => ($"peak, {string.Join(", ", types)}", types.Key));

    /// <summary>In the order of sweeps, points and types, whatever order they were measured in.</summary>
    private IEnumerable<DecodingRow> Ordered()
    {
        ILookup<DecodingPoint, DecodingRow> rows = _rows.ToLookup(row => row.Point);
        return points.SelectMany(point => rows[point]);
    }

    private AttentionRows RowsOf(ElementType type) => new(_rates[type], units);

    private string[] Cells(DecodingRow row)
    {
        AttentionCell cell = row.Point.Cell;
        CultureInfo culture = CultureInfo.InvariantCulture;
        string queries = cell.NumDecoding == 0 || cell.QueryLength == 1 ? cell.QueryLength.ToString(culture)
            : cell.NumDecoding == cell.Batch ? "1" : string.Create(culture, $"{cell.NumDecoding}×1, {cell.Batch - cell.NumDecoding}×{cell.QueryLength}");
        return
        [
            row.Point.Sweep.Name, cell.Batch.ToString(culture), queries, cell.Suffix.ToString(culture), row.Type.ShortName(),
            .. RowsOf(row.Type).Cells(row.Measurement), AttentionRows.State(row.Measurement),
        ];
    }
}
