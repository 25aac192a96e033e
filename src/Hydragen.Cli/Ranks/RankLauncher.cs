using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Hydragen.Cli.Output;

namespace Hydragen.Cli.Ranks;

/// <summary>Starts the ranks of a command on this host, shows what the others than the first have to say, and ends all when one fails.</summary>
internal sealed class RankLauncher(Terminal terminal)
{
    private const int PollMilliseconds = 50;
    private const string Echo = "hydragen: rank 0 failed: ";

    // Lines of other ranks wait a little, because what is wrong with the input rank 0 says too.
    private static readonly TimeSpan LineDelay = TimeSpan.FromSeconds(1), FailureTime = TimeSpan.FromSeconds(2.5), StopTime = TimeSpan.FromSeconds(5);

    /// <summary>Runs a command on some ranks.</summary>
    /// <param name="numRanks">Processes.</param>
    /// <param name="args">The command line of each.</param>
    /// <param name="cancellationToken">Stops them like a key does.</param>
    /// <returns>0, or the exit code of the first rank that failed.</returns>
    public async Task<int> RunAsync(int numRanks, IReadOnlyList<string> args, CancellationToken cancellationToken)
    {
        var ranks = new List<RankProcess>();
        try
        {
            int port = FindPort();
            string secret = Convert.ToHexString(RandomNumberGenerator.GetBytes(32));
            for (int rank = 0; rank < numRanks; rank++) ranks.Add(new RankProcess(rank, numRanks, port, secret, args));
            return await WaitAsync(ranks, cancellationToken);
        }
        finally
        {
            foreach (RankProcess rank in ranks)
            {
                rank.Kill();
                rank.Dispose();
            }
        }
    }

    private async Task<int> WaitAsync(List<RankProcess> ranks, CancellationToken cancellationToken)
    {
        RankProcess? failed = null;
        long deadline = long.MaxValue;
        bool isStopping = false;
        while (ranks.Any(rank => !rank.HasExited))
        {
            long now = Environment.TickCount64;
            if (cancellationToken.IsCancellationRequested && !isStopping)
            {
                isStopping = true;
                deadline = Math.Min(deadline, now + (long)StopTime.TotalMilliseconds);
                foreach (RankProcess rank in ranks) rank.Interrupt();
            }
            failed ??= FirstFailed(ranks);
            if (failed is not null)
            {
                deadline = Math.Min(deadline, now + (long)FailureTime.TotalMilliseconds);
            }

            // Others have nothing to do once rank 0 is done.
            if (ranks[0].HasExited && deadline == long.MaxValue) deadline = now + (long)StopTime.TotalMilliseconds;
            if (now >= deadline) foreach (RankProcess rank in ranks) rank.Kill();
            foreach (RankProcess rank in ranks) Show(rank, rank.TakeLines(now - (long)LineDelay.TotalMilliseconds));
            await Task.Delay(PollMilliseconds, CancellationToken.None);
        }
        failed ??= FirstFailed(ranks);
        foreach (RankProcess rank in ranks.Skip(1))
        {
            rank.WaitForLines();
            bool saysTheSame = rank.ExitCode == ExitCode.BadInput && ranks[0].ExitCode == ExitCode.BadInput;
            if (!saysTheSame) Show(rank, rank.TakeLines(long.MaxValue));
        }
        if (failed is null) return ExitCode.Success;
        if (failed.Signal is { } signal) terminal.Note($"hydragen: rank {failed.Rank} was killed by signal {signal}");
        return failed.ExitCode;
    }

    private static RankProcess? FirstFailed(List<RankProcess> ranks) =>
        ranks.Where(rank => rank.HasExited && rank.ExitCode != 0).OrderBy(rank => rank.ExitTime).ThenBy(rank => rank.Signal is null).FirstOrDefault();

    private void Show(RankProcess rank, List<string> lines)
    {
        foreach (string line in lines)
        {
            if (!line.StartsWith(Echo, StringComparison.Ordinal)) terminal.Note($"rank {rank.Rank}: {line}");
        }
    }

    private static int FindPort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
