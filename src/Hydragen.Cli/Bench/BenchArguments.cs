using System.CommandLine;
using Hydragen.Cli.Commands;
using Hydragen.Cli.Input;
using Hydragen.Cli.Output;
using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>The options that all benchmarks have.</summary>
internal sealed class BenchArguments
{
    private const int MaxRepeats = 10_000;

    private readonly Option<string> _device;
    private readonly Option<string> _modes;
    private readonly SharingMode[] _allowedModes;
    private readonly Option<int> _repeats;
    private readonly Option<int?> _threads = ModelArguments.MakeThreads();
    private readonly Option<bool> _json = new("--json") { Description = "Print JSON Lines to standard output: a header, one line a row, and an end with the ceilings once more." };
    private readonly Option<string?> _plot = new("--plot") { Description = "Draw the result into this SVG file.", HelpName = "FILE.svg" };

    /// <param name="command">Receives the options.</param>
    /// <param name="device">The option of the device, which says what there is.</param>
    /// <param name="defaultRepeats">Rounds when not given.</param>
    /// <param name="allowedModes">Modes that can be compared.</param>
    public BenchArguments(Command command, Option<string> device, int defaultRepeats, params SharingMode[] allowedModes)
    {
        _device = device;
        _allowedModes = allowedModes;
        string names = string.Join(',', allowedModes.Select(mode => mode.Name()));
        _modes = new Option<string>("--modes")
        {
            Description = "Which modes to measure side by side.",
            HelpName = "mode,mode,..",
            DefaultValueFactory = _ => names,
            CustomParser = result =>
            {
                string text = result.Tokens[0].Value;
                string[] modes = text.Split(',');
                if (modes.Except(names.Split(',')).Any() || modes.Distinct().Count() != modes.Length)
                    result.AddError($"--modes takes some of {names}, not '{text}'");
                return text;
            },
        };
        _repeats = Values.Integer("--repeats", "Interleaved rounds; the median counts.", defaultRepeats, 1, MaxRepeats);
        foreach (Option option in (Option[])[_device, _modes, _repeats, _threads, _json, _plot]) command.Options.Add(option);
    }

    public SharingMode[] Modes(ParseResult parsed) =>
        [.. parsed.GetValue(_modes)!.Split(',').Select(name => _allowedModes.First(mode => mode.Name() == name))];

    public string Device(ParseResult parsed) => parsed.GetValue(_device)!;

    public int Repeats(ParseResult parsed) => parsed.GetValue(_repeats);

    public int? Threads(ParseResult parsed) => parsed.GetValue(_threads);

    /// <summary>Where rows go, or null without <c>--json</c>.</summary>
    public JsonLines? Output(ParseResult parsed, Terminal terminal) => parsed.GetValue(_json) ? new JsonLines(terminal.Output) : null;

    /// <summary>Refuses a chart that cannot be written, before anything is measured.</summary>
    public void CheckPlot(ParseResult parsed)
    {
        if (parsed.GetValue(_plot) is { } path) InputFile.CheckOutput(path);
    }

    public void WritePlot(ParseResult parsed, LineChart chart)
    {
        if (parsed.GetValue(_plot) is { } path) File.WriteAllText(path, SvgWriter.Draw(chart));
    }

    /// <summary>The command line as it was typed.</summary>
    public static string CommandLine(ParseResult parsed) => "hydragen " + string.Join(' ', parsed.Tokens.Select(token => token.Value));
}
