namespace Hydragen.Cuda;

/// <summary>What this machine has of that which <see cref="CudaBackend"/> needs.</summary>
/// <param name="DriverVersion">The CUDA version of the driver, such as <c>13.0</c>; null without a driver.</param>
/// <param name="CompilerVersion">The version of NVRTC, such as <c>12.4</c>; null without it.</param>
/// <param name="CompilerPath">The file that NVRTC was loaded from; a bare name when the system's own search found it.</param>
/// <param name="Devices">The GPUs that the driver sees.</param>
/// <param name="Missing">One line for everything that is missing; empty when a backend can be created.</param>
public sealed record CudaEnvironment(
    string? DriverVersion, string? CompilerVersion, string? CompilerPath, IReadOnlyList<CudaGpu> Devices, IReadOnlyList<string> Missing)
{
    private const int MinComputeCapability = 8;

    /// <summary>The version of cuBLASLt, such as <c>12.4.5</c>; null without it. Models need it; attention alone does not.</summary>
    public static string? MatrixLibraryVersion
    {
        get
        {
            if (!NativeLibraries.HasMatrixLibrary) return null;
            ulong version = MatrixApi.GetVersion();
            return $"{version / 10000}.{version / 100 % 100}.{version % 100}";
        }
    }

    /// <summary>The file that cuBLASLt was loaded from; a bare name when the system's own search found it.</summary>
    public static string? MatrixLibraryPath => NativeLibraries.MatrixLibraryPath;

    /// <summary>What to say where cuBLASLt is missing.</summary>
    public static string MissingMatrixLibrary =>
        $"cuBLASLt was not found (libcublasLt.so.12 or .13: in the library path, a CUDA toolkit, a Python environment with nvidia-cublas, or the file that {NativeLibraries.MatrixLibraryVariable} names)";

    /// <summary>Looks. Cheap after the first time; thread-safe.</summary>
    public static CudaEnvironment Probe()
    {
        var missing = new List<string>();
        string? driverVersion = null, compilerVersion = null;
        CudaGpu[] devices = [];
        if (!NativeLibraries.HasDriver) missing.Add("the NVIDIA driver was not found (libcuda.so.1)");
        else
        {
            try
            {
                DriverStatus.Check(DriverApi.DriverGetVersion(out int version), "cuDriverGetVersion");
                driverVersion = $"{version / 1000}.{version % 1000 / 10}";
                devices = FindDevices();
                if (devices.Length == 0) missing.Add("the NVIDIA driver sees no GPU");
                else if (devices.All(gpu => gpu.ComputeCapability.Major < MinComputeCapability))
                    missing.Add($"the kernels need compute capability {MinComputeCapability}.0 or later, and {devices[0].Name} has {devices[0].ComputeCapability}");
            }
            catch (CudaException exception)
            {
                missing.Add($"the NVIDIA driver does not work: {exception.Message.TrimEnd('.')}");
            }
        }
        if (NativeLibraries.HasCompiler) compilerVersion = KernelCompiler.Version.ToString();
        else
        {
            missing.Add(
                $"NVRTC was not found (libnvrtc.so.12 or .13: in the library path, a CUDA toolkit, a Python environment with nvidia-cuda-nvrtc, or the file that {NativeLibraries.CompilerVariable} names)");
        }
        return new CudaEnvironment(driverVersion, compilerVersion, NativeLibraries.CompilerPath, devices, missing);
    }

    private static CudaGpu[] FindDevices()
    {
        DriverStatus.Check(DriverApi.Init(0), "cuInit");
        DriverStatus.Check(DriverApi.DeviceGetCount(out int count), "cuDeviceGetCount");
        var devices = new CudaGpu[count];
        for (int i = 0; i < count; i++)
        {
            DriverStatus.Check(DriverApi.DeviceGet(out int device, i), "cuDeviceGet");
            DriverStatus.Check(DriverApi.DeviceTotalMem(out nuint bytes, device), "cuDeviceTotalMem");
            devices[i] = new CudaGpu(
                CudaDevice.NameOf(device), CudaDevice.ComputeCapabilityOf(device), CudaDevice.Attribute(device, DeviceAttribute.MultiprocessorCount), (long)bytes)
            {
                Rates = DeviceRates.Of(device),
            };
        }
        return devices;
    }
}
