using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the kernel that draws from rows; laid out as in <c>row_sample.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct RowSampleParameters
{
    public nint Rows;
    public nint Choices;
    public nint Indexes;
    public int RowSize;
}
