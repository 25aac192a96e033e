using System.CommandLine;
using Hydragen.Cli.Commands;

namespace Hydragen.Cli;

/// <summary>The hydragen command. Machine output goes to standard output, everything for people to standard error.</summary>
internal static class Program
{
    public static async Task<int> Main(string[] args)
    {
        RootCommand root = new("Exact shared-prefix attention and batch inference: what prompts share is computed once.")
        {
            DemoCommand.Create(),
            AskCommand.Create(),
            GenerateCommand.Create(),
            ScoreCommand.Create(),
            TokenizeCommand.Create(),
            AttentionCommand.Create(),
            DoctorCommand.Create(),
        };
        root.Options.Add(CommandRunner.Verbose);
        ParseResult parsed = root.Parse(args);
        if (parsed.Errors.Count > 0)
        {
            await Console.Error.WriteLineAsync($"hydragen: {parsed.Errors[0].Message} (see 'hydragen {HelpPath(parsed)}--help')");
            return ExitCode.BadInput;
        }
        return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
    }

    private static string HelpPath(ParseResult parsed) =>
        parsed.CommandResult.Command is RootCommand ? "" : parsed.CommandResult.Command.Name + " ";
}
