using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the kernel that rotates and appends; laid out as in <c>rotary_append.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct RotaryAppendParameters
{
    public nint QueryKeyValue;
    public nint Tokens;
    public nint Factors;
    public nint QueryWeight;
    public nint KeyWeight;
    public nint Query;
    public long LayerOffset;
    public int NumRows;
    public int NumHeads;
    public int NumKvHeads;
    public int RotaryDim;
    public float Epsilon;
    public nint Scales;
}
