using Hydragen.Cli.Ranks;
using Hydragen.Engine;
using Spectre.Console;

namespace Hydragen.Cli.Output;

/// <summary>
/// The streams of one run of the command: machine output on <see cref="Output"/>, everything for people on <see cref="Error"/>.
/// </summary>
internal sealed class Terminal
{
    private readonly bool _isErrorWatched;
    private readonly bool _isOutputWatched;
    private readonly bool _isInputTyped;

    private Terminal(Stream input, Stream output, TextWriter error, bool isInputTyped, bool isOutputWatched, bool isErrorWatched)
    {
        Input = input;
        Output = output;
        Error = error;
        _isInputTyped = isInputTyped;
        _isOutputWatched = isOutputWatched;
        _isErrorWatched = isErrorWatched;
        Console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(error) });
    }

    public Stream Input { get; }

    public Stream Output { get; }

    public TextWriter Error { get; }

    /// <summary>Draws tables on <see cref="Error"/>.</summary>
    public IAnsiConsole Console { get; }

    /// <summary>Whether somebody watches what is written for people.</summary>
    public bool IsWatched => _isErrorWatched;

    /// <summary>The streams of the process. Of several ranks only the first reads and writes; the others say what is wrong.</summary>
    public static Terminal OfProcess() => RankSession.IsOther
        ? Over(Stream.Null, Stream.Null, System.Console.Error)
        : new Terminal(
            System.Console.OpenStandardInput(), System.Console.OpenStandardOutput(), System.Console.Error,
            !System.Console.IsInputRedirected, !System.Console.IsOutputRedirected, !System.Console.IsErrorRedirected);

    /// <summary>Any other streams; nobody watches them.</summary>
    public static Terminal Over(Stream input, Stream output, TextWriter error) => new(input, output, error, false, false, false);

    /// <summary>Writes a line for people, as it is.</summary>
    public void Note(string text) => Error.WriteLine(text);

    /// <summary>Tells somebody at a keyboard that the command waits for lines.</summary>
    public void NoteWaitingForInput()
    {
        if (_isInputTyped) Note("Reading JSON lines from standard input.");
    }

    /// <summary>Runs work that reports a share from 0 to 1.</summary>
    public Task<T> WithProgressAsync<T>(string title, Func<IProgress<double>?, Task<T>> work)
    {
        if (!IsWatched) return work(null);
        return Bars().StartAsync(context =>
        {
            ProgressTask bar = context.AddTask(Markup.Escape(title), maxValue: 1);
            return work(new Report<double>(share => bar.Value = share));
        });
    }

    /// <summary>Runs a generation call with one bar for prompt tokens and one for completions.</summary>
    /// <param name="title">What is done.</param>
    /// <param name="printsMeanwhile">Whether the work writes to <see cref="Output"/>; on a screen, its lines and the bars would overwrite each other.</param>
    /// <param name="work">The call.</param>
    public Task<T> WithGenerationProgressAsync<T>(string title, bool printsMeanwhile, Func<IProgress<GenerationProgress>?, Task<T>> work)
    {
        if (!IsWatched || (printsMeanwhile && _isOutputWatched)) return work(null);
        return Bars().StartAsync(context =>
        {
            ProgressTask prompt = context.AddTask(Markup.Escape(title) + ": prompt", maxValue: 1);
            ProgressTask completions = context.AddTask(Markup.Escape(title) + ": answers", maxValue: 1);
            return work(new Report<GenerationProgress>(progress =>
            {
                prompt.Value = (double)progress.PromptTokensDone / Math.Max(1, progress.PromptTokens);
                completions.Value = (double)progress.CompletionsDone / Math.Max(1, progress.Completions);
            }));
        });
    }

    private Progress Bars() => Console.Progress().AutoClear(true)
        .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn());

    /// <summary>Reports on the caller's thread, unlike <see cref="Progress{T}"/>.</summary>
    private sealed class Report<T>(Action<T> handle) : IProgress<T>
    {
        void IProgress<T>.Report(T value) => handle(value);
    }
}
