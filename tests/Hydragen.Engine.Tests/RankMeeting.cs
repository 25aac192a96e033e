using System.Net;
using System.Net.Sockets;

namespace Hydragen.Engine.Tests;

/// <summary>Groups over the loopback interface, all ranks in this process.</summary>
internal static class RankMeeting
{
    public static RankGroupOptions Options { get; } = new() { JoinTimeout = TimeSpan.FromSeconds(30) };

    public static int FindPort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    public static RankEnvironment Environment(int rank, int size, int port) => new(rank, size, rank, "127.0.0.1", port, "test");

    public static Task<SocketRankGroup> JoinAsync(int rank, int size, int port, RankGroupOptions? options = null) =>
        Task.Run(() => SocketRankGroup.JoinAsync(Environment(rank, size, port), options ?? Options, TestContext.Current.CancellationToken));

    public static Task<SocketRankGroup[]> MeetAsync(int size, RankGroupOptions? options = null)
    {
        int port = FindPort();
        return Task.WhenAll(Enumerable.Range(0, size).Select(rank => JoinAsync(rank, size, port, options)));
    }

    /// <summary>Runs something on all ranks at once.</summary>
    public static Task<T[]> RunAsync<T>(SocketRankGroup[] groups, Func<SocketRankGroup, T> run) => Task.WhenAll(groups.Select(
        group => Task.Factory.StartNew(() => run(group), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)));

    /// <summary>Leaves with all ranks at once.</summary>
    public static Task LeaveAsync(IEnumerable<SocketRankGroup> groups) => Task.WhenAll(groups.Select(group => Task.Run(group.Dispose)));
}
