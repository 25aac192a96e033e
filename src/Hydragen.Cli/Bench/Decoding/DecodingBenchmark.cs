using System.Diagnostics;
using System.Globalization;
using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>
/// Measures points, all types of each one after another. Where time is short, the quickest points come first, and those that
/// would take longer than what is left do not run.
/// </summary>
internal sealed class DecodingBenchmark
{
    // Shares of the ceilings and rates of making numbers that estimates start from; they are corrected by what points really take.
    private const double ShareOfPeak = 0.3, ShareOfReads = 0.6, FillBytesPerSecond = 1e9, SecondsBesides = 0.15;

    private readonly AttentionDevice _device;
    private readonly IReadOnlyList<(AttentionSetup Setup, AttentionBenchmark Benchmark, AttentionRates Rates)> _types;

    /// <param name="device">What computes.</param>
    /// <param name="setups">One a type.</param>
    /// <param name="ceilings">What estimates begin with.</param>
    public DecodingBenchmark(AttentionDevice device, IReadOnlyList<AttentionSetup> setups, ICeilings ceilings)
    {
        _device = device;
        _types = [.. setups.Select(setup => (setup, new AttentionBenchmark(device, setup), new AttentionRates(setup, ceilings)))];
    }

    /// <summary>Measures.</summary>
    /// <param name="points">The points.</param>
    /// <param name="timeLeft">Time that is left from now on; null for no limit.</param>
    /// <param name="onPoint">Receives the rows of a point, one a type, as soon as it is done.</param>
    /// <param name="cancellationToken">Ends it between two calls.</param>
    public void Run(IReadOnlyList<DecodingPoint> points, TimeSpan? timeLeft, Action<IReadOnlyList<DecodingRow>> onPoint, CancellationToken cancellationToken)
    {
        long start = Stopwatch.GetTimestamp();
        foreach ((_, AttentionBenchmark benchmark, _) in _types) benchmark.WarmUp(cancellationToken);
        IEnumerable<DecodingPoint> inOrder = timeLeft is null ? points : points.OrderBy(EstimateSeconds);
        double correction = 1;
        foreach (DecodingPoint point in inOrder)
        {
            double estimate = EstimateSeconds(point), expected = estimate * correction;
            if (timeLeft is { } time && expected > (time - Stopwatch.GetElapsedTime(start)).TotalSeconds)
            {
                onPoint([.. _types.Select(type => LeaveOut(point, type.Setup.KvType, type.Benchmark, expected))]);
                continue;
            }
            long before = Stopwatch.GetTimestamp();
            var rows = new List<DecodingRow>();
            foreach ((AttentionSetup setup, AttentionBenchmark benchmark, _) in _types)
                benchmark.Measure([point.Cell], measured => rows.AddRange(measured.Select(row => new DecodingRow(point, setup.KvType, row))), cancellationToken);
            onPoint(rows);
            if (estimate > 0) correction = (correction + Stopwatch.GetElapsedTime(before).TotalSeconds / estimate) / 2;
        }
    }

    /// <summary>About how long a point takes with all types, in seconds.</summary>
    private double EstimateSeconds(DecodingPoint point)
    {
        double sum = 0;
        foreach ((AttentionSetup setup, AttentionBenchmark benchmark, AttentionRates rates) in _types)
        {
            AttentionMemory memory = benchmark.MemoryOf(point.Cell);
            if (!memory.Holds(AttentionMode.Hydragen)) continue;
            double bytes = setup.Bytes(point.Cell, AttentionMode.Hydragen), reads = bytes / 1e9 / rates.Read / ShareOfReads;
            double products = rates.Peak is { } peak ? point.Cell.Flops(AttentionMode.Hydragen) / 1e9 / peak / ShareOfPeak : 0;
            double step = Math.Max(reads, products), sample = Math.Max(step, _device.SampleSeconds);
            double queryBytes = (double)point.Cell.NumRows * point.Cell.Shape.NumHeads * point.Cell.Shape.HeadDim * sizeof(float);
            sum += (bytes * memory.SharedLayers + queryBytes) / FillBytesPerSecond + 2 * step + setup.Repeats * sample + SecondsBesides;
        }
        return sum;
    }

    private static DecodingRow LeaveOut(DecodingPoint point, ElementType type, AttentionBenchmark benchmark, double seconds)
    {
        string reason = benchmark.WhyNotHeld(benchmark.MemoryOf(point.Cell), AttentionMode.Hydragen)
            ?? string.Create(CultureInfo.InvariantCulture, $"left out: all types would take about {Math.Ceiling(seconds):0} s, more than is left");
        return new DecodingRow(point, type, new AttentionMeasurement(point.Cell, AttentionMode.Hydragen, 0, 0, [], null, reason));
    }
}
