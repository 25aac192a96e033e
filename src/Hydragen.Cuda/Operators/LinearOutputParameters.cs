using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the kernel that finishes a product; laid out as in <c>linear_output.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct LinearOutputParameters
{
    public nint Products;
    public nint Scales;
    public nint Bias;
    public nint Output;
    public int OutputSize;
    public int Pitch;
    public int NumProductRows;
    public int BlocksPerRow;
    public float SoftCap;
}
