using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the kernel that fills a cache; laid out as in <c>cache_fill.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct CacheFillParameters
{
    public nint Runs;
    public long LayerOffset;
    public int Layer;
}
