using System.Diagnostics;
using Hydragen.Cli.Output;
using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>Measures the modes of each cell side by side: A B C, A B C, …</summary>
internal sealed class AttentionBenchmark(IComputeBackend backend, AttentionSetup setup, Machine machine, MachineProbe probe)
{
    private const int Seed = 1;

    // Samples of fast calls are means over about so much time.
    private const double SampleSeconds = 0.02;
    private const int MaxCallsPerSample = 1000;

    private const int WarmUpCalls = 96;

    private readonly NormalPool _pool = new(Seed);

    /// <summary>Measures all cells.</summary>
    /// <param name="onCell">Receives the modes of each cell as soon as they are done.</param>
    /// <param name="cancellationToken">Ends it between two calls.</param>
    /// <exception cref="InvalidOperationException">Two modes computed different functions.</exception>
    public void Run(Action<IReadOnlyList<AttentionMeasurement>> onCell, CancellationToken cancellationToken)
    {
        long bytesPerPage;
        using (KvCache cache = backend.CreateKvCache(new KvCacheShape(1, setup.Shape.NumKvHeads, setup.Shape.HeadDim, setup.KvType), 0))
            bytesPerPage = cache.BytesPerPage;
        WarmUp(bytesPerPage, cancellationToken);
        foreach (AttentionCell cell in setup.Cells)
            onCell(Measure(cell, new AttentionMemory(setup, cell, bytesPerPage, machine.LastLevelCacheBytes), cancellationToken));
    }

    /// <summary>Runs every mode on something small until its code is compiled for good.</summary>
    private void WarmUp(long bytesPerPage, CancellationToken cancellationToken)
    {
        var cell = new AttentionCell(4, 256, 64 + setup.QueryLength);
        var memory = new AttentionMemory(setup, cell, bytesPerPage, lastLevelCacheBytes: 0);
        SharingMode[] modes = [.. setup.Modes.Where(mode => memory.Holds(mode))];
        using var workload = new AttentionWorkload(backend, setup, cell, memory, _pool, cancellationToken);
        for (int i = 0; i < WarmUpCalls; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            foreach (SharingMode mode in modes) workload.Run(mode);
            if (i % 32 == 31) Thread.Sleep(100); // the compiler works in the background
        }
    }

    private AttentionMeasurement[] Measure(AttentionCell cell, AttentionMemory memory, CancellationToken cancellationToken)
    {
        SharingMode[] modes = [.. setup.Modes.Where(mode => memory.Holds(mode))];
        var seconds = new List<double>[modes.Length];
        var calls = new int[modes.Length];
        MachineState state = default;
        if (modes.Length > 0)
        {
            using var workload = new AttentionWorkload(backend, setup, cell, memory, _pool, cancellationToken);
            CheckAgreement(workload, modes, cell);
            for (int i = 0; i < modes.Length; i++)
            {
                seconds[i] = new List<double>(setup.Repeats);
                calls[i] = (int)Math.Clamp(SampleSeconds / Time(workload, modes[i], 1, cancellationToken), 1, MaxCallsPerSample);
            }
            ProbeSample before = probe.MeasureState();
            for (int round = 0; round < setup.Repeats; round++)
            {
                for (int i = 0; i < modes.Length; i++)
                {
                    // Short calls start from awake threads and a compiled plan, as within a forward pass.
                    if (calls[i] > 1) workload.Run(modes[i]);
                    seconds[i].Add(Time(workload, modes[i], calls[i], cancellationToken));
                }
            }
            state = new MachineState(before, probe.MeasureState(), probe.BestState);
        }
        return [.. setup.Modes.Select(mode =>
        {
            int i = Array.IndexOf(modes, mode);
            return i < 0
                ? new AttentionMeasurement(cell, mode, 0, 0, [], default,
                    $"needs {StatisticsTable.Mebibytes(memory.BytesFor(mode))}, but {StatisticsTable.Mebibytes(setup.MaxBytes)} are allowed")
                : new AttentionMeasurement(cell, mode, memory.LayersFor(mode), calls[i], seconds[i], state, null);
        })];
    }

    private static double Time(AttentionWorkload workload, SharingMode mode, int calls, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < calls; i++) workload.Run(mode);
        return Stopwatch.GetElapsedTime(start).TotalSeconds / calls;
    }

    /// <summary>A fast wrong answer is no result; this also warms every mode up.</summary>
    private void CheckAgreement(AttentionWorkload workload, SharingMode[] modes, AttentionCell cell)
    {
        float[] expected = workload.RunFirstLayer(modes[0]);
        float largest = expected.Max(Math.Abs);
        float bound = largest * (setup.KvType == ElementType.Float32 ? 1e-4f : 1e-2f);
        foreach (SharingMode mode in modes.AsSpan(1))
        {
            float[] output = workload.RunFirstLayer(mode);
            for (int i = 0; i < output.Length; i++)
            {
                if (Math.Abs(output[i] - expected[i]) <= bound) continue;
                throw new InvalidOperationException(
                    $"{cell}: element {i} is {expected[i]} in mode {modes[0]} but {output[i]} in mode {mode}; the modes must compute the same function.");
            }
        }
    }
}
