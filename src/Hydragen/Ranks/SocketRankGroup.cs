using System.Runtime.InteropServices;
using Hydragen.Core;

namespace Hydragen;

/// <summary>
/// A group over TCP. Rank 0 is connected with every other rank, adds up and spreads what they send, in the order of ranks, so that all get the
/// same bits. Serves any backend; on GPUs it only brings the ranks together and watches them, and numbers go another way.
/// </summary>
/// <remarks>
/// A rank that dies is noticed at once by its closed connection, one that hangs or cannot be reached after
/// <see cref="RankGroupOptions.SilenceTimeout"/>. Rank 0 tells the others.
/// </remarks>
public sealed class SocketRankGroup : IRankGroup
{
    private readonly RankGroupOptions _options;
    private readonly RankLink?[] _links;
    private readonly CancellationTokenSource _failed = new();
    private readonly ManualResetEventSlim _isClosed = new();
    private readonly Lock _state = new();
    private float[] _own = [], _other = [];
    private string? _failure;
    private bool _isDisposed;

    private SocketRankGroup(RankEnvironment environment, RankGroupOptions options)
    {
        _options = options;
        _links = new RankLink?[environment.Rank == 0 ? environment.Size - 1 : 1];
        Rank = environment.Rank;
        Size = environment.Size;
        new Thread(SendHeartbeats) { IsBackground = true, Name = "Hydragen heartbeat", Priority = ThreadPriority.AboveNormal }.Start();
    }

    /// <inheritdoc/>
    public int Rank { get; }

    /// <inheritdoc/>
    public int Size { get; }

    /// <inheritdoc/>
    public string Description => $"{Size} ranks over TCP";

    /// <inheritdoc/>
    public CancellationToken Failed => _failed.Token;

    /// <inheritdoc/>
    public string? Failure => _failure;

