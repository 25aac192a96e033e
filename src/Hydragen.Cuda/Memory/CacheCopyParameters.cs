using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the kernel that copies tokens; laid out as in <c>cache_copy.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct CacheCopyParameters
{
    public nint Source;
    public nint Destination;
    public int SourceSlot;
    public int DestinationSlot;
    public int NumTokens;
}
