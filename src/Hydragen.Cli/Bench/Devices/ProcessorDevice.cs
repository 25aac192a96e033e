using System.Diagnostics;
using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Cli.Bench;

/// <summary>The processor: calls are timed by the clock on the wall, and cold because they take several data sets in turn.</summary>
internal sealed class ProcessorDevice : AttentionDevice
{
    private const int Seed = 1, WarmUpCalls = 96;

    private readonly CpuBackend _backend;
    private readonly MachineProbe _probe;
    private readonly NormalPool _pool = new(Seed);

    /// <param name="numThreads">Threads; null for all.</param>
    public ProcessorDevice(int? numThreads)
    {
        _backend = new CpuBackend(new CpuOptions { NumThreads = numThreads });
        _probe = new MachineProbe(numThreads ?? Environment.ProcessorCount, PairProbe.For(null));
    }

    public override IAttentionBackend Backend => _backend;

    public override BenchUnits Units => BenchUnits.Processor;

    public override long MaxKvBytes => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 2;

    public override long LastLevelCacheBytes => Machine.Current.LastLevelCacheBytes;

    public override bool SharesCaches => false;

    public override double SampleSeconds => 0.02;

    public override int MaxCallsPerSample => 1000;

    public override ElementType OutputType(ElementType queryType) => ElementType.Float32;

    public override ICeilings MeasureCeilings(long maxBytes, CancellationToken cancellationToken) =>
        _probe.MeasureCeilings(Machine.Current.LastLevelCacheBytes, maxBytes / 4, cancellationToken);

    public override void FillQueries(DeviceBuffer query, int numRows, AttentionShape shape)
    {
        int rowSize = shape.NumHeads * shape.HeadDim;
        for (int row = 0; row < numRows; row++) query.Upload(_pool.Piece(CacheWriter.Key(0, -1, row, 2), rowSize), (long)row * rowSize);
    }

    public override void Fill(KvCache cache, IEnumerable<TokenRun> runs, CancellationToken cancellationToken)
    {
        var writer = new CacheWriter(cache, _pool, cancellationToken);
        foreach (TokenRun run in runs)
        {
            for (int i = 0; i < run.NumTokens; i++) writer.Add(run.FirstSlot + i, run.Stream, run.FirstToken + i);
        }
        writer.Flush();
    }

    public override void WarmUp(Action step, CancellationToken cancellationToken)
    {
        for (int i = 0; i < WarmUpCalls; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            step();
            if (i % 32 == 31) Thread.Sleep(100); // the compiler works in the background
        }
    }

    public override double Time(Action step, int calls, bool isWarm)
    {
        // Short calls start from awake threads and a compiled plan, as within a forward pass.
        if (calls > 1) step();
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < calls; i++) step();
        return Stopwatch.GetElapsedTime(start).TotalSeconds / calls;
    }

    public override MachineState? Watch(Action measure)
    {
        ProbeSample before = _probe.MeasureState();
        measure();
        return new MachineState(before, _probe.MeasureState(), _probe.BestState);
    }

    public override double? MeasureReads() => _probe.MeasureReads(Machine.Current.LastLevelCacheBytes);

    public override void Dispose() => _backend.Dispose();
}
