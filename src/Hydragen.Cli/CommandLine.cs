using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text;
using Hydragen.Cli.Commands;
using Hydragen.Cli.Output;

namespace Hydragen.Cli;

/// <summary>Parses and runs one command line.</summary>
internal static class CommandLine
{
    private static readonly TimeSpan LaunchStopTime = TimeSpan.FromSeconds(10);

    /// <summary>Runs a command over some streams.</summary>
    /// <returns>One of <see cref="ExitCode"/>.</returns>
    public static async Task<int> InvokeAsync(string[] args, Terminal terminal, CancellationToken cancellationToken = default)
    {
        try
        {
            return await ParseAndRunAsync(args, terminal, cancellationToken);
        }
        catch (IOException exception)
        {
            // What commands throw is handled there; this is help that could not be written.
            await terminal.Error.WriteLineAsync($"hydragen: {exception.Message}");
            return ExitCode.Failure;
        }
    }

    private static async Task<int> ParseAndRunAsync(string[] args, Terminal terminal, CancellationToken cancellationToken)
    {
        string[] verbs = [.. Create(terminal, null).Subcommands.Select(verb => verb.Name)];
        (args, string[]? launched) = LaunchCommand.Split(args, verbs.Where(verb => verb != LaunchCommand.Name));
        RootCommand root = Create(terminal, launched);
        ParseResult parsed = root.Parse(args);
        using var output = new StreamWriter(terminal.Output, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false), leaveOpen: true);
        var configuration = new InvocationConfiguration { EnableDefaultExceptionHandler = false, Output = output, Error = terminal.Error };
        if (args.Length == 0)
        {
            configuration.Output = terminal.Error;
            await root.Parse("--help").InvokeAsync(configuration, cancellationToken);
            return ExitCode.BadInput;
        }
        if (parsed.Errors.Count > 0)
        {
            await terminal.Error.WriteLineAsync($"hydragen: {Explain(root, parsed)}");
            return ExitCode.BadInput;
        }
        if (launched is { Length: > 0 })
        {
            // What every rank would refuse is said once; and ranks have time to end before this process does.
            ParseResult inner = root.Parse(launched);
            if (inner.Errors.Count > 0)
            {
                await terminal.Error.WriteLineAsync($"hydragen: {Explain(root, inner)}");
                return ExitCode.BadInput;
            }
            configuration.ProcessTerminationTimeout = LaunchStopTime;
        }
        return await parsed.InvokeAsync(configuration, cancellationToken);
    }

    private static RootCommand Create(Terminal terminal, string[]? launched)
    {
        RootCommand root = new("Exact shared-prefix attention and batch inference: what prompts share is computed once.")
        {
            DemoCommand.Create(terminal),
            AskCommand.Create(terminal),
            GenerateCommand.Create(terminal),
            ScoreCommand.Create(terminal),
            TokenizeCommand.Create(terminal),
            AttentionCommand.Create(terminal),
            BenchCommand.Create(terminal),
            LaunchCommand.Create(terminal, launched),
            DoctorCommand.Create(terminal),
        };
        root.Options.Add(CommandRunner.MakeVerbose());
        HelpWithDetails.AddTo(root);
        return root;
    }

    private static string Explain(RootCommand root, ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        if (command.Subcommands.Count > 0)
        {
            string of = command == root ? "" : $" of '{command.Name}'", commands = $"commands are {string.Join(", ", command.Subcommands.Select(verb => verb.Name))}";
            return parsed.UnmatchedTokens.Count > 0 ? $"'{parsed.UnmatchedTokens[0]}' is not a command{of}; {commands}" : $"Give a command{of}; {commands}";
        }

        // An option with a wrong value says more than "required" or "unrecognized", which may only follow from it.
        ParseError error = parsed.Errors.FirstOrDefault(error => error.SymbolResult is OptionResult) ?? parsed.Errors[0];
        string message = error.Message.ReplaceLineEndings(" ").TrimEnd('.');
        return $"{message}; see 'hydragen {Path(parsed.CommandResult)}--help'";
    }

    /// <summary>The words that lead to a command, each followed by a space.</summary>
    private static string Path(SymbolResult? result) =>
        result is CommandResult { Command: not RootCommand } verb ? $"{Path(verb.Parent)}{verb.Command.Name} " : "";
}
