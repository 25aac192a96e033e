using Hydragen.Cli.Output;
using Hydragen.Cli.Ranks;

namespace Hydragen.Cli;

/// <summary>The hydragen command.</summary>
internal static class Program
{
    public static Task<int> Main(string[] args)
    {
        RankSession.WatchLauncher();
        return CommandLine.InvokeAsync(args, Terminal.OfProcess());
    }
}
