using System.CommandLine;
using Hydragen.Cli.Bench;
using Hydragen.Cli.Output;

namespace Hydragen.Cli.Commands;

/// <summary>Measures attention, decoding and generation beside the ceilings of the machine.</summary>
internal static class BenchCommand
{
    private const string Details = "bench/README.md in the repository says how results are reproduced and stored.";

    public static Command Create(Terminal terminal)
    {
        var command = new Verb("bench", "Measure attention, decoding or generation, beside what the machine can do.", Details);
        command.Subcommands.Add(AttentionBenchCommand.Create(terminal));
        command.Subcommands.Add(DecodingBenchCommand.Create(terminal));
        command.Subcommands.Add(GenerationBenchCommand.Create(terminal));
        return command;
    }
}
