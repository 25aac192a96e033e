using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Engine.Tests;

/// <summary>What ranks exchange, and how they learn of one another's end.</summary>
public sealed class SocketRankGroupTests
{
    [Theory]
    [InlineData(ElementType.Float32)]
    [InlineData(ElementType.BFloat16)]
    public async Task Sums_and_broadcasts_have_the_same_bits_on_all_ranks(ElementType type)
    {
        const int Size = 3, Length = 1001;
        SocketRankGroup[] groups = await RankMeeting.MeetAsync(Size);
        (float[] Sum, float[] First)[] results = await RankMeeting.RunAsync(groups, group =>
        {
            using var backend = new CpuBackend(new CpuOptions { NumThreads = 1 });
            using DeviceBuffer buffer = backend.Allocate(type, Length + 1);
            float[] sum = new float[Length + 1], first = new float[Length + 1];
            buffer.Upload(Values(group.Rank, Length + 1));
            group.AllReduce(buffer, Length);
            buffer.Download(sum);
            buffer.Upload(Values(group.Rank, Length + 1));
            group.Broadcast(buffer, Length);
            buffer.Download(first);
            return (sum, first);
        });
        for (int i = 0; i < Length; i++)
        {
            float expected = Rounded(Rounded(Value(0, i)) + Rounded(Value(1, i)) + Rounded(Value(2, i)));
            Assert.All(results, result => Assert.Equal(expected, result.Sum[i]));
            Assert.All(results, result => Assert.Equal(Rounded(Value(0, i)), result.First[i]));
        }

        // What lies behind stays.
        for (int rank = 0; rank < Size; rank++)
        {
            Assert.Equal(Rounded(Value(rank, Length)), results[rank].Sum[Length]);
            Assert.Equal(Rounded(Value(rank, Length)), results[rank].First[Length]);
        }
        await RankMeeting.LeaveAsync(groups);

        float Rounded(float value) => type == ElementType.Float32 ? value : BFloat16Bits.ToSingle(BFloat16Bits.FromSingle(value));
    }

    [Fact]
    public async Task Numbers_and_messages_of_the_host_reach_all_ranks()
    {
        SocketRankGroup[] groups = await RankMeeting.MeetAsync(3);
        long[] smallest = await RankMeeting.RunAsync(groups, group => group.Min(group.Rank == 1 ? -5L << 40 : group.Rank));
        Assert.All(smallest, value => Assert.Equal(-5L << 40, value));
        int[][] values = await RankMeeting.RunAsync(groups, group =>
        {
            int[] numbers = [group.Rank, 7 * group.Rank + 3];
            group.Broadcast(numbers);
            return numbers;
        });
        Assert.All(values, numbers => Assert.Equal([0, 3], numbers));
        byte[][] messages = await RankMeeting.RunAsync(groups, group =>
        {
            if (group.Rank > 0) return group.Receive();
            group.Send([1, 2, 3]);
            return [1, 2, 3];
        });
        Assert.All(messages, message => Assert.Equal([1, 2, 3], message));
        await RankMeeting.RunAsync(groups, group =>
        {
            group.RequireSame("something", 17);
            RankGroupException exception = Assert.Throws<RankGroupException>(() => group.RequireSame("the colour", group.Rank / 2));
            Assert.Contains("the colour", exception.Message, StringComparison.Ordinal);
            return 0;
        });
        await RankMeeting.LeaveAsync(groups);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task The_error_of_a_rank_ends_the_waits_of_all_others(int failing)
    {
        SocketRankGroup[] groups = await RankMeeting.MeetAsync(3);
        string[] messages = await RankMeeting.RunAsync(groups, group =>
        {
            if (group.Rank != failing) return Assert.Throws<RankGroupException>(() => group.Min(1)).Message;
            group.Fail("the disk is full");
            return Assert.Throws<RankGroupException>(() => group.Min(1)).Message;
        });
        Assert.All(messages, message => Assert.Equal($"rank {failing} failed: the disk is full", message));
        Assert.All(groups, group => Assert.True(group.Failed.IsCancellationRequested));
        await RankMeeting.LeaveAsync(groups);
    }

    [Fact]
    public async Task A_rank_that_leaves_while_others_work_ends_them()
    {
        RankGroupOptions options = RankMeeting.Options with { LeaveTimeout = TimeSpan.FromMilliseconds(300) };
        SocketRankGroup[] groups = await RankMeeting.MeetAsync(3, options);
        groups[1].Dispose();
        var ended = new TaskCompletionSource();
        using CancellationTokenRegistration registration = groups[2].Failed.Register(ended.SetResult);
        await ended.Task.WaitAsync(TestContext.Current.CancellationToken);
        Assert.Contains("rank 1 left while rank 0 was still at work", groups[2].Failure, StringComparison.Ordinal);
        await RankMeeting.LeaveAsync(groups);
    }

    [Fact]
    public async Task A_call_that_others_do_not_make_is_noticed()
    {
        SocketRankGroup[] groups = await RankMeeting.MeetAsync(2);
        await RankMeeting.RunAsync(groups, group =>
        {
            if (group.Rank == 0) group.Send([1, 2, 3]);
            else Assert.Contains("do not make the same calls", Assert.Throws<RankGroupException>(() => group.Broadcast(new int[5])).Message, StringComparison.Ordinal);
            return 0;
        });
        await RankMeeting.LeaveAsync(groups);
    }

    private static float[] Values(int rank, int length) => [.. Enumerable.Range(0, length).Select(i => Value(rank, i))];

    private static float Value(int rank, int i) => MathF.Sin(i * 0.37f + rank) * (1 << (i % 7));
}
