using Hydragen.Cli.Output;

namespace Hydragen.Cli;

/// <summary>The hydragen command.</summary>
internal static class Program
{
    public static Task<int> Main(string[] args) => CommandLine.InvokeAsync(args, Terminal.OfProcess());
}
