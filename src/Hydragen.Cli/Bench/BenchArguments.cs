using System.CommandLine;
using Hydragen.Cli.Commands;
using Hydragen.Cli.Input;
using Hydragen.Cli.Output;

namespace Hydragen.Cli.Bench;

/// <summary>The options that all benchmarks have.</summary>
internal sealed class BenchArguments
{
    private const int MaxRepeats = 10_000;

    private readonly Option<string> _device;
    private readonly Option<string> _modes;
    private readonly Option<int> _repeats;
    private readonly Option<int?> _threads = ModelArguments.MakeThreads();
    private readonly Option<bool> _json = new("--json") { Description = "Print JSON Lines to standard output: a header, one line a row, and an end with the ceilings once more." };
    private readonly Option<string?> _plot = new("--plot") { Description = "Draw the result into this SVG file.", HelpName = "FILE.svg" };

    /// <param name="command">Receives the options.</param>
    /// <param name="defaultRepeats">Rounds unless the option says otherwise.</param>
    /// <param name="devices">What can compute; the first is the default.</param>
    /// <param name="defaultModes">Names of the modes that are measured unless the option says otherwise; empty for a benchmark without modes.</param>
    /// <param name="otherModes">Names of further modes.</param>
    public BenchArguments(Command command, int defaultRepeats, string[] devices, string[] defaultModes, params string[] otherModes)
    {
        _device = devices.Length > 1
            ? Values.Choice("--device", "What computes: the processor, or an NVIDIA GPU.", devices[0], devices)
            : Values.Choice("--device", "Where to compute.", devices[0], devices);
        string[] allowed = [.. defaultModes, .. otherModes];
        string names = string.Join(',', allowed);
        _modes = new Option<string>("--modes")
        {
            Description = "Which modes to measure side by side.",
            HelpName = "mode,mode,..",
            DefaultValueFactory = _ => string.Join(',', defaultModes),
            CustomParser = result =>
            {
                string text = result.Tokens[0].Value;
                string[] modes = text.Split(',');
                if (modes.Except(allowed).Any() || modes.Distinct().Count() != modes.Length)
                    result.AddError($"--modes takes some of {names}, not '{text}'");
                return text;
            },
        };
        _repeats = Values.Integer("--repeats", "Interleaved rounds; the median counts.", defaultRepeats, 1, MaxRepeats);
        foreach (Option option in (Option[])[_device, .. (Option[])(defaultModes.Length > 0 ? [_modes] : []), _repeats, _threads, _json, _plot])
            command.Options.Add(option);
    }

    /// <summary>Names of the modes to measure.</summary>
    public string[] Modes(ParseResult parsed) => parsed.GetValue(_modes)!.Split(',');

    /// <summary>Names of the modes to measure where a choice of other options allows some of them only.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="allowed">Modes that are allowed.</param>
    /// <param name="numDefaults">How many of them, from the first on, are measured unless the option says otherwise.</param>
    /// <param name="by">What allows them.</param>
    /// <exception cref="InputException">Others were given.</exception>
    public string[] Modes(ParseResult parsed, IReadOnlyList<string> allowed, int numDefaults, string by)
    {
        if (parsed.GetResult(_modes) is not { Implicit: false }) return [.. allowed.Take(numDefaults)];
        string[] modes = Modes(parsed);
        return modes.Except(allowed).FirstOrDefault() is { } other
            ? throw new InputException($"--modes {other} does not go with {by}, which takes some of {string.Join(',', allowed)}.") : modes;
    }

    /// <summary>The modes that prefixes with a type of their own allow: those that make no copies of them.</summary>
    /// <exception cref="InputException">Copies were asked for.</exception>
    public string[] WithoutCopies(ParseResult parsed, string[] modes, string copied)
    {
        if (modes.Contains(copied) && parsed.GetResult(_modes) is { Implicit: false })
            throw new InputException($"--modes {copied} does not go with {DeviceArguments.PrefixKvTypeName}: it gives every sequence its own copy of its prefix.");
        return [.. modes.Where(mode => mode != copied)];
    }

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

    public void WritePlot(ParseResult parsed, params IReadOnlyList<LineChart> charts)
    {
        if (parsed.GetValue(_plot) is { } path) File.WriteAllText(path, SvgWriter.Draw(charts));
    }

    /// <summary>The command line as it was typed.</summary>
    public static string CommandLine(ParseResult parsed) => "hydragen " + string.Join(' ', parsed.Tokens.Select(token => token.Value));
}
