namespace Hydragen.Cuda;

/// <summary>Launches that were captured once and can be replayed at the cost of one.</summary>
internal sealed class CudaGraph : ContextHandle
{
    // Calls of this thread that cannot be captured, such as allocations, fail while the capture lasts.
    private const int ThreadLocalCapture = 1;

    private readonly CudaStream _stream;

    /// <summary>Captures what is put into the device's stream; nothing of it runs yet.</summary>
    /// <param name="device">The device, current.</param>
    /// <param name="launches">Launches kernels; must neither send data, allocate device memory nor wait for the stream.</param>
    /// <exception cref="CudaException">Something in between cannot be captured.</exception>
    public CudaGraph(CudaDevice device, Action launches)
        : base(device.Context)
    {
        _stream = device.Stream;
        DriverStatus.Check(DriverApi.StreamBeginCapture(_stream.Value, ThreadLocalCapture), "cuStreamBeginCapture");
        nint graph = 0;
        try
        {
            try
            {
                device.IsCapturing = true;
                launches();
            }
            catch
            {
                _ = DriverApi.StreamEndCapture(_stream.Value, out graph);
                throw;
            }
            finally
            {
                device.IsCapturing = false;
            }
            DriverStatus.Check(DriverApi.StreamEndCapture(_stream.Value, out graph), "cuStreamEndCapture");
            DriverStatus.Check(DriverApi.GraphInstantiate(out nint executable, graph, 0), "cuGraphInstantiate");
            Own(executable);
        }
        finally
        {
            if (graph != 0) _ = DriverApi.GraphDestroy(graph);
        }
    }

    /// <summary>Puts everything captured into the stream once more.</summary>
    public void Launch() => DriverStatus.Check(DriverApi.GraphLaunch(Value, _stream.Value), "cuGraphLaunch");

    protected override int Free(nint value) => DriverApi.GraphExecDestroy(value);
}
