namespace Hydragen.Cuda;

/// <summary>A moment in a stream, on the device's clock.</summary>
internal sealed class CudaEvent : ContextHandle
{
    /// <param name="context">The current context.</param>
    public CudaEvent(PrimaryContext context)
        : base(context)
    {
        DriverStatus.Check(DriverApi.EventCreate(out nint value, 0), "cuEventCreate");
        Own(value);
    }

    /// <summary>Takes the moment at which all work before it is done.</summary>
    public void Record(CudaStream stream) => DriverStatus.Check(DriverApi.EventRecord(Value, stream.Value), "cuEventRecord");

    /// <summary>Waits until the moment has passed; at once when it was never taken.</summary>
    public void Synchronize() => DriverStatus.Check(DriverApi.EventSynchronize(Value), "cuEventSynchronize");

    /// <summary>Seconds from another moment to this one; both have passed.</summary>
    public double SecondsSince(CudaEvent start)
    {
        DriverStatus.Check(DriverApi.EventElapsedTime(out float milliseconds, start.Value, Value), "cuEventElapsedTime");
        return milliseconds / 1e3;
    }

    protected override int Free(nint value) => DriverApi.EventDestroy(value);
}
