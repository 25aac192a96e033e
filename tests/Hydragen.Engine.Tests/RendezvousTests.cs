using System.Net;
using System.Net.Sockets;
using Hydragen.Core;

namespace Hydragen.Engine.Tests;

/// <summary>How ranks find one another, and what happens when one does not come, or somebody else does.</summary>
public sealed class RendezvousTests
{
    private static readonly RankGroupOptions Short = RankMeeting.Options with { JoinTimeout = TimeSpan.FromSeconds(1) };

    [Fact]
    public async Task Ranks_may_come_in_any_order_and_late()
    {
        int port = RankMeeting.FindPort();
        Task<SocketRankGroup> last = RankMeeting.JoinAsync(2, 3, port);
        await Task.Delay(200, TestContext.Current.CancellationToken);
        Task<SocketRankGroup> first = RankMeeting.JoinAsync(0, 3, port);
        await Task.Delay(200, TestContext.Current.CancellationToken);
        Assert.False(first.IsCompleted || last.IsCompleted);
        SocketRankGroup[] groups = await Task.WhenAll(first, RankMeeting.JoinAsync(1, 3, port), last);
        Assert.Equal([0, 1, 2], groups.Select(group => group.Rank));
        Assert.All(groups, group => Assert.Equal(3, group.Size));
        await RankMeeting.LeaveAsync(groups);
        Assert.All(groups, group => Assert.Null(group.Failure));
    }

    [Fact]
    public async Task Missing_ranks_are_named_by_rank_0_and_those_who_came_learn_it()
    {
        int port = RankMeeting.FindPort();
        Task<SocketRankGroup> first = RankMeeting.JoinAsync(0, 4, port, Short), other = RankMeeting.JoinAsync(2, 4, port);
        Assert.Contains("Ranks 1, 3 of 4 did not come", (await FailureOf(first)).Message, StringComparison.Ordinal);
        Assert.Contains("Ranks 1, 3 of 4 did not come", (await FailureOf(other)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_rank_without_rank_0_says_where_it_looked()
    {
        int port = RankMeeting.FindPort();
        RankGroupException exception = await FailureOf(RankMeeting.JoinAsync(1, 2, port, Short));
        Assert.Contains($"127.0.0.1:{port} within 1 s: nobody listens there", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_rank_of_a_group_of_another_size_ends_the_meeting_on_both_sides()
    {
        int port = RankMeeting.FindPort();
        Task<SocketRankGroup> first = RankMeeting.JoinAsync(0, 2, port), other = RankMeeting.JoinAsync(1, 3, port);
        Assert.Equal("Rank 1 was started for 3 ranks, but rank 0 for 2.", (await FailureOf(first)).Message);
        Assert.Contains("was started for 3 ranks, but rank 0", (await FailureOf(other)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_same_rank_twice_ends_the_meeting()
    {
        int port = RankMeeting.FindPort();
        Task<SocketRankGroup> first = RankMeeting.JoinAsync(0, 3, port), one = RankMeeting.JoinAsync(1, 3, port), same = RankMeeting.JoinAsync(1, 3, port);
        Assert.Contains("as rank 1", (await FailureOf(first)).Message, StringComparison.Ordinal);
        await FailureOf(one);
        await FailureOf(same);
    }

    [Fact]
    public async Task Who_does_not_know_the_secret_is_turned_away_and_the_others_meet()
    {
        int port = RankMeeting.FindPort();
        RankGroupOptions secret = RankMeeting.Options with { Secret = "a secret" };
        Task<SocketRankGroup> first = RankMeeting.JoinAsync(0, 2, port, secret);
        Assert.Contains("another secret", (await FailureOf(RankMeeting.JoinAsync(1, 2, port, secret with { Secret = "guess" }))).Message, StringComparison.Ordinal);
        await RankMeeting.LeaveAsync(await Task.WhenAll(first, RankMeeting.JoinAsync(1, 2, port, secret)));
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: some scanner or other\r\n\r\n")]
    [InlineData("x")]
    [InlineData("")]
    public async Task Garbage_on_the_port_is_ignored(string bytes)
    {
        int port = RankMeeting.FindPort();
        Task<SocketRankGroup> first = RankMeeting.JoinAsync(0, 2, port);
        using TcpClient stranger = await ConnectAsync(port);
        await stranger.GetStream().WriteAsync(System.Text.Encoding.ASCII.GetBytes(bytes), TestContext.Current.CancellationToken);
        using (await ConnectAsync(port))
        {
            // Closed at once.
        }
        SocketRankGroup[] groups = await Task.WhenAll(first, RankMeeting.JoinAsync(1, 2, port));
        await RankMeeting.LeaveAsync(groups);
        Assert.All(groups, group => Assert.Null(group.Failure));
    }

    [Fact]
    public async Task A_port_of_another_program_is_named_on_both_sides()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        int port = ((IPEndPoint)listener.LocalEndpoint).Port;
        _ = Task.Run(async () =>
        {
            while (true)
            {
                using TcpClient client = await listener.AcceptTcpClientAsync();
                await client.GetStream().WriteAsync(new byte[64]);
            }
        }, TestContext.Current.CancellationToken);
        Assert.Contains("another program uses the port", (await FailureOf(RankMeeting.JoinAsync(0, 2, port))).Message, StringComparison.Ordinal);
        Assert.Contains("no rank of this program", (await FailureOf(RankMeeting.JoinAsync(1, 2, port, Short))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_wait_can_be_cancelled()
    {
        using var stop = new CancellationTokenSource();
        int port = RankMeeting.FindPort();
        Task<SocketRankGroup> first = SocketRankGroup.JoinAsync(RankMeeting.Environment(0, 2, port), RankMeeting.Options, stop.Token);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
    }

    private static Task<RankGroupException> FailureOf(Task<SocketRankGroup> join) => Assert.ThrowsAsync<RankGroupException>(() => join);

    private static async Task<TcpClient> ConnectAsync(int port)
    {
        while (true)
        {
            var client = new TcpClient();
            try
            {
                await client.ConnectAsync(IPAddress.Loopback, port, TestContext.Current.CancellationToken);
                return client;
            }
            catch (SocketException)
            {
                client.Dispose();
                await Task.Delay(20, TestContext.Current.CancellationToken);
            }
        }
    }
}
