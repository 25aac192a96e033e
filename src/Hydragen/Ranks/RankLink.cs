using System.Buffers;
using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;

namespace Hydragen;

/// <summary>
/// The connection of two ranks: frames of a kind, a length and bytes. A thread reads all the time, so that a lost peer is noticed whatever
/// the caller does. Sending is thread-safe; one caller receives.
/// </summary>
internal sealed class RankLink : IDisposable
{
    private const int HeaderBytes = 1 + sizeof(int), MaxFailureBytes = 4096;

    private readonly Socket _socket;
    private readonly RankGroupOptions _options;
    private readonly Action<RankLink, string> _onFailure;
    private readonly Action<RankLink> _onLeave;
    private readonly Lock _sending = new();
    private readonly Queue<(byte[] Array, int Length)> _received = new();
    private readonly byte[] _header = new byte[HeaderBytes];
    private string? _failure;
    private bool _isClosing;

    /// <param name="socket">Connected; owned.</param>
    /// <param name="peer">The rank at the other end.</param>
    /// <param name="options">Time limits.</param>
    /// <param name="onFailure">Learns, on a thread of the link, that the peer failed or is lost.</param>
    /// <param name="onLeave">Learns, on a thread of the link, that the peer leaves as agreed.</param>
    public RankLink(Socket socket, int peer, RankGroupOptions options, Action<RankLink, string> onFailure, Action<RankLink> onLeave)
    {
        _socket = socket;
        _options = options;
        _onFailure = onFailure;
        _onLeave = onLeave;
        Peer = peer;
        socket.NoDelay = true;
        socket.ReceiveTimeout = (int)options.SilenceTimeout.TotalMilliseconds;
        socket.SendTimeout = (int)options.SilenceTimeout.TotalMilliseconds;
        new Thread(Read) { IsBackground = true, Name = $"Hydragen rank {peer}", Priority = ThreadPriority.AboveNormal }.Start();
    }

    private enum FrameKind : byte
    {
        Heartbeat = 1,
        Data = 2,
        Failure = 3,
        Leave = 4,
    }

    public int Peer { get; }

    /// <summary>Whether the peer said that it leaves.</summary>
    public bool HasLeft { get; private set; }

    public void Send(ReadOnlySpan<byte> data) => SendFrame(FrameKind.Data, data, waits: true);

    /// <summary>Shows that this rank lives; nothing when something else is being sent.</summary>
    public void SendHeartbeat() => SendFrame(FrameKind.Heartbeat, [], waits: false);

    public void SendFailure(string message) => SendLast(FrameKind.Failure, Encoding.UTF8.GetBytes(message));

    public void SendLeave() => SendLast(FrameKind.Leave, []);

    /// <summary>Waits for data of exactly this length.</summary>
    /// <exception cref="Core.RankGroupException">The peer left, the group failed, or the data has another length.</exception>
    public void Receive(Span<byte> destination)
    {
        (byte[] array, int length) = Take();
        try
        {
            if (length != destination.Length)
                throw new Core.RankGroupException($"Rank {Peer} sent {length} bytes where {destination.Length} were expected; the ranks do not make the same calls.");
            array.AsSpan(0, length).CopyTo(destination);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(array);
        }
    }

    /// <summary>Waits for data of any length.</summary>
    /// <exception cref="Core.RankGroupException">The peer left, or the group failed.</exception>
    public byte[] Receive()
    {
        (byte[] array, int length) = Take();
        byte[] message = array.AsSpan(0, length).ToArray();
        ArrayPool<byte>.Shared.Return(array);
        return message;
    }

    /// <summary>Ends all waits with a message.</summary>
    public void Break(string message)
    {
        lock (_received)
        {
            _failure ??= message;
            Monitor.PulseAll(_received);
        }
    }

    /// <summary>Waits until the peer leaves or is lost, or the time is over.</summary>
    public void WaitUntilLeft(TimeSpan timeout)
    {
        long end = Environment.TickCount64 + (long)timeout.TotalMilliseconds;
        lock (_received)
        {
            while (!HasLeft && _failure is null && end - Environment.TickCount64 is > 0 and var rest) Monitor.Wait(_received, (int)rest);
        }
    }

