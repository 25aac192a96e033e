namespace Hydragen.Cli.Bench;

/// <summary>Lines over one axis; points of equal series names make a line, in the order in which they were added.</summary>
internal sealed class LineChart(string title, string subtitle, string horizontalTitle, string verticalTitle)
{
    private readonly List<(string Name, List<(double X, double Y)> Points)> _series = [];

    public string Title { get; } = title;

    public string Subtitle { get; } = subtitle;

    public string HorizontalTitle { get; } = horizontalTitle;

    public string VerticalTitle { get; } = verticalTitle;

    public IReadOnlyList<(string Name, List<(double X, double Y)> Points)> Series => _series;

    public void Add(string seriesName, double x, double y)
    {
        List<(double X, double Y)>? points = _series.Find(series => series.Name == seriesName).Points;
        if (points is null) _series.Add((seriesName, points = []));
        points.Add((x, y));
    }
}
