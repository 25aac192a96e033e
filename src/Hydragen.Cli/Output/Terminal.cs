using Hydragen.Engine;
using Spectre.Console;

namespace Hydragen.Cli.Output;

/// <summary>What people see: tables, progress bars and notes, all on standard error.</summary>
internal static class Terminal
{
    public static IAnsiConsole Console { get; } = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(System.Console.Error) });

    /// <summary>Whether somebody watches: bars are shown only then.</summary>
    public static bool IsWatched { get; } = !System.Console.IsErrorRedirected;

    /// <summary>Writes a line as it is.</summary>
    public static void Note(string text) => Console.WriteLine(text);

    /// <summary>Runs work that reports a share from 0 to 1.</summary>
    public static Task<T> WithProgressAsync<T>(string title, Func<IProgress<double>?, Task<T>> work)
    {
        if (!IsWatched) return work(null);
        return Bars().StartAsync(context =>
        {
            ProgressTask bar = context.AddTask(Markup.Escape(title), maxValue: 1);
            return work(new Report<double>(share => bar.Value = share));
        });
    }

    /// <summary>Runs a generation call with one bar for prompt tokens and one for completions.</summary>
    public static Task<T> WithGenerationProgressAsync<T>(string title, Func<IProgress<GenerationProgress>?, Task<T>> work)
    {
        if (!IsWatched) return work(null);
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

    private static Progress Bars() => Console.Progress().AutoClear(true)
        .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn());

    /// <summary>Reports on the caller's thread, unlike <see cref="Progress{T}"/>.</summary>
    private sealed class Report<T>(Action<T> handle) : IProgress<T>
    {
        void IProgress<T>.Report(T value) => handle(value);
    }
}
