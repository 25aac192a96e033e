using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the kernel that finds largest magnitudes; laid out as in <c>cache_largest.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct CacheLargestParameters
{
    public nint Tokens;
    public nint Largest;
    public long LayerOffset;
    public int NumTokens;
}
