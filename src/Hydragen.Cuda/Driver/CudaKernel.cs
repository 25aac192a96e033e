namespace Hydragen.Cuda;

/// <summary>A kernel that can be launched, with its block size and dynamic shared memory.</summary>
internal sealed unsafe class CudaKernel : IDisposable
{
    private const int DefaultSharedBytes = 48 << 10;
    private const int MaxDynamicSharedSizeBytes = 8;

    // Kernels of earlier GPUs do not wait for the one before.
    private const int FirstMajorWithEarlyStart = 9;

    private readonly CudaModule _module;
    private readonly CudaStream _stream;
    private readonly nint _function;
    private readonly string _name;
    private readonly uint _numThreads;
    private readonly uint _sharedBytes;
    private readonly bool _canStartEarly;
    private int _blocksPerMultiprocessor;

    /// <param name="device">The device, current.</param>
    /// <param name="variant">What was compiled.</param>
    /// <param name="binary">The cubin.</param>
    public CudaKernel(CudaDevice device, KernelVariant variant, ReadOnlySpan<byte> binary)
    {
        _name = variant.ToString();
        _numThreads = (uint)variant.NumThreads;
        _sharedBytes = (uint)variant.SharedBytes;
        _stream = device.Stream;
        _canStartEarly = device.ComputeCapability.Major >= FirstMajorWithEarlyStart;
        _module = new CudaModule(device.Context, binary, _name);
        DriverStatus.Check(DriverApi.ModuleGetFunction(out _function, _module.Value, variant.Name), "cuModuleGetFunction", _name);
        if (variant.SharedBytes > DefaultSharedBytes)
            DriverStatus.Check(DriverApi.FuncSetAttribute(_function, MaxDynamicSharedSizeBytes, variant.SharedBytes), "cuFuncSetAttribute", _name);
    }

    /// <summary>Threads of a block.</summary>
    public int NumThreads => (int)_numThreads;

    /// <summary>Blocks that one multiprocessor can hold at a time.</summary>
    public int BlocksPerMultiprocessor
    {
        get
        {
            if (_blocksPerMultiprocessor == 0)
            {
                DriverStatus.Check(
                    DriverApi.MaxActiveBlocks(out _blocksPerMultiprocessor, _function, (int)_numThreads, _sharedBytes),
                    "cuOccupancyMaxActiveBlocksPerMultiprocessor", _name);
            }
            return _blocksPerMultiprocessor;
        }
    }

    /// <summary>Puts a launch into the device's stream; nothing when the grid is empty.</summary>
    /// <typeparam name="T">The kernel's one parameter, laid out as there.</typeparam>
    /// <param name="gridX">Blocks.</param>
    /// <param name="gridY">Blocks in the other dimension.</param>
    /// <param name="parameters">The parameter.</param>
    /// <param name="startsEarly">
    /// Whether the kernel may start when all blocks of the one before it have said that it may. Either it waits for that one's end itself, or
    /// it needs nothing of it.
    /// </param>
    public void Launch<T>(long gridX, int gridY, in T parameters, bool startsEarly = false)
        where T : unmanaged
    {
        if (gridX == 0 || gridY == 0) return;
        var attribute = new LaunchAttribute { Id = LaunchAttribute.ProgrammaticStreamSerialization, Value = 1 };
        var configuration = new LaunchConfiguration
        {
            GridX = checked((uint)gridX),
            GridY = (uint)gridY,
            GridZ = 1,
            BlockX = _numThreads,
            BlockY = 1,
            BlockZ = 1,
            SharedBytes = _sharedBytes,
            Stream = _stream.Value,
            Attributes = &attribute,
            NumAttributes = startsEarly && _canStartEarly ? 1u : 0,
        };
        fixed (T* pointer = &parameters)
        {
            void* argument = pointer;
            DriverStatus.Check(DriverApi.LaunchKernel(&configuration, _function, &argument, null), "cuLaunchKernelEx", _name);
        }
    }

    public void Dispose() => _module.Dispose();
}
