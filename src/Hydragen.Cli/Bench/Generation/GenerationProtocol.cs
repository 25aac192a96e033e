using System.Diagnostics;
using System.Text.Json;
using Hydragen.Cli.Output;
using Hydragen.Core;
using Hydragen.Engine;

namespace Hydragen.Cli.Bench;

/// <summary>What all protocols have in common.</summary>
/// <typeparam name="TPoint">What tells points apart.</typeparam>
/// <typeparam name="TRow">One mode of one point.</typeparam>
/// <param name="context">What to measure with.</param>
/// <param name="points">The points, in order.</param>
internal abstract class GenerationProtocol<TPoint, TRow>(GenerationContext context, IReadOnlyList<TPoint> points) : IGenerationProtocol
    where TPoint : notnull
{
    private readonly Dictionary<TPoint, IReadOnlyList<TRow>> _rows = [];
    private readonly Dictionary<TPoint, IReadOnlyList<JsonElement>> _lines = [];

    public bool HasRows => points.Any(_rows.ContainsKey);

    protected GenerationContext Context { get; } = context;

    /// <summary>What all sequences share, computed before; null until <see cref="KeepPrefix"/>.</summary>
    protected PrefixHandle? Prefix { get; private set; }

    /// <summary>The points, in order.</summary>
    protected IReadOnlyList<TPoint> Points => points;

    /// <summary>The rows of finished points, in order.</summary>
    protected IEnumerable<TRow> Rows => points.Where(_rows.ContainsKey).SelectMany(point => _rows[point]);

    public IReadOnlyList<JsonElement> Restore(IReadOnlyList<JsonElement> lines)
    {
        try
        {
            var kept = new List<JsonElement>();
            foreach (IGrouping<TPoint, (TRow Row, JsonElement Line)> group in lines.Select(line => (Row: Read(line), Line: line)).GroupBy(item => PointOf(item.Row)))
            {
                // Rows of one point are written together; what a kill left of them is measured again.
                if (group.Count() != Context.Modes.Count) continue;
                kept.AddRange(group.Select(item => item.Line));
                _rows[group.Key] = [.. group.Select(item => item.Row)];
                _lines[group.Key] = [.. group.Select(item => item.Line)];
            }
            return kept;
        }
        catch (Exception exception) when (exception is KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new InputException("A row of the file that --resume names lacks a property or has one of another type; give another file.", exception);
        }
    }

    public void Run(JsonLines? output, JsonLines? log, Action<double> onProgress, CancellationToken cancellationToken)
    {
        if (points.Any(point => !_rows.ContainsKey(point))) WarmUp(cancellationToken);
        for (int i = 0; i < points.Count; i++)
        {
            TPoint point = points[i];
            if (_lines.TryGetValue(point, out IReadOnlyList<JsonElement>? lines))
            {
                foreach (JsonElement line in lines) output?.Write(json => Copy(line, json));
            }
            else
            {
                _rows[point] = Measure(point, cancellationToken);
                foreach (TRow row in _rows[point])
                {
                    output?.Write(json => Write(json, row));
                    log?.Write(json => Write(json, row));
                }
            }
            onProgress((i + 1.0) / points.Count);
        }
    }

    public abstract void WriteTable(Terminal terminal);

    public abstract IReadOnlyList<LineChart> Charts();

    public void Dispose() => Prefix?.Dispose();

    protected abstract TPoint PointOf(TRow row);

    /// <summary>Runs every mode on something small, so that no measurement pays for compiling the program.</summary>
    protected abstract void WarmUp(CancellationToken cancellationToken);

    /// <summary>Measures the modes of a point side by side; one row a mode, those that do not fit included.</summary>
    protected abstract IReadOnlyList<TRow> Measure(TPoint point, CancellationToken cancellationToken);

    /// <summary>Writes everything that <see cref="Read"/> needs, and what is derived from it.</summary>
    protected abstract void Write(Utf8JsonWriter json, TRow row);

    protected abstract TRow Read(JsonElement line);

    /// <summary>Computes a prefix several times and keeps it until there is another.</summary>
    /// <returns>Seconds of each time, the first of a GPU's left out, when kernels are compiled and algorithms chosen.</returns>
    protected double[] KeepPrefix(IReadOnlyList<int> tokenIds, int numTimes, CancellationToken cancellationToken)
    {
        var times = new double[numTimes];
        for (int i = Context.Probe is null ? -1 : 0; i < numTimes; i++)
        {
            Prefix?.Dispose();
            Prefix = null;
            long start = Stopwatch.GetTimestamp();
            Prefix = Context.Engine.CreatePrefix(PromptNode.FromTokenIds(tokenIds), cancellationToken: cancellationToken);
            if (i >= 0) times[i] = Stopwatch.GetElapsedTime(start).TotalSeconds;
        }
        return times;
    }

    /// <summary>Why pages do not fit, or null.</summary>
    protected string? CheckPages(PageCount pages)
    {
        long needed = Context.BytesOf(pages), allowed = Context.Engine.MaxKvBytes;
        return needed <= allowed ? null : $"needs {StatisticsTable.Mebibytes(needed)}, but {StatisticsTable.Mebibytes(allowed)} are allowed";
    }

    private static void Copy(JsonElement line, Utf8JsonWriter json)
    {
        foreach (JsonProperty property in line.EnumerateObject()) property.WriteTo(json);
    }
}
