using System.CommandLine;
using System.Text.Json;
using Hydragen.Cli.Output;
using Hydragen.Cli.Ranks;
using Hydragen.Engine;
using Hydragen.Models;
using Hydragen.Text;

namespace Hydragen.Cli.Commands;

/// <summary>Runs a command and turns what it throws into one line and an exit code.</summary>
internal static class CommandRunner
{
    private const string VerboseName = "--verbose";

    public static Option<bool> MakeVerbose() => new(VerboseName) { Description = "Show the stack trace of a failure.", Recursive = true };

    /// <summary>Makes <paramref name="run"/> the action of a command.</summary>
    public static void Handle(this Command command, Terminal terminal, Func<ParseResult, CancellationToken, Task> run) =>
        command.SetAction(async (ParseResult parsed, CancellationToken cancellationToken) =>
        {
            try
            {
                await run(parsed, cancellationToken);
                return ExitCode.Success;
            }
            catch (RankServedException)
            {
                return ExitCode.Success;
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                await terminal.Error.WriteLineAsync("hydragen: cancelled");
                return ExitCode.Cancelled;
            }
            catch (Exception exception)
            {
                await terminal.Error.WriteLineAsync($"hydragen: {OneLine(RankSession.Explain(exception))}");
                if (parsed.GetValue<bool>(VerboseName)) await terminal.Error.WriteLineAsync(exception.ToString());
                return IsBadInput(exception) ? ExitCode.BadInput : ExitCode.Failure;
            }
        });

    private static bool IsBadInput(Exception exception) => exception is InputException or ModelFormatException
        or TokenizerFormatException or ArgumentException or JsonException or FileNotFoundException or DirectoryNotFoundException
        or UnauthorizedAccessException or OutOfKvMemoryException;

    private static string OneLine(string message)
    {
        // .NET appends the parameter's name and value to some messages on lines of their own.
        int end = message.AsSpan().IndexOfAny('\r', '\n');
        string line = end < 0 ? message : message[..end];
        int parameter = line.LastIndexOf(" (Parameter '", StringComparison.Ordinal);
        return parameter < 0 ? line : line[..parameter];
    }
}
