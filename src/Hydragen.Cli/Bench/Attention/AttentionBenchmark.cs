using Hydragen.Cli.Output;
using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>Measures the modes of each cell side by side: A B C, A B C, …</summary>
internal sealed class AttentionBenchmark(AttentionDevice device, AttentionSetup setup)
{
    // Longer queries run through the same code.
    private const int MaxWarmUpQueries = 64;

    /// <summary>Measures all cells.</summary>
    /// <param name="onCell">Receives the modes of each cell as soon as they are done.</param>
    /// <param name="cancellationToken">Ends it between two calls.</param>
    /// <exception cref="InvalidOperationException">Two modes computed different functions.</exception>
    public void Run(Action<IReadOnlyList<AttentionMeasurement>> onCell, CancellationToken cancellationToken)
    {
        WarmUp(cancellationToken);
        for (int first = 0; first < setup.Cells.Count;)
        {
            int count = 1;
            while (device.SharesCaches && first + count < setup.Cells.Count && setup.Cells[first + count].IsBeside(setup.Cells[first])) count++;
            device.Restart();
            Measure([.. setup.Cells.Skip(first).Take(count)], onCell, cancellationToken);
            first += count;
        }
    }

    /// <summary>Runs every mode on something small, once for each kind of queries.</summary>
    public void WarmUp(CancellationToken cancellationToken)
    {
        foreach (int queryLength in setup.Cells.Select(cell => Math.Min(cell.QueryLength, MaxWarmUpQueries)).Distinct())
            WarmUp(new AttentionCell(setup.Cells[0].Shape, 4, 256, 64 + queryLength) { QueryLength = queryLength }, cancellationToken);
    }

    /// <summary>Measures cells that have everything in common but the suffix, in caches that hold the longest.</summary>
    /// <param name="cells">The cells.</param>
    /// <param name="onCell">Receives the modes of each cell.</param>
    /// <param name="cancellationToken">Ends it between two calls.</param>
    public void Measure(
        IReadOnlyList<AttentionCell> cells, Action<IReadOnlyList<AttentionMeasurement>> onCell, CancellationToken cancellationToken)
    {
        AttentionCell largest = cells.MaxBy(cell => cell.Suffix)!;
        AttentionMemory memory = MemoryOf(largest);
        var skipped = new Dictionary<AttentionMode, string>();
        var memories = new Dictionary<AttentionMode, (long, long)>();
        foreach (AttentionMode mode in setup.Modes)
        {
            if (WhyNotHeld(memory, mode) is { } reason) skipped.Add(mode, reason);
        }
        AttentionWorkload? workload = null;
        try
        {
            if (skipped.Count < setup.Modes.Count) workload = Prepare(largest, memory, skipped, memories, cancellationToken);
            foreach (AttentionCell cell in cells) onCell(Measure(cell, workload, memory, skipped, memories, cancellationToken));
        }
        finally
        {
            workload?.Dispose();
        }
    }

    /// <summary>The memory of a cell that is measured.</summary>
    public AttentionMemory MemoryOf(AttentionCell cell) => MemoryOf(cell, device.LastLevelCacheBytes);

    /// <summary>Why a mode does not fit into the memory that is allowed; null when it does.</summary>
    public string? WhyNotHeld(AttentionMemory memory, AttentionMode mode) => memory.Holds(mode) ? null
        : $"needs {StatisticsTable.Mebibytes(memory.BytesFor(mode))}, but {StatisticsTable.Mebibytes(setup.MaxBytes)} are allowed";

    private AttentionMemory MemoryOf(AttentionCell cell, long cacheBytes)
    {
        using KvCache cache = device.Backend.CreateKvCache(setup.CacheShape(cell, 1), 0);
        return new AttentionMemory(setup, cell, cache.BytesPerPage, cacheBytes, cache.BytesOf(PageKind.Prefix));
    }

    private void WarmUp(AttentionCell cell, CancellationToken cancellationToken)
    {
        AttentionMemory memory = MemoryOf(cell, cacheBytes: 0);
        AttentionMode[] modes = [.. setup.Modes.Where(mode => memory.Holds(mode))];
        using var workload = new AttentionWorkload(device, setup, cell, memory);
        foreach (AttentionMode mode in modes) workload.Prepare(device, mode, cancellationToken);
        device.WarmUp(
            () =>
            {
                foreach (AttentionMode mode in modes) workload.Run(mode, cell.Suffix);
            },
            cancellationToken);
    }

