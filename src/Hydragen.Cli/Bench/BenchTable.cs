using System.Globalization;
using Hydragen.Cli.Output;
using Spectre.Console;

namespace Hydragen.Cli.Bench;

/// <summary>Tables of results: boxes on a terminal, Markdown when the output goes to a file.</summary>
internal static class BenchTable
{
    private const int FileWidth = 280;

    /// <summary>A table with some columns; all but <c>mode</c> hold numbers.</summary>
    public static Table Create(Terminal terminal, IEnumerable<string> titles)
    {
        Table table = new Table().Border(terminal.IsWatched ? TableBorder.Rounded : TableBorder.Markdown);
        foreach (string title in titles)
        {
            var column = new TableColumn(Markup.Escape(title)).NoWrap();
            table.AddColumn(title == "mode" ? column : column.RightAligned());
        }
        return table;
    }

    /// <summary>Measures beside a progress bar, then shows what there is, also when it was cancelled.</summary>
    /// <param name="terminal">Shows it.</param>
    /// <param name="measure">Measures; its argument receives the share that is done.</param>
    /// <param name="hasRows">Whether there is anything to show.</param>
    /// <param name="writeTable">Shows it.</param>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static async Task MeasureAsync(Terminal terminal, Action<Action<double>> measure, Func<bool> hasRows, Action writeTable)
    {
        try
        {
            await terminal.WithProgressAsync("Measuring", progress => Task.Run(() =>
            {
                measure(share => progress?.Report(share));
                return 0;
            }, CancellationToken.None));
        }
        catch (OperationCanceledException)
        {
            if (hasRows()) writeTable();
            throw;
        }
        writeTable();
    }

    /// <summary>A median with its range.</summary>
    public static string Text(Spread spread, string format) => string.Create(CultureInfo.InvariantCulture,
        $"{spread.Median.ToString(format, CultureInfo.InvariantCulture)} ({spread.Min.ToString(format, CultureInfo.InvariantCulture)}–{spread.Max.ToString(format, CultureInfo.InvariantCulture)})");

    public static void Write(Terminal terminal, Table table)
    {
        if (!terminal.IsWatched) terminal.Console.Profile.Width = Math.Max(terminal.Console.Profile.Width, FileWidth);
        terminal.Console.Write(table);
    }

    /// <summary>Says around how many points the machine was noisy, if any.</summary>
    public static void NoteNoise(Terminal terminal, IEnumerable<MachineState> points)
    {
        bool[] areQuiet = [.. points.Select(state => state.IsQuiet)];
        int numNoisy = areQuiet.Count(isQuiet => !isQuiet);
        if (numNoisy > 0) terminal.Note($"The machine was noisy around {numNoisy} of {areQuiet.Length} points: trust the ratios more than the times.");
    }
}
