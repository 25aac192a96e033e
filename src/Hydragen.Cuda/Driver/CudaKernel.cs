namespace Hydragen.Cuda;

/// <summary>A kernel that can be launched, with its block size and dynamic shared memory.</summary>
internal sealed unsafe class CudaKernel : IDisposable
{
    private const int DefaultSharedBytes = 48 << 10;
    private const int MaxDynamicSharedSizeBytes = 8;

    private readonly CudaModule _module;
    private readonly CudaStream _stream;
    private readonly nint _function;
    private readonly string _name;
    private readonly uint _numThreads;
    private readonly uint _sharedBytes;

    /// <param name="device">The device, current.</param>
    /// <param name="variant">What was compiled.</param>
    /// <param name="binary">The cubin.</param>
    public CudaKernel(CudaDevice device, KernelVariant variant, ReadOnlySpan<byte> binary)
    {
        _name = variant.ToString();
        _numThreads = (uint)variant.NumThreads;
        _sharedBytes = (uint)variant.SharedBytes;
        _stream = device.Stream;
        _module = new CudaModule(device.Context, binary, _name);
        DriverStatus.Check(DriverApi.ModuleGetFunction(out _function, _module.Value, variant.Name), "cuModuleGetFunction", _name);
        if (variant.SharedBytes > DefaultSharedBytes)
            DriverStatus.Check(DriverApi.FuncSetAttribute(_function, MaxDynamicSharedSizeBytes, variant.SharedBytes), "cuFuncSetAttribute", _name);
    }

    /// <summary>Puts a launch into the device's stream; nothing when the grid is empty.</summary>
    /// <typeparam name="T">The kernel's one parameter, laid out as there.</typeparam>
    public void Launch<T>(long gridX, int gridY, in T parameters)
        where T : unmanaged
    {
        if (gridX == 0 || gridY == 0) return;
        fixed (T* pointer = &parameters)
        {
            void* argument = pointer;
            DriverStatus.Check(
                DriverApi.LaunchKernel(_function, checked((uint)gridX), (uint)gridY, 1, _numThreads, 1, 1, _sharedBytes, _stream.Value, &argument, null),
                "cuLaunchKernel", _name);
        }
    }

    public void Dispose() => _module.Dispose();
}
