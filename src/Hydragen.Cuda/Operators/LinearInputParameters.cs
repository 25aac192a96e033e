using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the kernel that prepares the input of a product; laid out as in <c>linear_input.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct LinearInputParameters
{
    public nint Input;
    public nint Rows;
    public nint Output;
    public nint Scales;
    public int InputSize;
    public int Pitch;
    public int NumOutputRows;
}
