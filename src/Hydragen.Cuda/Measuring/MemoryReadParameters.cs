using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the kernel that reads memory; laid out as in <c>memory_read.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct MemoryReadParameters
{
    public nint Data;
    public nint Sink;
    public long NumChunks;
}
