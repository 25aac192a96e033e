using System.Globalization;

namespace Hydragen.Cli.Bench;

/// <summary>Maps values of one axis to the range 0 to 1 and says where its ticks are.</summary>
internal sealed class ChartScale
{
    private const int WantedTicks = 6;
    private readonly double _min, _max;
    private readonly bool _isLogarithmic;

    private ChartScale(double min, double max, bool isLogarithmic, double[] ticks)
    {
        _min = min;
        _max = max;
        _isLogarithmic = isLogarithmic;
        Ticks = ticks;
    }

    public IReadOnlyList<double> Ticks { get; }

    /// <summary>From 0 to a round number above the largest value.</summary>
    public static ChartScale FromZero(IEnumerable<double> values)
    {
        double largest = values.DefaultIfEmpty(0).Max();
        double step = RoundStep(largest > 0 ? largest : 1);
        int numSteps = Math.Max(1, (int)Math.Ceiling(largest / step - 1e-9));
        return new ChartScale(0, numSteps * step, false, [.. Enumerable.Range(0, numSteps + 1).Select(i => i * step)]);
    }

    /// <summary>Through the values themselves: logarithmic when they grow by factors, with a tick at each when they are few.</summary>
    public static ChartScale Through(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Distinct().Order()];
        if (sorted.Length == 0) return FromZero([]);
        double min = sorted[0], max = sorted[^1];
        bool isLogarithmic = min > 0 && sorted.Length > 1 && max / min >= 8 && sorted.Length <= 12;
        double[] ticks = sorted.Length <= 12 ? sorted : FromZero(sorted).Ticks.Where(tick => tick >= min && tick <= max).ToArray();
        return new ChartScale(min, max, isLogarithmic, ticks);
    }

    public double Map(double value)
    {
        if (_max <= _min) return 0.5;
        return _isLogarithmic ? Math.Log(value / _min) / Math.Log(_max / _min) : (value - _min) / (_max - _min);
    }

    public static string Label(double value) => value.ToString(value >= 1000 ? "#,0" : "0.###", CultureInfo.InvariantCulture);

    /// <summary>1, 2 or 5 times a power of ten.</summary>
    private static double RoundStep(double range)
    {
        double rough = range / WantedTicks, power = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        double factor = rough / power;
        return power * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10);
    }
}
