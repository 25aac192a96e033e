using Hydragen.Cli.Output;
using Spectre.Console;

namespace Hydragen.Cli.Bench;

/// <summary>Tables of results: boxes on a terminal, Markdown when the output goes to a file.</summary>
internal static class BenchTable
{
    private const int FileWidth = 200;

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

    public static void Write(Terminal terminal, Table table)
    {
        if (!terminal.IsWatched) terminal.Console.Profile.Width = Math.Max(terminal.Console.Profile.Width, FileWidth);
        terminal.Console.Write(table);
    }
}
