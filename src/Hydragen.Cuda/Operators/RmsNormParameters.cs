using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the kernel that normalises rows; laid out as in <c>rms_norm.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct RmsNormParameters
{
    public nint Input;
    public nint Residual;
    public nint Weight;
    public nint Output;
    public int HiddenSize;
    public float Epsilon;
    public float DeltaScale;
}
