namespace Hydragen.Cuda;

/// <summary>A queue of work on a device.</summary>
internal sealed class CudaStream : ContextHandle
{
    private const uint NonBlocking = 1;

    /// <param name="context">The current context.</param>
    public CudaStream(PrimaryContext context)
        : base(context)
    {
        DriverStatus.Check(DriverApi.StreamCreate(out nint stream, NonBlocking), "cuStreamCreate");
        Own(stream);
    }

    protected override int Free(nint value) => DriverApi.StreamDestroy(value);
}