    public void Dispose()
    {
        _isClosing = true;
        Break("The group was left.");
        _socket.Dispose();
    }

    private (byte[] Array, int Length) Take()
    {
        lock (_received)
        {
            while (true)
            {
                if (_received.TryDequeue(out (byte[] Array, int Length) data)) return data;
                if (_failure is not null) throw new Core.RankGroupException(_failure);
                if (HasLeft) throw new Core.RankGroupException($"Rank {Peer} has left the group.");
                Monitor.Wait(_received);
            }
        }
    }

    private void SendFrame(FrameKind kind, ReadOnlySpan<byte> data, bool waits)
    {
        if (_failure is not null && waits) throw new Core.RankGroupException(_failure);
        if (waits) _sending.Enter();
        else if (!_sending.TryEnter()) return;
        try
        {
            _header[0] = (byte)kind;
            BinaryPrimitives.WriteInt32LittleEndian(_header.AsSpan(1), data.Length);
            SendAll(_header);
            SendAll(data);
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            if (!waits || _isClosing) return;

            // The peer may have said why it went; the reading thread knows then.
            lock (_received)
            {
                if (_failure is null) Monitor.Wait(_received, _options.HeartbeatInterval);
            }
            if (_failure is null) _onFailure(this, $"rank {Peer} is gone: nothing can be sent to it");
            throw new Core.RankGroupException(_failure ?? $"rank {Peer} is gone", exception);
        }
        finally
        {
            _sending.Exit();
        }
    }

    /// <summary>Sends without minding whether it arrives.</summary>
    private void SendLast(FrameKind kind, ReadOnlySpan<byte> data)
    {
        if (!_sending.TryEnter(_options.HeartbeatInterval)) return;
        try
        {
            var header = new byte[HeaderBytes];
            header[0] = (byte)kind;
            BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(1), data.Length);
            SendAll(header);
            SendAll(data);
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // The peer is gone already.
        }
        finally
        {
            _sending.Exit();
        }
    }

    private void SendAll(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty) bytes = bytes[_socket.Send(bytes)..];
    }

    private void Read()
    {
        var header = new byte[HeaderBytes];
        try
        {
            while (true)
            {
                ReadAll(header);
                int length = BinaryPrimitives.ReadInt32LittleEndian(header.AsSpan(1));
                switch ((FrameKind)header[0])
                {
                    case FrameKind.Heartbeat when length == 0:
                        break;
                    case FrameKind.Data when length >= 0:
                        ReadData(length);
                        break;
                    case FrameKind.Failure when length is >= 0 and <= MaxFailureBytes:
                        var text = new byte[length];
                        ReadAll(text);
                        _onFailure(this, Encoding.UTF8.GetString(text));
                        return;
                    case FrameKind.Leave when length == 0:
                        Leave();
                        return;
                    default:
                        throw new InvalidDataException($"what it sent is no frame ({header[0]}, {length} bytes)");
                }
            }
        }
        catch (SocketException exception) when (exception.SocketErrorCode is SocketError.TimedOut or SocketError.WouldBlock)
        {
            Lose($"is lost: it has been silent for {_options.SilenceTimeout.TotalSeconds:0.#} s");
        }
        catch (Exception exception) when (exception is SocketException or EndOfStreamException)
        {
            Lose("is gone: its connection closed without a word");
        }
        catch (InvalidDataException exception)
        {
            Lose($"cannot be understood: {exception.Message}");
        }
        catch (ObjectDisposedException)
        {
            // Closed here.
        }
    }

    private void ReadData(int length)
    {
        byte[] array = ArrayPool<byte>.Shared.Rent(length);
        ReadAll(array.AsSpan(0, length));
        lock (_received)
        {
            _received.Enqueue((array, length));
            Monitor.PulseAll(_received);
        }
    }

    private void Leave()
    {
        lock (_received)
        {
            HasLeft = true;
            Monitor.PulseAll(_received);
        }
        _onLeave(this);
    }

    private void Lose(string how)
    {
        if (!_isClosing) _onFailure(this, $"rank {Peer} {how}");
    }

    private void ReadAll(Span<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int count = _socket.Receive(bytes);
            if (count == 0) throw new EndOfStreamException();
            bytes = bytes[count..];
        }
    }
}
