using Hydragen.Core;
using Hydragen.Cuda;

namespace Hydragen.Cli.Bench;

/// <summary>
/// An NVIDIA GPU: a step is a CUDA graph, timed on the device's clock by events around each replay; before each, other memory is read so
/// that the last cache holds nothing of the step.
/// </summary>
internal sealed class GpuDevice : AttentionDevice
{
    private const int QueryStream = -1;

    // What contexts, modules and the pages of the driver may take besides keys and values.
    private const long ReservedBytes = 1L << 30;

    // Keeps the context while there is no backend.
    private readonly CudaDevice _device;
    private CudaBackend _backend;
    private CudaMeter _meter;

    /// <exception cref="PlatformNotSupportedException">This machine has no such device; the message says what is missing.</exception>
    public GpuDevice()
    {
        _backend = new CudaBackend();
        _meter = new CudaMeter(_backend);
        _device = new CudaDevice(0);
        Software = DescribeSoftware();
        MaxKvBytes = Math.Max(0, _meter.Memory.FreeBytes - ReservedBytes);
    }

    /// <summary>Versions of what a GPU needs besides this program.</summary>
    public static string DescribeSoftware()
    {
        CudaEnvironment environment = CudaEnvironment.Probe();
        string products = CudaEnvironment.MatrixLibraryVersion is { } version ? $", cuBLASLt {version}" : "";
        return $"driver for CUDA {environment.DriverVersion}, NVRTC {environment.CompilerVersion}{products}";
    }

    public override IAttentionBackend Backend => _backend;

    public override BenchUnits Units => BenchUnits.Gpu;

    public override string? Software { get; }

    public override long MaxKvBytes { get; }

    public override long LastLevelCacheBytes => 0;

    public override bool SharesCaches => true;

    public override double SampleSeconds => 0.004;

    public override int MaxCallsPerSample => 20;

    public override long? UsedBytes => _meter.Memory.UsedBytes;

    public override ElementType OutputType(ElementType queryType) => queryType;

    public override ICeilings MeasureCeilings(long maxBytes, CancellationToken cancellationToken) => GpuCeilings.Measure(_meter, maxBytes, cancellationToken);

    public override void FillQueries(DeviceBuffer query, int numRows, AttentionShape shape)
    {
        var values = new float[(long)numRows * shape.NumHeads * shape.HeadDim];
        Parallel.For(0, numRows * shape.NumHeads, i =>
        {
            uint row = CacheNumbers.Row(QueryStream, i / shape.NumHeads, 0, i % shape.NumHeads, CacheNumbers.Query);
            for (int column = 0; column < shape.HeadDim; column++) values[(long)i * shape.HeadDim + column] = CacheNumbers.Element(row, column);
        });
        query.Upload(values);
    }

    public override void Fill(KvCache cache, IEnumerable<TokenRun> runs, CancellationToken cancellationToken) =>
        _meter.Fill(cache, runs.Select(run => (run.FirstSlot, run.NumTokens, run.Stream, run.FirstToken)));

    public override void WarmUp(Action step, CancellationToken cancellationToken) => step();

    public override double Time(Action step, int calls, bool isWarm) => Spread.Of(_meter.Time(step, calls, !isWarm)).Median;

    public override MachineState? Watch(Action measure)
    {
        measure();
        return null;
    }

    public override void Restart()
    {
        _meter.Dispose();
        _backend.Dispose();
        _backend = new CudaBackend();
        _meter = new CudaMeter(_backend);
    }

    public override void Dispose()
    {
        _meter.Dispose();
        _backend.Dispose();
        _device.Dispose();
    }
}
