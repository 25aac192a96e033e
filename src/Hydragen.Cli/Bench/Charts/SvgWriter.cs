using System.Globalization;
using System.Net;
using System.Text;

namespace Hydragen.Cli.Bench;

/// <summary>Draws line charts as SVG.</summary>
internal static class SvgWriter
{
    private const double Left = 80, Top = 72, PlotWidth = 620, PlotHeight = 380, Bottom = 64;
    private const double LegendGap = 24, LegendLine = 20, CharacterWidth = 7;

    // Colours that people with colour-blindness tell apart (Okabe and Ito); the marks differ as well.
    private static readonly string[] Colors = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31"];

    /// <summary>Several charts, two beside each other.</summary>
    public static string Draw(IReadOnlyList<LineChart> charts)
    {
        if (charts.Count == 1) return Draw(charts[0]);
        (double width, double height) = (charts.Max(chart => Size(chart).Width), charts.Max(chart => Size(chart).Height));
        int numColumns = Math.Min(2, charts.Count), numRows = (charts.Count + numColumns - 1) / numColumns;
        var svg = new StringBuilder();
        Begin(svg, numColumns * width, numRows * height, "");
        svg.Append(CultureInfo.InvariantCulture, $"<title>{Escape(string.Join("; ", charts.Select(chart => chart.Title)))}</title>\n");
        for (int i = 0; i < charts.Count; i++)
            svg.Append(Draw(charts[i], $" x=\"{N(i % numColumns * width)}\" y=\"{N(i / numColumns * height)}\""));
        return svg.Append("</svg>\n").ToString();
    }

    public static string Draw(LineChart chart) => Draw(chart, "");

    private static string Draw(LineChart chart, string place)
    {
        var horizontal = ChartScale.Through(chart.Series.SelectMany(series => series.Points.Select(point => point.X)));
        var vertical = ChartScale.FromZero(chart.Series.SelectMany(series => series.Points.Select(point => point.Y)));
        (double width, double height) = Size(chart);
        double X(double value) => Left + PlotWidth * horizontal.Map(value);
        double Y(double value) => Top + PlotHeight * (1 - vertical.Map(value));

        var svg = new StringBuilder();
        Begin(svg, width, height, place);
        svg.Append(CultureInfo.InvariantCulture, $"<title>{Escape(chart.Title)}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n");
        Text(svg, Left + PlotWidth / 2, 28, chart.Title, "middle", " font-size=\"16\" font-weight=\"bold\"");
        Text(svg, Left + PlotWidth / 2, 48, chart.Subtitle, "middle", " fill=\"#555555\"");
        foreach (double tick in vertical.Ticks)
        {
            Line(svg, Left, Y(tick), Left + PlotWidth, Y(tick), "#dddddd");
            Text(svg, Left - 8, Y(tick) + 4, ChartScale.Label(tick), "end");
        }
        foreach (double tick in horizontal.Ticks)
        {
            Line(svg, X(tick), Top + PlotHeight, X(tick), Top + PlotHeight + 5, "#333333");
            Text(svg, X(tick), Top + PlotHeight + 20, ChartScale.Label(tick), "middle");
        }
        Line(svg, Left, Top, Left, Top + PlotHeight, "#333333");
        Line(svg, Left, Top + PlotHeight, Left + PlotWidth, Top + PlotHeight, "#333333");
        Text(svg, Left + PlotWidth / 2, Top + PlotHeight + 46, chart.HorizontalTitle, "middle");
        Text(svg, 0, 0, chart.VerticalTitle, "middle", $" transform=\"translate(20 {N(Top + PlotHeight / 2)}) rotate(-90)\"");
        for (int i = 0; i < chart.Series.Count; i++)
        {
            (string name, List<(double X, double Y)> points) = chart.Series[i];
            string color = Colors[i % Colors.Length];
            string dash = i < Colors.Length ? "" : " stroke-dasharray=\"6 4\"";
            string path = string.Join(' ', points.Select(point => $"{N(X(point.X))},{N(Y(point.Y))}"));
            svg.Append(CultureInfo.InvariantCulture, $"<polyline points=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"{dash}/>\n");
            foreach ((double x, double y) in points) Mark(svg, X(x), Y(y), i, color);
            double legendX = Left + PlotWidth + LegendGap, legendY = Top + LegendLine * i + 6;
            svg.Append(CultureInfo.InvariantCulture,
                $"<line x1=\"{N(legendX)}\" y1=\"{N(legendY)}\" x2=\"{N(legendX + 28)}\" y2=\"{N(legendY)}\" stroke=\"{color}\" stroke-width=\"2\"{dash}/>\n");
            Mark(svg, legendX + 14, legendY, i, color);
            Text(svg, legendX + 36, legendY + 4, name, "start");
        }
        return svg.Append("</svg>\n").ToString();
    }

    private static (double Width, double Height) Size(LineChart chart)
    {
        double legendWidth = 48 + CharacterWidth * chart.Series.Select(series => series.Name.Length).DefaultIfEmpty(0).Max();
        return (Left + PlotWidth + LegendGap + legendWidth, Math.Max(Top + PlotHeight + Bottom, Top + LegendLine * (chart.Series.Count + 1)));
    }

    private static void Begin(StringBuilder svg, double width, double height, string place) => svg.Append(CultureInfo.InvariantCulture,
        $"<svg xmlns=\"http://www.w3.org/2000/svg\"{place} width=\"{N(width)}\" height=\"{N(height)}\" viewBox=\"0 0 {N(width)} {N(height)}\" font-family=\"sans-serif\" font-size=\"13\" role=\"img\">\n");

    private static void Mark(StringBuilder svg, double x, double y, int series, string color)
    {
        string shape = (series % 3) switch
        {
            0 => $"<circle cx=\"{N(x)}\" cy=\"{N(y)}\" r=\"3.5\"",
            1 => $"<rect x=\"{N(x - 3.5)}\" y=\"{N(y - 3.5)}\" width=\"7\" height=\"7\"",
            _ => $"<polygon points=\"{N(x)},{N(y - 4.5)} {N(x + 4.5)},{N(y + 3.5)} {N(x - 4.5)},{N(y + 3.5)}\"",
        };
        svg.Append(CultureInfo.InvariantCulture, $"{shape} fill=\"{color}\"/>\n");
    }

    private static void Line(StringBuilder svg, double x1, double y1, double x2, double y2, string color) =>
        svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{N(x1)}\" y1=\"{N(y1)}\" x2=\"{N(x2)}\" y2=\"{N(y2)}\" stroke=\"{color}\"/>\n");

    private static void Text(StringBuilder svg, double x, double y, string text, string anchor, string attributes = "") =>
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{N(x)}\" y=\"{N(y)}\" text-anchor=\"{anchor}\"{attributes}>{Escape(text)}</text>\n");

    private static string N(double value) => value.ToString("0.##", CultureInfo.InvariantCulture);

    private static string Escape(string text) => WebUtility.HtmlEncode(text);
}
