using System.Runtime.InteropServices;

namespace Hydragen.Cpu;

/// <summary>
/// What a register tile over groups is told: c = a · b, or c += a · b. A group is some neighbours along the depth: two of BF16,
/// four of INT8; a group of each of the 16 columns of a strip fills 64 bytes.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct TileArguments
{
    /// <summary><c>[rows, depth]</c> of the type of the tile, rows <see cref="AStrideBytes"/> apart.</summary>
    public byte* A;
    public nint AStrideBytes;

    /// <summary><c>[strips][ceil(depth / group)][16][group]</c>, strips <see cref="StripStrideBytes"/> apart; what fills up the last group is zero.</summary>
    public byte* B;
    public nint StripStrideBytes;

    /// <summary>FP32 or INT32 <c>[rows, 16 · strips]</c>, rows <see cref="CStrideBytes"/> apart.</summary>
    public float* C;
    public nint CStrideBytes;

    /// <summary>Length of the sum.</summary>
    public nint Depth;

    /// <summary>Not 0: the sum is added to what c holds.</summary>
    public nint Adds;

    /// <summary>Where one of two strips begins that are worth fetching meanwhile, 64 bytes for each group that is read; any address is allowed.</summary>
    public byte* FirstAhead;

    /// <summary>Where the other begins.</summary>
    public byte* SecondAhead;

    /// <summary>Bytes from each of these to one more; 0 for none.</summary>
    public nint AheadStrideBytes;
}
