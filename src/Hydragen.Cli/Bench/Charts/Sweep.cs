namespace Hydragen.Cli.Bench;

/// <summary>Decides which dimension of a sweep a chart runs along: the one that needs the fewest lines.</summary>
internal sealed class Sweep
{
    private readonly string[] _names;
    private readonly int[][] _points;

    /// <summary>Takes the points of a sweep.</summary>
    /// <param name="names">Names of the dimensions; of equally good ones the first becomes the axis.</param>
    /// <param name="points">The values of each point, one a dimension.</param>
    public Sweep(string[] names, IEnumerable<int[]> points)
    {
        _names = names;
        _points = [.. points];
        Axis = Enumerable.Range(0, names.Length).MinBy(axis => _points.Select(point => LineName(point, axis)).Distinct().Count());
    }

    /// <summary>Index of the dimension to run along.</summary>
    public int Axis { get; }

    public string AxisName => _names[Axis];

    /// <summary>The dimensions, but the axis, that are the same everywhere.</summary>
    public string Constants => Describe(_points[0], dimension => dimension != Axis && !IsVaried(dimension));

    /// <summary>What tells the line of a point from other lines; empty when there is only one.</summary>
    public string LineName(int[] point) => LineName(point, Axis);

    private string LineName(int[] point, int axis) => Describe(point, dimension => dimension != axis && IsVaried(dimension));

    private bool IsVaried(int dimension) => _points.Any(point => point[dimension] != _points[0][dimension]);

    private string Describe(int[] point, Func<int, bool> isWanted) =>
        string.Join(", ", Enumerable.Range(0, _names.Length).Where(isWanted).Select(dimension => $"{_names[dimension]} {point[dimension]}"));
}
