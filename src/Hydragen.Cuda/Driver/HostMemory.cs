namespace Hydragen.Cuda;

/// <summary>Memory of the host that the device reads and writes without the driver's help.</summary>
internal sealed unsafe class HostMemory : ContextHandle
{
    /// <param name="context">The current context.</param>
    /// <param name="bytes">Size, at least 1.</param>
    /// <exception cref="InsufficientMemoryException">The host has not so much memory to pin.</exception>
    public HostMemory(PrimaryContext context, int bytes)
        : base(context)
    {
        Bytes = bytes;
        DriverStatus.Check(DriverApi.MemHostAlloc(out nint address, (nuint)bytes, 0), "cuMemHostAlloc");
        Own(address);
    }

    public int Bytes { get; }

    /// <summary>All of it.</summary>
    public Span<byte> Span => new((void*)Value, Bytes);

    protected override int Free(nint value) => DriverApi.MemFreeHost(value);
}
