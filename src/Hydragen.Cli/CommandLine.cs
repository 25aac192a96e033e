using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text;
using Hydragen.Cli.Commands;
using Hydragen.Cli.Output;

namespace Hydragen.Cli;

/// <summary>Parses and runs one command line.</summary>
internal static class CommandLine
{
    /// <summary>Runs a command over some streams.</summary>
    /// <returns>One of <see cref="ExitCode"/>.</returns>
    public static async Task<int> InvokeAsync(string[] args, Terminal terminal, CancellationToken cancellationToken = default)
    {
        RootCommand root = Create(terminal);
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
        return await parsed.InvokeAsync(configuration, cancellationToken);
    }

    private static RootCommand Create(Terminal terminal)
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
            DoctorCommand.Create(terminal),
        };
        root.Options.Add(CommandRunner.MakeVerbose());
        HelpWithDetails.AddTo(root);
        return root;
    }

    private static string Explain(RootCommand root, ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        if (command == root && parsed.UnmatchedTokens.Count > 0)
            return $"'{parsed.UnmatchedTokens[0]}' is not a command; commands are {string.Join(", ", root.Subcommands.Select(verb => verb.Name))}";

        // An option with a wrong value says more than "required" or "unrecognized", which may only follow from it.
        ParseError error = parsed.Errors.FirstOrDefault(error => error.SymbolResult is OptionResult) ?? parsed.Errors[0];
        string message = error.Message.ReplaceLineEndings(" ").TrimEnd('.');
        return $"{message}; see 'hydragen {(command == root ? "" : command.Name + " ")}--help'";
    }
}
