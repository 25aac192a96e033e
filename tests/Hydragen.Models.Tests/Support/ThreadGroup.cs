using Hydragen.Core;

namespace Hydragen.Models.Tests;

/// <summary>A rank of a group whose ranks are threads of the test.</summary>
internal sealed class ThreadGroup : IRankGroup
{
    private readonly Shared _shared;

    private ThreadGroup(Shared shared, int rank)
    {
        _shared = shared;
        Rank = rank;
    }

    public int Rank { get; }

    public int Size => _shared.Floats.Length;

    public string Description => "threads";

    public CancellationToken Failed => CancellationToken.None;

    public string? Failure => null;

    /// <summary>Elements that were added up so far.</summary>
    public long NumReduced { get; private set; }

    /// <summary>Runs something on every rank at once; what one throws is thrown, and ends the others.</summary>
    public static T[] Run<T>(int size, Func<ThreadGroup, T> run)
    {
        using var shared = new Shared(size);
        var results = new T[size];
        var errors = new Exception?[size];
        Thread[] threads = [.. Enumerable.Range(0, size).Select(rank => new Thread(() =>
        {
            try
            {
                results[rank] = run(new ThreadGroup(shared, rank));
            }
            catch (Exception exception)
            {
                errors[rank] = exception;
                shared.Stop.Cancel();
            }
        }))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        if (errors.FirstOrDefault(error => error is not (null or OperationCanceledException)) is { } first) throw first;
        return results;
    }

    public void AllReduce(DeviceBuffer buffer, long length)
    {
        NumReduced += length;
        var own = new float[length];
        buffer.Download(own);
        float[][] all = Exchange(_shared.Floats, own);
        var sum = new float[length];
        foreach (float[] addend in all)
        {
            for (int i = 0; i < sum.Length; i++) sum[i] += addend[i];
        }
        buffer.Upload(sum);
    }

    public void Broadcast(DeviceBuffer buffer, long length)
    {
        var own = new float[length];
        buffer.Download(own);
        buffer.Upload(Exchange(_shared.Floats, own)[0]);
    }

    public void Broadcast(Span<int> values) => Exchange(_shared.Ints, values.ToArray())[0].CopyTo(values);

    public long Min(long value) => Exchange(_shared.Longs, value).Min();

    public void Send(ReadOnlySpan<byte> message) => Exchange(_shared.Bytes, message.ToArray());

    public byte[] Receive() => Exchange(_shared.Bytes, [])[0];

    public void Fail(string message) => _shared.Stop.Cancel();

    public void Dispose()
    {
    }

    private T[] Exchange<T>(T[] slots, T own)
    {
        slots[Rank] = own;
        _shared.Barrier.SignalAndWait(_shared.Stop.Token);
        T[] all = [.. slots];
        _shared.Barrier.SignalAndWait(_shared.Stop.Token);
        return all;
    }

    private sealed class Shared(int size) : IDisposable
    {
        public Barrier Barrier { get; } = new(size);

        public CancellationTokenSource Stop { get; } = new();

        public float[][] Floats { get; } = new float[size][];

        public int[][] Ints { get; } = new int[size][];

        public byte[][] Bytes { get; } = new byte[size][];

        public long[] Longs { get; } = new long[size];

        public void Dispose()
        {
            Barrier.Dispose();
            Stop.Dispose();
        }
    }
}
