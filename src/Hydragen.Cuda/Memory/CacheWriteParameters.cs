using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the kernel that stores tokens; laid out as in <c>cache_write.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct CacheWriteParameters
{
    public nint Tokens;
    public nint Key;
    public nint Value;
    public long LayerOffset;
    public int NumTokens;
    public int NumKvHeads;
    public nint Scales;
}
