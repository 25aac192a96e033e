using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Hydragen.Core;

namespace Hydragen;

/// <summary>
/// How ranks find one another. Rank 0 greets each connection with a magic number and random bytes; the other end answers with the magic
/// number, its rank, the size of its group and a code over all of it that only who knows the secret can compute; rank 0 accepts or says
/// what is wrong. Whatever else comes to the port is closed and forgotten.
/// </summary>
internal static class Rendezvous
{
    private const int NonceBytes = 32, CodeBytes = 32, GreetingBytes = sizeof(ulong) + NonceBytes;
    private const int ClaimBytes = sizeof(ulong) + 2 * sizeof(int), AnswerBytes = 2 * sizeof(int);

    // "HYDRANK" and the version of the protocol.
    private const ulong Magic = 0x014B_4E41_5244_5948;

    private static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(50);

    private enum Verdict
    {
        Accepted,
        WrongSecret,
        WrongSize,
        WrongRank,
    }

    /// <summary>Meets the others.</summary>
    /// <param name="environment">Which rank this is.</param>
    /// <param name="options">Time limits and secret.</param>
    /// <param name="onMet">Takes over the connection with a rank; called once for each.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="RankGroupException">They do not come together.</exception>
    public static async Task MeetAsync(
        RankEnvironment environment, RankGroupOptions options, Action<int, Socket> onMet, CancellationToken cancellationToken)
    {
        using var time = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        time.CancelAfter(options.JoinTimeout);
        if (environment.Rank == 0) await new Host(environment, options, onMet).RunAsync(time.Token, cancellationToken).ConfigureAwait(false);
        else onMet(0, await ConnectAsync(environment, options, time.Token, cancellationToken).ConfigureAwait(false));
    }

    private static async Task<Socket> ConnectAsync(
        RankEnvironment environment, RankGroupOptions options, CancellationToken time, CancellationToken cancellationToken)
    {
        string where = $"{environment.Address}:{environment.Port}";
        string last = "nobody answered";
        while (true)
        {
            Socket? socket = null;
            try
            {
                socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
                await socket.ConnectAsync(environment.Address, environment.Port, time).ConfigureAwait(false);
                (Verdict verdict, int size) = await IntroduceAsync(socket, environment, options, time).ConfigureAwait(false);
                if (verdict == Verdict.Accepted) return Interlocked.Exchange(ref socket, null);
                throw new RankGroupException(verdict switch
                {
                    Verdict.WrongSize => $"Rank {environment.Rank} was started for {environment.Size} ranks, but rank 0 at {where} for {size}.",
                    Verdict.WrongSecret => $"Rank 0 at {where} was started with another secret.",
                    _ => $"Rank 0 at {where} has met a rank {environment.Rank} already.",
                });
            }
            catch (OperationCanceledException)
            {
                cancellationToken.ThrowIfCancellationRequested();
                throw new RankGroupException(
                    $"Rank {environment.Rank} did not reach rank 0 at {where} within {options.JoinTimeout.TotalSeconds:0.#} s: {last}.");
            }
            catch (Exception exception) when (exception is SocketException or IOException)
            {
                last = exception is SocketException { SocketErrorCode: SocketError.ConnectionRefused } ? "nobody listens there" : exception.Message.TrimEnd('.');
            }
            catch (InvalidDataException)
            {
                last = "what listens there is no rank of this program";
            }
            finally
            {
                socket?.Dispose();
            }
            await Task.Delay(RetryInterval, CancellationToken.None).ConfigureAwait(false);
        }
    }