    /// <summary>Meets the other ranks: rank 0 waits at its port, the others connect to it.</summary>
    /// <param name="environment">Which rank this is, and where rank 0 is.</param>
    /// <param name="options">Time limits and secret; null for the defaults.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="RankGroupException">
    /// The port cannot be used, ranks are missing when the time is over, or they were not started for the same group; the message says which.
    /// </exception>
    public static async Task<SocketRankGroup> JoinAsync(
        RankEnvironment environment, RankGroupOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(environment);
        options ??= new RankGroupOptions();
        var group = new SocketRankGroup(environment, options);
        try
        {
            await Rendezvous.MeetAsync(environment, options, (peer, socket) => group.Add(peer, socket), cancellationToken).ConfigureAwait(false);

            // Rank 0 has seen all of them; the others learn it here.
            if (environment.Rank == 0) group.Send([]);
            else await Task.Run(group.Receive, CancellationToken.None).WaitAsync(cancellationToken).ConfigureAwait(false);
            return group;
        }
        catch (Exception exception)
        {
            group.Fail(exception is OperationCanceledException ? "it was cancelled while the ranks met" : exception.Message);
            group.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void AllReduce(DeviceBuffer buffer, long length)
    {
        Span<byte> own = Download(buffer, length);
        if (Rank > 0)
        {
            Link(0).Send(own);
            Link(0).Receive(own);
        }
        else
        {
            if (_other.Length < length) _other = new float[length];
            Span<float> sum = _own.AsSpan(0, (int)length), other = _other.AsSpan(0, (int)length);
            foreach (RankLink? link in _links)
            {
                link!.Receive(MemoryMarshal.AsBytes(other));
                for (int i = 0; i < sum.Length; i++) sum[i] += other[i];
            }
            Send(own);
        }
        buffer.Upload(_own.AsSpan(0, (int)length));
    }

    /// <inheritdoc/>
    public void Broadcast(DeviceBuffer buffer, long length)
    {
        if (Rank == 0)
        {
            Send(Download(buffer, length));
            return;
        }
        Link(0).Receive(Room(buffer, length));
        buffer.Upload(_own.AsSpan(0, (int)length));
    }

    /// <inheritdoc/>
    public void Broadcast(Span<int> values)
    {
        if (Rank == 0) Send(MemoryMarshal.AsBytes(values));
        else Link(0).Receive(MemoryMarshal.AsBytes(values));
    }

    /// <inheritdoc/>
    public long Min(long value)
    {
        Span<byte> bytes = MemoryMarshal.AsBytes(new Span<long>(ref value));
        if (Rank > 0)
        {
            Link(0).Send(bytes);
            Link(0).Receive(bytes);
            return value;
        }
        long smallest = value;
        foreach (RankLink? link in _links)
        {
            link!.Receive(bytes);
            smallest = Math.Min(smallest, value);
        }
        value = smallest;
        Send(bytes);
        return smallest;
    }

    /// <inheritdoc/>
    public void Send(ReadOnlySpan<byte> message)
    {
        if (Rank != 0) throw new InvalidOperationException("Only rank 0 sends messages.");
        for (int i = 0; i < _links.Length; i++) Link(i).Send(message);
    }

    /// <inheritdoc/>
    public byte[] Receive() => Rank > 0 ? Link(0).Receive() : throw new InvalidOperationException("Rank 0 receives no messages.");

    /// <inheritdoc/>
    public void Fail(string message)
    {
        ArgumentException.ThrowIfNullOrEmpty(message);
        Fail($"rank {Rank} failed: {message}", null);
    }

    /// <summary>Leaves the group, and waits a little for the others to leave as well.</summary>
    public void Dispose()
    {
        lock (_state)
        {
            if (_isDisposed) return;
            _isDisposed = true;
        }
        if (_failure is null)
        {
            foreach (RankLink? link in _links) link?.SendLeave();
            foreach (RankLink? link in _links) link?.WaitUntilLeft(_options.LeaveTimeout);
        }
        _isClosed.Set();
        foreach (RankLink? link in _links) link?.Dispose();
    }

    private void Add(int peer, System.Net.Sockets.Socket socket)
    {
        int index = Rank == 0 ? peer - 1 : 0;
        _links[index] = new RankLink(socket, peer, _options, (link, message) => Fail(message, link), OnLeave);
    }

    private RankLink Link(int index)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        return _failure is { } failure ? throw new RankGroupException(failure) : _links[index]!;
    }

    /// <summary>Ends the group here, and tells everybody but the one who knows already.</summary>
    private void Fail(string message, RankLink? source)
    {
        lock (_state)
        {
            if (_failure is not null || (_isDisposed && source is not null)) return;
            _failure = message;
        }
        foreach (RankLink? link in _links)
        {
            if (link != source) link?.SendFailure(message);
        }

        // Whoever waits must find the group failed when it wakes up; what others do about it must not hold up the rest.
        _ = _failed.CancelAsync();
        foreach (RankLink? link in _links) link?.Break(message);
    }

    /// <summary>Nobody may leave while others still work.</summary>
    private void OnLeave(RankLink link) => Task.Delay(_options.LeaveTimeout).ContinueWith(
        _ =>
        {
            if (!_isDisposed) Fail($"rank {link.Peer} left while rank {Rank} was still at work", link);
        },
        TaskScheduler.Default);

    private void SendHeartbeats()
    {
        while (!_isClosed.Wait(_options.HeartbeatInterval))
        {
            foreach (RankLink? link in _links) link?.SendHeartbeat();
        }
    }

    private Span<byte> Download(DeviceBuffer buffer, long length)
    {
        Span<byte> room = Room(buffer, length);
        buffer.Download(_own.AsSpan(0, (int)length));
        return room;
    }

    private Span<byte> Room(DeviceBuffer buffer, long length)
    {
        ArgumentNullException.ThrowIfNull(buffer);
        if (length < 0 || length > Math.Min(buffer.Length, int.MaxValue / sizeof(float)))
            throw new ArgumentOutOfRangeException(nameof(length), length, $"The buffer has {buffer.Length} elements.");
        if (_own.Length < length) _own = new float[length];
        return MemoryMarshal.AsBytes(_own.AsSpan(0, (int)length));
    }
}
