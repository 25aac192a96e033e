namespace Hydragen.Cuda;

/// <summary>Memory of a device.</summary>
internal sealed class DeviceMemory : ContextHandle
{
    private readonly MemoryUsage _usage;

    /// <param name="context">The current context.</param>
    /// <param name="bytes">Size, at least 1.</param>
    /// <param name="usage">Counts it.</param>
    /// <exception cref="InsufficientMemoryException">The device has not so much free memory.</exception>
    public DeviceMemory(PrimaryContext context, long bytes, MemoryUsage usage)
        : base(context)
    {
        Bytes = bytes;
        _usage = usage;
        DriverStatus.Check(DriverApi.MemAlloc(out nint address, checked((nuint)bytes)), "cuMemAlloc");
        usage.Add(bytes);
        Own(address);
    }

    public long Bytes { get; }

    protected override int Free(nint value)
    {
        _usage.Add(-Bytes);
        return DriverApi.MemFree(value);
    }
}
