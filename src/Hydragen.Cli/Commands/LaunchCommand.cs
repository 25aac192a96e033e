using System.CommandLine;
using Hydragen.Cli.Output;
using Hydragen.Cli.Ranks;

namespace Hydragen.Cli.Commands;

/// <summary>Runs another command on several processes of this host, each with a share of the model.</summary>
internal static class LaunchCommand
{
    public const string Name = "launch";
    private const int MaxRanks = 64;

    private const string Details = """
        Behind --gpus stands any command that runs a model, with its options: hydragen launch --gpus N COMMAND ...

        The model is split over the processes, one a GPU; with --device cpu they share the processor. What rank 0
        prints is the output; errors of other ranks are shown with their number. When one rank fails or is killed,
        all end, and the exit code is its.
        On several hosts, or where processes are started otherwise, torchrun, mpirun and srun start the command
        without 'launch'.

        Example:
          hydragen launch --gpus 2 generate --model DIR --device cuda --prompt "Once upon a time"
        """;

    /// <summary>Cuts a command line behind the options of this command.</summary>
    /// <param name="args">All arguments.</param>
    /// <param name="verbs">The words that can start the command to run.</param>
    /// <returns>The arguments of this command; those of the command to run, or null when this is not it.</returns>
    public static (string[] Own, string[]? Command) Split(string[] args, IEnumerable<string> verbs)
    {
        if (args.Length == 0 || args[0] != Name) return (args, null);
        int first = Array.FindIndex(args, 1, arg => verbs.Contains(arg));
        return first < 0 ? (args, []) : (args[..first], args[first..]);
    }

    /// <param name="terminal">The streams.</param>
    /// <param name="command">The command line to run, or null.</param>
    public static Command Create(Terminal terminal, string[]? command)
    {
        var launch = new Verb(Name, "Run a command on several GPUs of this host, the model split over them.", Details);
        Option<int> gpus = Values.Integer("--gpus", "Processes, one a GPU.", 1, 1, MaxRanks);
        gpus.Required = true;
        gpus.DefaultValueFactory = null;
        gpus.Aliases.Add("--ranks");
        launch.Options.Add(gpus);
        launch.SetAction(async (parsed, cancellationToken) =>
        {
            if (command is not { Length: > 0 })
            {
                terminal.Note($"hydragen: say what to run, as in 'hydragen {Name} --gpus 2 generate ...'");
                return ExitCode.BadInput;
            }
            return await new RankLauncher(terminal).RunAsync(parsed.GetValue(gpus), command, cancellationToken);
        });
        return launch;
    }
}