    private static async Task<(Verdict Verdict, int Size)> IntroduceAsync(
        Socket socket, RankEnvironment environment, RankGroupOptions options, CancellationToken time)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(time);
        limit.CancelAfter(options.HandshakeTimeout);
        try
        {
            var greeting = new byte[GreetingBytes];
            await ReadAsync(socket, greeting, limit.Token).ConfigureAwait(false);
            if (BinaryPrimitives.ReadUInt64LittleEndian(greeting) != Magic) throw new InvalidDataException();
            var claim = new byte[ClaimBytes + CodeBytes];
            BinaryPrimitives.WriteUInt64LittleEndian(claim, Magic);
            BinaryPrimitives.WriteInt32LittleEndian(claim.AsSpan(sizeof(ulong)), environment.Rank);
            BinaryPrimitives.WriteInt32LittleEndian(claim.AsSpan(sizeof(ulong) + sizeof(int)), environment.Size);
            Code(options.Secret, greeting.AsSpan(sizeof(ulong)), claim.AsSpan(0, ClaimBytes)).CopyTo(claim, ClaimBytes);
            await socket.SendAsync(claim, limit.Token).ConfigureAwait(false);
            var answer = new byte[AnswerBytes];
            await ReadAsync(socket, answer, limit.Token).ConfigureAwait(false);
            return ((Verdict)BinaryPrimitives.ReadInt32LittleEndian(answer), BinaryPrimitives.ReadInt32LittleEndian(answer.AsSpan(sizeof(int))));
        }
        catch (OperationCanceledException) when (!time.IsCancellationRequested)
        {
            throw new InvalidDataException();
        }
    }

    private static byte[] Code(string secret, ReadOnlySpan<byte> nonce, ReadOnlySpan<byte> claim)
    {
        byte[] key = Encoding.UTF8.GetBytes(secret), message = [.. nonce, .. claim];
        return HMACSHA256.HashData(key, message);
    }

    private static async Task ReadAsync(Socket socket, Memory<byte> bytes, CancellationToken cancellationToken)
    {
        while (!bytes.IsEmpty)
        {
            int count = await socket.ReceiveAsync(bytes, cancellationToken).ConfigureAwait(false);
            if (count == 0) throw new IOException("the connection closed");
            bytes = bytes[count..];
        }
    }

    /// <summary>Rank 0's side.</summary>
    private sealed class Host(RankEnvironment environment, RankGroupOptions options, Action<int, Socket> onMet)
    {
        private readonly bool[] _hasMet = new bool[environment.Size];
        private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public async Task RunAsync(CancellationToken time, CancellationToken cancellationToken)
        {
            using Socket listener = await ListenAsync(time).ConfigureAwait(false);
            using CancellationTokenRegistration ending = time.Register(() => _done.TrySetCanceled());
            _ = AcceptAsync(listener);
            try
            {
                await _done.Task.ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                cancellationToken.ThrowIfCancellationRequested();
                int[] missing;
                lock (_hasMet) missing = [.. Enumerable.Range(1, environment.Size - 1).Where(rank => !_hasMet[rank])];
                throw new RankGroupException(
                    $"{(missing.Length == 1 ? "Rank" : "Ranks")} {string.Join(", ", missing)} of {environment.Size} did not come to {environment.Address}:{environment.Port} within {options.JoinTimeout.TotalSeconds:0.#} s.");
            }
        }

        private async Task<Socket> ListenAsync(CancellationToken time)
        {
            string where = $"{environment.Address}:{environment.Port}";
            IPAddress[] addresses;
            try
            {
                addresses = await Dns.GetHostAddressesAsync(environment.Address, time).ConfigureAwait(false);
            }
            catch (SocketException exception)
            {
                throw new RankGroupException($"The address of rank 0, {environment.Address}, is unknown here: {exception.Message}", exception);
            }
            SocketException? refusal = null;

            // A name of this host may stand for an address that only others use, as behind a translation.
            foreach (IPAddress address in addresses.Append(IPAddress.Any))
            {
                var listener = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
                try
                {
                    listener.Bind(new IPEndPoint(address, environment.Port));
                    listener.Listen();
                    return listener;
                }
                catch (SocketException exception)
                {
                    listener.Dispose();
                    refusal = exception;
                    if (exception.SocketErrorCode != SocketError.AddressNotAvailable) break;
                }
            }
            throw new RankGroupException(
                refusal!.SocketErrorCode == SocketError.AddressAlreadyInUse
                    ? $"Rank 0 cannot wait at {where}: another program uses the port. Set MASTER_PORT to a free one."
                    : $"Rank 0 cannot wait at {where}: {refusal.Message}", refusal);
        }

        private async Task AcceptAsync(Socket listener)
        {
            try
            {
                while (!_done.Task.IsCompleted) _ = ReceiveAsync(await listener.AcceptAsync(CancellationToken.None).ConfigureAwait(false));
            }
            catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
            {
                // The listener was closed, because all are here or the time is over.
            }
        }

        private async Task ReceiveAsync(Socket accepted)
        {
            Socket? socket = accepted;
            try
            {
                using var limit = new CancellationTokenSource(options.HandshakeTimeout);
                var greeting = new byte[GreetingBytes];
                BinaryPrimitives.WriteUInt64LittleEndian(greeting, Magic);
                RandomNumberGenerator.Fill(greeting.AsSpan(sizeof(ulong)));
                await socket.SendAsync(greeting, limit.Token).ConfigureAwait(false);
                var claim = new byte[ClaimBytes + CodeBytes];
                await ReadAsync(socket, claim, limit.Token).ConfigureAwait(false);
                if (BinaryPrimitives.ReadUInt64LittleEndian(claim) != Magic) return;
                int rank = BinaryPrimitives.ReadInt32LittleEndian(claim.AsSpan(sizeof(ulong)));
                int size = BinaryPrimitives.ReadInt32LittleEndian(claim.AsSpan(sizeof(ulong) + sizeof(int)));
                byte[] code = Code(options.Secret, greeting.AsSpan(sizeof(ulong)), claim.AsSpan(0, ClaimBytes));
                Verdict verdict = !CryptographicOperations.FixedTimeEquals(code, claim.AsSpan(ClaimBytes)) ? Verdict.WrongSecret : Judge(rank, size);
                var answer = new byte[AnswerBytes];
                BinaryPrimitives.WriteInt32LittleEndian(answer, (int)verdict);
                BinaryPrimitives.WriteInt32LittleEndian(answer.AsSpan(sizeof(int)), environment.Size);
                await socket.SendAsync(answer, limit.Token).ConfigureAwait(false);
                if (verdict == Verdict.Accepted) Meet(rank, Interlocked.Exchange(ref socket, null));
                else if (verdict == Verdict.WrongSize) _done.TrySetException(new RankGroupException($"Rank {rank} was started for {size} ranks, but rank 0 for {environment.Size}."));
                else if (verdict == Verdict.WrongRank) _done.TrySetException(new RankGroupException($"Two processes came as rank {rank}, or it is none of 1 to {environment.Size - 1}."));
            }
            catch (Exception exception) when (exception is SocketException or IOException or OperationCanceledException or ObjectDisposedException)
            {
                // Not one of us, or gone again.
            }
            finally
            {
                socket?.Dispose();
            }
        }

        private Verdict Judge(int rank, int size)
        {
            if (size != environment.Size) return Verdict.WrongSize;
            lock (_hasMet) return rank < 1 || rank >= size || _hasMet[rank] ? Verdict.WrongRank : Verdict.Accepted;
        }

        private void Meet(int rank, Socket socket)
        {
            bool isComplete;
            lock (_hasMet)
            {
                if (_hasMet[rank])
                {
                    socket.Dispose();
                    return;
                }
                onMet(rank, socket);
                _hasMet[rank] = true;
                isComplete = !_hasMet.AsSpan(1).Contains(false);
            }
            if (isComplete) _done.TrySetResult();
        }
    }
}
