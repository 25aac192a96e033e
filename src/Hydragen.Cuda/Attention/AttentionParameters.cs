using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the attention kernels; laid out as in <c>common.cuh</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct AttentionParameters
{
    public nint Items;
    public nint NumItems;
    public nint Tickets;
    public nint Pages;
    public nint RowPositions;
    public nint PartSlots;
    public nint AlibiSlopes;
    public nint Query;
    public nint Output;
    public nint LogSumExp;
    public nint PartOutput;
    public nint PartSums;
    public long LayerOffset;
    public int NumHeads;
    public int NumKvHeads;
    public int GroupSize;
    public uint GroupReciprocal;
    public int QueryType;
    public int OutputType;
    public int Window;
    public float Scale;
    public float SoftCap;
    public float ScaleBase2;
    public int NumFirstTasks;
    public nint Scales;
}
