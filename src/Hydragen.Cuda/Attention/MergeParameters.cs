using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the merge kernel; laid out as in <c>attention_merge.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct MergeParameters
{
    public nint NumRows;
    public nint Rows;
    public nint PartOutput;
    public nint PartSums;
    public nint Output;
    public nint LogSumExp;
    public int NumHeads;
    public int OutputType;
}
