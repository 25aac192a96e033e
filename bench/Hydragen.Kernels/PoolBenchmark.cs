using System.Diagnostics;
using Hydragen.Cpu;

namespace Hydragen.Kernels;

/// <summary>What it costs to share out a job among threads.</summary>
internal static class PoolBenchmark
{
    private const int NumRounds = 41;
    private const int RunsPerRound = 200;
    private const int NumWakes = 41;
    private const int ItemsPerThread = 4;
    private const double ItemMicroseconds = 5;

    /// <summary>Prints a table with a row for each number of threads.</summary>
    public static void Run(Settings settings, Report report)
    {
        var work = new BusyJob { Length = BusyJob.LengthFor(ItemMicroseconds) };
        var nothing = new BusyJob();
        Report.Begin(
            $"Microseconds a job: medians of {NumRounds} interleaved rounds of {RunsPerRound} jobs, and of {NumWakes} jobs after a pause",
            "threads", "empty, an item a thread", "the same, threads parked", $"{ItemsPerThread} items of {ItemMicroseconds:0} µs a thread", "busy share of the latter");
        IReadOnlyList<int> counts = settings.Threads;
        WorkerPool[] pools = [.. counts.Select(count => new WorkerPool(count))];
        var empty = new double[pools.Length, NumRounds];
        var parked = new double[pools.Length, NumWakes];
        var busy = new double[pools.Length, NumRounds];
        for (int round = 0; round < NumRounds; round++)
        {
            for (int i = 0; i < pools.Length; i++)
            {
                empty[i, round] = Time(pools[i], nothing, counts[i], RunsPerRound);
                busy[i, round] = Time(pools[i], work, counts[i] * ItemsPerThread, RunsPerRound);
            }
        }
        for (int wake = 0; wake < NumWakes; wake++)
        {
            for (int i = 0; i < pools.Length; i++)
            {
                while (pools[i].NumParked < counts[i] - 1) Thread.Sleep(1);
                Thread.Sleep(2);
                parked[i, wake] = Time(pools[i], nothing, counts[i], 1);
            }
        }
        for (int i = 0; i < pools.Length; i++)
        {
            double nothingTime = Median(empty, i), parkedTime = Median(parked, i), workTime = Median(busy, i);
            int numThreads = counts[i];
            Report.WriteRow($"{numThreads}", $"{nothingTime:0.00}", $"{parkedTime:0.0}", $"{workTime:0.0}", $"{ItemsPerThread * ItemMicroseconds / workTime:0 %}");
            report.Write("pool", json =>
            {
                json.WriteNumber("threads", numThreads);
                json.WriteNumber("empty_us", nothingTime);
                json.WriteNumber("parked_us", parkedTime);
                json.WriteNumber("busy_us", workTime);
            });
            pools[i].Dispose();
        }
    }

    private static double Time(WorkerPool pool, BusyJob job, int numItems, int numRuns)
    {
        long start = Stopwatch.GetTimestamp();
        for (int run = 0; run < numRuns; run++) pool.Run(job, numItems);
        return Stopwatch.GetElapsedTime(start).TotalMicroseconds / numRuns;
    }

    private static double Median(double[,] values, int row)
    {
        double[] sorted = [.. Enumerable.Range(0, values.GetLength(1)).Select(column => values[row, column]).Order()];
        return sorted[sorted.Length / 2];
    }
}
