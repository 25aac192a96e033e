using System.Globalization;
using System.Xml.Linq;
using Hydragen.Cli.Bench;

namespace Hydragen.Bench.Tests;

public sealed class ChartTests
{
    private static readonly XNamespace Svg = "http://www.w3.org/2000/svg";

    [Fact]
    public void A_chart_has_a_line_a_series_inside_the_drawing_and_its_labels()
    {
        var chart = new LineChart("A < B & C", "batch 64", "prefix", "ratio");
        for (int i = 0; i < 10; i++)
        {
            chart.Add($"series {i}", 1024, 1 + i);
            chart.Add($"series {i}", 4096, 2 + i);
            chart.Add($"series {i}", 16384, 11.3);
        }
        XElement root = XDocument.Parse(SvgWriter.Draw(chart)).Root!;
        double width = Number(root, "width"), height = Number(root, "height");
        XElement[] lines = [.. root.Elements(Svg + "polyline")];
        Assert.Equal(10, lines.Length);
        foreach (XElement line in lines)
        {
            string[] points = line.Attribute("points")!.Value.Split(' ');
            Assert.Equal(3, points.Length);
            foreach (string point in points)
            {
                double[] xy = [.. point.Split(',').Select(part => double.Parse(part, CultureInfo.InvariantCulture))];
                Assert.InRange(xy[0], 0, width);
                Assert.InRange(xy[1], 0, height);
            }
        }
        string[] texts = [.. root.Elements(Svg + "text").Select(text => text.Value)];
        foreach (string text in (string[])["A < B & C", "batch 64", "prefix", "ratio", "1,024", "4,096", "16,384", "series 9"]) Assert.Contains(text, texts);

        // Ten lines need more than eight colours: the rest is dashed.
        Assert.Equal(10, lines.Select(line => (line.Attribute("stroke")!.Value, line.Attribute("stroke-dasharray")?.Value)).Distinct().Count());
    }

    [Fact]
    public void Higher_values_are_drawn_higher_and_later_ones_further_right()
    {
        var chart = new LineChart("t", "", "x", "y");
        chart.Add("s", 0, 1);
        chart.Add("s", 16, 3);
        string[] points = XDocument.Parse(SvgWriter.Draw(chart)).Root!.Element(Svg + "polyline")!.Attribute("points")!.Value.Split(' ');
        double[] first = [.. points[0].Split(',').Select(part => double.Parse(part, CultureInfo.InvariantCulture))];
        double[] second = [.. points[1].Split(',').Select(part => double.Parse(part, CultureInfo.InvariantCulture))];
        Assert.True(second[0] > first[0] && second[1] < first[1]);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1e-6)]
    [InlineData(0.37)]
    [InlineData(1)]
    [InlineData(7.1)]
    [InlineData(12345)]
    public void Scales_from_zero_hold_their_largest_value_with_few_round_ticks(double largest)
    {
        ChartScale scale = ChartScale.FromZero([0, largest]);
        Assert.InRange(scale.Ticks.Count, 2, 11);
        Assert.Equal(0, scale.Ticks[0]);
        Assert.True(scale.Ticks[^1] >= largest);
        Assert.InRange(scale.Map(largest), 0, 1 + 1e-9);
    }

    [Fact]
    public void Values_that_grow_by_factors_are_spaced_evenly()
    {
        ChartScale scale = ChartScale.Through([1024, 4096, 16384]);
        Assert.Equal(0.5, scale.Map(4096), 1e-9);
        Assert.Equal(0.25, ChartScale.Through([0, 16, 64]).Map(16), 1e-9);
    }

    [Fact]
    public void An_empty_chart_is_still_a_drawing() => Assert.NotNull(XDocument.Parse(SvgWriter.Draw(new LineChart("t", "", "x", "y"))).Root);

    [Fact]
    public void A_chart_runs_along_the_dimension_that_needs_the_fewest_lines()
    {
        // Four pairs of batch and prefix, two suffixes: lines over suffixes have two points, others would have one.
        var sweep = new Sweep(["suffix", "prefix", "batch"], [[0, 1, 8], [512, 1, 8], [0, 2, 16], [512, 2, 16], [0, 3, 32], [512, 3, 32]]);
        Assert.Equal("suffix", sweep.AxisName);
        Assert.Equal("prefix 2, batch 16", sweep.LineName([0, 2, 16]));
        Assert.Equal("", sweep.Constants);
    }

    [Fact]
    public void What_never_changes_is_said_once_for_all_lines()
    {
        var sweep = new Sweep(["suffix", "prefix", "batch"], [[128, 1, 64], [128, 2, 64], [128, 3, 64]]);
        Assert.Equal(1, sweep.Axis);
        Assert.Equal("", sweep.LineName([128, 2, 64]));
        Assert.Equal("suffix 128, batch 64", sweep.Constants);
    }

    private static double Number(XElement element, string attribute) => double.Parse(element.Attribute(attribute)!.Value, CultureInfo.InvariantCulture);
}
