using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the kernel that computes log-probabilities; laid out as in <c>row_log_probability.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct RowLogProbabilityParameters
{
    public nint Rows;
    public nint TokenIds;
    public nint Results;
    public int RowSize;
}
