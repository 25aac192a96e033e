namespace Hydragen.Cuda;

/// <summary>A mark in a stream that can be waited for, and whose time can be read.</summary>
internal sealed class CudaEvent : ContextHandle
{
    /// <param name="context">The current context.</param>
    public CudaEvent(PrimaryContext context)
        : base(context)
    {
        DriverStatus.Check(DriverApi.EventCreate(out nint handle, 0), "cuEventCreate");
        Own(handle);
    }

    /// <summary>Puts the mark behind all work that the stream has now.</summary>
    public void Record(CudaStream stream) => DriverStatus.Check(DriverApi.EventRecord(Value, stream.Value), "cuEventRecord");

    /// <summary>Waits until the stream has passed the mark; at once when it was never put.</summary>
    public void Synchronize() => DriverStatus.Check(DriverApi.EventSynchronize(Value), "cuEventSynchronize");

    /// <summary>Time from an earlier mark to this one, both passed.</summary>
    public float MillisecondsSince(CudaEvent start)
    {
        DriverStatus.Check(DriverApi.EventElapsedTime(out float milliseconds, start.Value, Value), "cuEventElapsedTime");
        return milliseconds;
    }

    protected override int Free(nint value) => DriverApi.EventDestroy(value);
}