    /// <summary>Makes the caches, shared prefixes first, and notes what each mode takes and which does not fit after all.</summary>
    private AttentionWorkload? Prepare(
        AttentionCell cell, AttentionMemory memory, Dictionary<AttentionMode, string> skipped,
        Dictionary<AttentionMode, (long, long)> memories, CancellationToken cancellationToken)
    {
        long? before = device.UsedBytes;
        AttentionWorkload? workload = null;
        foreach (AttentionMode mode in setup.Modes.Where(mode => !skipped.ContainsKey(mode) && HasWork(cell, mode)).Order())
        {
            try
            {
                workload ??= new AttentionWorkload(device, setup, cell, memory);
                workload.Prepare(device, mode, cancellationToken);
                workload.Run(mode, cell.Suffix);
                if (device.UsedBytes is { } now && before is { } start)
                {
                    // Copies come last, when the cache with shared prefixes is there already.
                    long others = mode == AttentionMode.Copied ? workload.CacheBytes(AttentionMode.Hydragen) : 0;
                    memories[mode] = (now - start - others, workload.CacheBytes(mode) + workload.BufferBytes);
                }
            }
            catch (InsufficientMemoryException exception)
            {
                skipped.Add(mode, exception.Message.TrimEnd('.'));
            }
        }
        return workload;
    }

    private AttentionMeasurement[] Measure(
        AttentionCell cell, AttentionWorkload? workload, AttentionMemory memory, Dictionary<AttentionMode, string> skipped,
        Dictionary<AttentionMode, (long, long)> memories, CancellationToken cancellationToken)
    {
        AttentionMode[] wanted = [.. setup.Modes.Where(mode => HasWork(cell, mode))], modes = [.. wanted.Where(mode => !skipped.ContainsKey(mode))];
        var seconds = new List<double>[modes.Length];
        var calls = new int[modes.Length];
        MachineState? state = null;
        double? reads = null;
        if (modes.Length > 0)
        {
            CheckAgreement(workload!, [.. modes.Where(mode => mode.IsWhole())], cell);
            for (int i = 0; i < modes.Length; i++)
            {
                seconds[i] = new List<double>(setup.Repeats);
                calls[i] = (int)Math.Clamp(device.SampleSeconds / Time(i, 1), 1, device.MaxCallsPerSample);
            }
            state = device.Watch(() =>
            {
                double? before = device.MeasureReads();
                for (int round = 0; round < setup.Repeats; round++)
                {
                    for (int i = 0; i < modes.Length; i++) seconds[i].Add(Time(i, calls[i]));
                }
                if (before is { } first && device.MeasureReads() is { } second) reads = Math.Max(first, second);
            });
        }
        return [.. wanted.Select(mode =>
        {
            int i = Array.IndexOf(modes, mode);
            return i < 0
                ? new AttentionMeasurement(cell, mode, 0, 0, [], null, skipped[mode])
                : new AttentionMeasurement(cell, mode, memory.LayersFor(mode), calls[i], seconds[i], state, null)
                {
                    Memory = memories.TryGetValue(mode, out (long, long) bytes) ? bytes : null,
                    Nodes = workload!.SharingOf(mode, cell.Suffix),
                    ReadGigabytes = reads,
                };
        })];

        double Time(int i, int numCalls)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return device.Time(() => workload!.Run(modes[i], cell.Suffix), numCalls, setup.IsWarm);
        }
    }

    private static bool HasWork(AttentionCell cell, AttentionMode mode) => mode switch
    {
        AttentionMode.Nodes => cell.HasParts && cell.Prefix > 0,
        AttentionMode.Sequences => cell.HasParts && cell.Suffix > 0,
        _ => true,
    };

    /// <summary>A fast wrong answer is no result; this also warms every mode up.</summary>
    private void CheckAgreement(AttentionWorkload workload, AttentionMode[] modes, AttentionCell cell)
    {
        if (modes.Length == 0) return;
        if (!setup.ComparesOutputs)
        {
            workload.Run(modes[0], cell.Suffix);
            return;
        }
        float[] expected = workload.RunFirstLayer(modes[0], cell.Suffix);
        if (setup.OutputFolder is { } folder) OutputSample.Write(folder, cell, expected);
        float largest = expected.Max(Math.Abs);
        float bound = largest * (setup.KvType == ElementType.Float32 && !setup.IsMixed ? 1e-4f : 1e-2f);
        foreach (AttentionMode mode in modes.AsSpan(1))
        {
            float[] output = workload.RunFirstLayer(mode, cell.Suffix);
            for (int i = 0; i < output.Length; i++)
            {
                if (Math.Abs(output[i] - expected[i]) <= bound) continue;
                throw new InvalidOperationException(
                    $"batch {cell.Batch}, prefix {cell.Prefix}, suffix {cell.Suffix}: element {i} is {expected[i]} in mode {modes[0].Name()} but {output[i]} in mode {mode.Name()}; the modes must compute the same function.");
            }
        }
    }
}
