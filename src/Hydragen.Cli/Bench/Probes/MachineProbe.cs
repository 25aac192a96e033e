using System.Diagnostics;

namespace Hydragen.Cli.Bench;

/// <summary>
/// Measures the ceilings of the machine and, between measurements, its state. The state is the rate of multiply-adds that take an
/// operand from the first-level cache: a neighbour on the same physical core slows these down, while pure register arithmetic
/// hardly notices it.
/// </summary>
internal sealed class MachineProbe
{
    private const int QuietAttempts = 5, MaxAttempts = 25;
    private const long MinReadBytes = 256L << 20, MaxReadBytes = 2L << 30;

    // Slices begin with a cache line, and so do the streams within them.
    private const int SliceMultiple = 1024;
    private static readonly TimeSpan ArithmeticTime = TimeSpan.FromMilliseconds(20);

    private readonly ProbeKernels _kernels = ProbeKernels.Best;
    private readonly Memory<float> _operands = LargeArray.Allocate(ProbeKernels.FedElements);
    private readonly int _numThreads;
    private readonly long _numRounds;
    private float _sink;

    public MachineProbe(int numThreads)
    {
        _numThreads = numThreads;
        _operands.Span.Fill(1);
        _numRounds = CountRounds();
    }

    /// <summary>The best state seen so far, in GFLOP/s.</summary>
    public double BestState { get; private set; }

    /// <summary>The state of this moment; takes some tens of milliseconds.</summary>
    public ProbeSample MeasureState()
    {
        ProbeSample first = Fed(), second = Fed();
        ProbeSample better = first.Gflops > second.Gflops ? first : second;
        BestState = Math.Max(BestState, better.Gflops);
        return better;
    }

    /// <summary>Measures everything; takes a second or two, a little longer while other programs compute.</summary>
    /// <param name="lastLevelCacheBytes">Size of the last cache; far more than that is read.</param>
    /// <param name="maxBytes">The most memory to use.</param>
    /// <param name="cancellationToken">Ends it between two attempts.</param>
    public Ceilings MeasureCeilings(long lastLevelCacheBytes, long maxBytes, CancellationToken cancellationToken)
    {
        long bytes = Math.Min(Math.Clamp(16 * lastLevelCacheBytes, MinReadBytes, MaxReadBytes), Math.Max(MinReadBytes, maxBytes));
        Memory<float> buffer = LargeArray.Allocate((int)(bytes / sizeof(float)));
        RunTogether(thread => Slice(buffer, thread).Span.Fill(1));
        double fma = 0, fed = 0, read = 0, streams = 0, share = 0;
        for (int attempt = 0, quiet = 0; attempt < MaxAttempts && quiet < QuietAttempts; attempt++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            ProbeSample sample = Arithmetic(() => _kernels.MultiplyAdd(_numRounds));
            fma = Math.Max(fma, sample.Gflops);
            fed = Math.Max(fed, Fed().Gflops);
            read = Math.Max(read, bytes / RunTogether(thread => Keep(_kernels.Read(Slice(buffer, thread).Span))).Seconds / 1e9);
            streams = Math.Max(streams, bytes / RunTogether(thread => Keep(_kernels.ReadStreams(Slice(buffer, thread).Span))).Seconds / 1e9);
            share = Math.Max(share, sample.ProcessorShare);
            if (sample.ProcessorShare >= MachineState.QuietShare) quiet++;
        }
        BestState = Math.Max(BestState, fed);
        return new Ceilings(_kernels.NumLanes, fma, fed, read, streams, bytes, share);
    }

    private ProbeSample Fed() => Arithmetic(() => _kernels.MultiplyAddFromMemory(_operands.Span, _numRounds));

    private ProbeSample Arithmetic(Func<float> loop)
    {
        (double seconds, double share) = RunTogether(_ => Keep(loop()));
        return new ProbeSample(2.0 * _numRounds * ProbeKernels.NumSums * _kernels.NumLanes * _numThreads / seconds / 1e9, share);
    }

    /// <summary>Rounds that take about <see cref="ArithmeticTime"/>.</summary>
    private long CountRounds()
    {
        long numRounds = 1 << 14;
        while (true)
        {
            long start = Stopwatch.GetTimestamp();
            Keep(_kernels.MultiplyAdd(numRounds));
            TimeSpan time = Stopwatch.GetElapsedTime(start);
            if (time > ArithmeticTime / 4) return (long)(numRounds * (ArithmeticTime / time));
            numRounds *= 2;
        }
    }

    private Memory<float> Slice(Memory<float> buffer, int thread)
    {
        int length = buffer.Length / _numThreads / SliceMultiple * SliceMultiple;
        return buffer.Slice(thread * length, length);
    }

    /// <summary>
    /// Runs work on all threads at once; returns the seconds from the first start to the last end, and how much of that time the
    /// threads had a processor.
    /// </summary>
    private (double Seconds, double ProcessorShare) RunTogether(Action<int> work)
    {
        var starts = new long[_numThreads];
        var ends = new long[_numThreads];
        using var barrier = new Barrier(_numThreads);
        void Run(int thread)
        {
            barrier.SignalAndWait();
            starts[thread] = Stopwatch.GetTimestamp();
            work(thread);
            ends[thread] = Stopwatch.GetTimestamp();
        }
        TimeSpan processorTime = Environment.CpuUsage.TotalTime;
        Thread[] threads = [.. Enumerable.Range(1, _numThreads - 1).Select(i => new Thread(() => Run(i)) { IsBackground = true })];
        foreach (Thread thread in threads) thread.Start();
        Run(0);
        foreach (Thread thread in threads) thread.Join();
        processorTime = Environment.CpuUsage.TotalTime - processorTime;
        double seconds = Stopwatch.GetElapsedTime(starts.Min(), ends.Max()).TotalSeconds;
        return (seconds, Math.Min(1, processorTime.TotalSeconds / (seconds * _numThreads)));
    }

    private void Keep(float value) => Volatile.Write(ref _sink, value);
}
