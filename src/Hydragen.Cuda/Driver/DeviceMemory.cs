namespace Hydragen.Cuda;

/// <summary>Memory of a device.</summary>
internal sealed class DeviceMemory : ContextHandle
{
    /// <param name="context">The current context.</param>
    /// <param name="bytes">Size, at least 1.</param>
    /// <exception cref="InsufficientMemoryException">The device has not so much free memory.</exception>
    public DeviceMemory(PrimaryContext context, long bytes)
        : base(context)
    {
        Bytes = bytes;
        DriverStatus.Check(DriverApi.MemAlloc(out nint address, checked((nuint)bytes)), "cuMemAlloc");
        Own(address);
    }

    public long Bytes { get; }

    protected override int Free(nint value) => DriverApi.MemFree(value);
}
