using System.Globalization;
using Hydragen.Cli.Output;
using Spectre.Console;

namespace Hydragen.Cli.Bench;

/// <summary>
/// The published configurations: a step averaged over a suffix that grows from the first generated token to the last, tokens a second,
/// memory, and the figure that was published.
/// </summary>
internal sealed class PublishedReport(AttentionRates rates, BenchUnits units)
{
    private const string Unknown = "";

    private readonly Dictionary<(PublishedConfiguration Configuration, AttentionMode Mode), List<AttentionMeasurement>> _points = [];

    /// <summary>Adds the modes of a cell, and writes a JSON line for each configuration and mode that is complete now.</summary>
    public void Add(IReadOnlyList<AttentionMeasurement> rows, JsonLines? output)
    {
        foreach (AttentionMeasurement row in rows.Where(row => row.Cell.Configuration is not null && row.Mode.IsWhole()))
        {
            (PublishedConfiguration Configuration, AttentionMode Mode) key = (row.Cell.Configuration!, row.Mode);
            if (!_points.TryGetValue(key, out List<AttentionMeasurement>? points)) _points.Add(key, points = []);
            points.Add(row);
            if (output is not null && points.Count == key.Configuration.Suffixes.Count) WriteJson(output, key.Configuration, points);
        }
    }

    public void WriteTable(Terminal terminal)
    {
        if (_points.Count == 0) return;
        Table table = BenchTable.Create(terminal,
        [
            "batch", "prefix", "generated", "heads", "mode", $"step, {units.Time}", "× limit", "tokens/s", "published", "× published", "memory, MiB", "× cache",
        ]);
        foreach (((PublishedConfiguration configuration, AttentionMode mode), List<AttentionMeasurement> points) in _points)
            table.AddRow([.. Cells(configuration, mode, points).Select(Markup.Escape)]);
        BenchTable.Write(terminal, table);
    }

    /// <summary>Tokens a second over the prefix, one line for each mode, batch and number of generated tokens.</summary>
    public LineChart Chart()
    {
        var chart = new LineChart("Tokens a second of attention, one layer", "published configurations", "prefix", "thousand tokens a second");
        foreach (((PublishedConfiguration configuration, AttentionMode mode), List<AttentionMeasurement> points) in _points)
        {
            if (Step(configuration, points) is not { } seconds) continue;
            string name = $"{mode.Name()}, batch {configuration.Batch}, {configuration.NumGenerated} generated";
            chart.Add(name, configuration.Prefix, configuration.Batch / seconds / 1e3);
        }
        return chart;
    }

    /// <summary>The longer of two times averaged over the generated tokens: of all products, and of all reads; null where a ceiling is unknown.</summary>
    public static double? Limit(AttentionRates rates, PublishedConfiguration configuration, AttentionMode mode)
    {
        (double Products, double Reads)?[] floors = [.. configuration.Cells.Select(cell => rates.FloorSeconds(cell, mode))];
        return floors.Any(floor => floor is null) ? null
            : Math.Max(configuration.Mean([.. floors.Select(floor => floor!.Value.Products)]), configuration.Mean([.. floors.Select(floor => floor!.Value.Reads)]));
    }

    /// <summary>Seconds of a step, averaged over the generated tokens; null when a point did not run.</summary>
    private static double? Step(PublishedConfiguration configuration, List<AttentionMeasurement> points) =>
        points.Count < configuration.Suffixes.Count || points.Any(point => point.Skipped is not null)
            ? null : configuration.Mean([.. points.Select(point => point.Time.Median)]);

    private string[] Cells(PublishedConfiguration configuration, AttentionMode mode, List<AttentionMeasurement> points)
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        string[] cells =
        [
            configuration.Batch.ToString(culture), configuration.Prefix.ToString(culture), configuration.NumGenerated.ToString(culture),
            $"{configuration.Shape.NumHeads}/{configuration.NumKvHeads}", mode.Name(),
        ];
        string published = StatisticsTable.Count(configuration.PublishedTokensPerSecond);
        if (Step(configuration, points) is not { } seconds) return [.. cells, "does not fit", Unknown, Unknown, published, Unknown, Unknown, Unknown];
        (long UsedBytes, long NeededBytes)? memory = points[^1].Memory;
        return
        [
            .. cells, (seconds * units.TimesPerSecond).ToString(units.TimeFormat, culture),
            Limit(rates, configuration, points[0].Mode) is { } limit ? (seconds / limit).ToString("0.00", culture) : Unknown,
            StatisticsTable.Count((long)(configuration.Batch / seconds)), published,
            (configuration.Batch / seconds / configuration.PublishedTokensPerSecond).ToString("0.0", culture),
            memory is null ? Unknown : (memory.Value.UsedBytes / 1048576.0).ToString("N0", culture),
            memory is null ? Unknown : ((double)memory.Value.UsedBytes / memory.Value.NeededBytes).ToString("0.000", culture),
        ];
    }

    private void WriteJson(JsonLines output, PublishedConfiguration configuration, List<AttentionMeasurement> points) => output.Write(json =>
    {
        json.WriteString("type", "published");
        json.WriteNumber("batch", configuration.Batch);
        json.WriteNumber("prefix", configuration.Prefix);
        json.WriteNumber("generated", configuration.NumGenerated);
        json.WriteNumber("heads", configuration.Shape.NumHeads);
        json.WriteNumber("kv_heads", configuration.NumKvHeads);
        json.WriteString("mode", points[0].Mode.Name());
        json.WriteNumber("published_tokens_per_second", configuration.PublishedTokensPerSecond);
        if (Step(configuration, points) is not { } seconds)
        {
            json.WriteString("skipped", points.First(point => point.Skipped is not null).Skipped!);
            return;
        }
        json.WriteNumber("step_ms", seconds * 1e3);
        if (Limit(rates, configuration, points[0].Mode) is { } limit) json.WriteNumber("limit_ms", limit * 1e3);
        json.WriteNumber("tokens_per_second", configuration.Batch / seconds);
        if (points[^1].Memory is { } memory)
        {
            json.WriteNumber("memory_bytes", memory.UsedBytes);
            json.WriteNumber("cache_and_buffer_bytes", memory.NeededBytes);
        }
    });
}
