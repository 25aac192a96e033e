using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>
/// The functions of the CUDA driver API that are used, named as there. They return a status; pass it to <see cref="DriverStatus.Check"/>.
/// Ask <see cref="NativeLibraries.HasDriver"/> before the first call.
/// </summary>
internal static unsafe partial class DriverApi
{
    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuInit")]
    public static partial int Init(uint flags);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuDriverGetVersion")]
    public static partial int DriverGetVersion(out int version);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuGetErrorName")]
    public static partial int GetErrorName(int status, out byte* name);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuGetErrorString")]
    public static partial int GetErrorString(int status, out byte* text);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuDeviceGetCount")]
    public static partial int DeviceGetCount(out int count);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuDeviceGet")]
    public static partial int DeviceGet(out int device, int index);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuDeviceGetName")]
    public static partial int DeviceGetName(byte* name, int length, int device);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuDeviceGetAttribute")]
    public static partial int DeviceGetAttribute(out int value, DeviceAttribute attribute, int device);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuDeviceTotalMem_v2")]
    public static partial int DeviceTotalMem(out nuint bytes, int device);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuDevicePrimaryCtxRetain")]
    public static partial int DevicePrimaryCtxRetain(out nint context, int device);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuDevicePrimaryCtxRelease_v2")]
    public static partial int DevicePrimaryCtxRelease(int device);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuCtxSetCurrent")]
    public static partial int CtxSetCurrent(nint context);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuStreamCreate")]
    public static partial int StreamCreate(out nint stream, uint flags);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuStreamSynchronize")]
    public static partial int StreamSynchronize(nint stream);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuStreamDestroy_v2")]
    public static partial int StreamDestroy(nint stream);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuStreamBeginCapture_v2")]
    public static partial int StreamBeginCapture(nint stream, int mode);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuStreamEndCapture")]
    public static partial int StreamEndCapture(nint stream, out nint graph);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuGraphInstantiateWithFlags")]
    public static partial int GraphInstantiate(out nint executable, nint graph, ulong flags);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuGraphLaunch")]
    public static partial int GraphLaunch(nint executable, nint stream);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuGraphExecDestroy")]
    public static partial int GraphExecDestroy(nint executable);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuGraphDestroy")]
    public static partial int GraphDestroy(nint graph);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuEventCreate")]
    public static partial int EventCreate(out nint handle, uint flags);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuEventRecord")]
    public static partial int EventRecord(nint handle, nint stream);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuEventSynchronize")]
    public static partial int EventSynchronize(nint handle);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuEventElapsedTime")]
    public static partial int EventElapsedTime(out float milliseconds, nint start, nint end);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuEventDestroy_v2")]
    public static partial int EventDestroy(nint handle);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuMemGetInfo_v2")]
    public static partial int MemGetInfo(out nuint freeBytes, out nuint totalBytes);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuMemHostAlloc")]
    public static partial int MemHostAlloc(out nint address, nuint bytes, uint flags);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuMemFreeHost")]
    public static partial int MemFreeHost(nint address);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuMemAlloc_v2")]
    public static partial int MemAlloc(out nint address, nuint bytes);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuMemFree_v2")]
    public static partial int MemFree(nint address);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuIpcGetMemHandle")]
    public static partial int IpcGetMemHandle(out MemoryHandle handle, nint address);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuIpcOpenMemHandle_v2")]
    public static partial int IpcOpenMemHandle(out nint address, MemoryHandle handle, uint flags);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuIpcCloseMemHandle")]
    public static partial int IpcCloseMemHandle(nint address);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuCtxEnablePeerAccess")]
    public static partial int CtxEnablePeerAccess(nint context, uint flags);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuMemcpyHtoDAsync_v2")]
    public static partial int MemcpyHostToDevice(nint destination, void* source, nuint bytes, nint stream);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuMemcpyDtoHAsync_v2")]
    public static partial int MemcpyDeviceToHost(void* destination, nint source, nuint bytes, nint stream);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuMemcpyDtoDAsync_v2")]
    public static partial int MemcpyDeviceToDevice(nint destination, nint source, nuint bytes, nint stream);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuMemsetD8Async")]
    public static partial int MemsetBytes(nint address, byte value, nuint bytes, nint stream);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuModuleLoadData")]
    public static partial int ModuleLoadData(out nint module, void* image);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuModuleUnload")]
    public static partial int ModuleUnload(nint module);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuModuleGetFunction", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int ModuleGetFunction(out nint function, nint module, string name);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuFuncSetAttribute")]
    public static partial int FuncSetAttribute(nint function, int attribute, int value);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuOccupancyMaxActiveBlocksPerMultiprocessor")]
    public static partial int MaxActiveBlocks(out int numBlocks, nint function, int blockSize, nuint sharedBytes);

    [LibraryImport(NativeLibraries.Driver, EntryPoint = "cuLaunchKernelEx")]
    public static partial int LaunchKernel(LaunchConfiguration* configuration, nint function, void** parameters, void** extra);
}
