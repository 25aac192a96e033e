namespace Hydragen.Cuda;

/// <summary>The kernels of one device, compiled and loaded when they are first needed.</summary>
internal sealed class KernelLibrary(CudaDevice device, KernelCompiler compiler) : IDisposable
{
    private readonly Dictionary<KernelVariant, CudaKernel> _kernels = [];

    /// <summary>A kernel, ready to launch.</summary>
    /// <exception cref="CudaException">It does not compile or load.</exception>
    public CudaKernel Get(KernelVariant variant)
    {
        if (_kernels.TryGetValue(variant, out CudaKernel? kernel)) return kernel;
        device.MakeCurrent();
        kernel = new CudaKernel(device, variant, compiler.Compile(variant).Binary);
        _kernels.Add(variant, kernel);
        return kernel;
    }

    public void Dispose()
    {
        foreach (CudaKernel kernel in _kernels.Values) kernel.Dispose();
        _kernels.Clear();
    }
}
