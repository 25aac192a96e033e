namespace Hydragen.Cuda;

/// <summary>A loaded cubin.</summary>
internal sealed unsafe class CudaModule : ContextHandle
{
    /// <param name="context">The current context.</param>
    /// <param name="binary">The cubin.</param>
    /// <param name="kernel">Name for messages.</param>
    public CudaModule(PrimaryContext context, ReadOnlySpan<byte> binary, string kernel)
        : base(context)
    {
        fixed (byte* image = binary)
        {
            DriverStatus.Check(DriverApi.ModuleLoadData(out nint module, image), "cuModuleLoadData", kernel);
            Own(module);
        }
    }

    protected override int Free(nint value) => DriverApi.ModuleUnload(value);
}
