using System.Diagnostics;

namespace Hydragen.Cli.Bench;

/// <summary>Threads that do their parts of some work at once.</summary>
/// <param name="numThreads">Threads, the caller's included.</param>
internal sealed class ThreadTeam(int numThreads)
{
    /// <summary>Threads, the caller's included.</summary>
    public int NumThreads => numThreads;

    /// <summary>
    /// Runs work on all threads at once; returns the seconds from the first start to the last end, and how much of that time the
    /// threads had a processor.
    /// </summary>
    public (double Seconds, double ProcessorShare) Run(Action<int> work)
    {
        var starts = new long[numThreads];
        var ends = new long[numThreads];
        using var barrier = new Barrier(numThreads);
        void RunPart(int thread)
        {
            barrier.SignalAndWait();
            starts[thread] = Stopwatch.GetTimestamp();
            work(thread);
            ends[thread] = Stopwatch.GetTimestamp();
        }
        TimeSpan processorTime = Environment.CpuUsage.TotalTime;
        Thread[] threads = [.. Enumerable.Range(1, numThreads - 1).Select(i => new Thread(() => RunPart(i)) { IsBackground = true })];
        foreach (Thread thread in threads) thread.Start();
        RunPart(0);
        foreach (Thread thread in threads) thread.Join();
        processorTime = Environment.CpuUsage.TotalTime - processorTime;
        double seconds = Stopwatch.GetElapsedTime(starts.Min(), ends.Max()).TotalSeconds;
        return (seconds, Math.Min(1, processorTime.TotalSeconds / (seconds * numThreads)));
    }
}
