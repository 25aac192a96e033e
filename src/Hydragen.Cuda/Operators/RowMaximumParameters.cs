using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the kernel that finds largest numbers; laid out as in <c>row_maximum.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct RowMaximumParameters
{
    public nint Rows;
    public nint Indexes;
    public int RowSize;
}
