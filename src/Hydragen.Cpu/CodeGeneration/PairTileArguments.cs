using System.Runtime.InteropServices;

namespace Hydragen.Cpu;

/// <summary>What a generated tile kernel is told: c = a · b, or c += a · b, for one register tile.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct PairTileArguments
{
    /// <summary>BF16 or FP32 <c>[rows, depth]</c>, rows <see cref="AStrideBytes"/> apart.</summary>
    public byte* A;
    public nint AStrideBytes;

    /// <summary>BF16 pairs <c>[strips][ceil(depth / 2)][16][2]</c>, strips <see cref="StripStrideBytes"/> apart; the partner of an odd last row is zero.</summary>
    public byte* B;
    public nint StripStrideBytes;

    /// <summary>FP32 <c>[rows, 16 · strips]</c>, rows <see cref="CStrideBytes"/> apart.</summary>
    public float* C;
    public nint CStrideBytes;

    /// <summary>Length of the sum.</summary>
    public nint Depth;

    /// <summary>Not 0: the sum is added to what c holds.</summary>
    public nint Adds;

    /// <summary>Where one of two strips begins that are worth fetching meanwhile, a pair row for each that is read; any address is allowed.</summary>
    public byte* FirstAhead;

    /// <summary>Where the other begins.</summary>
    public byte* SecondAhead;

    /// <summary>Bytes from each of these to one more; 0 for none.</summary>
    public nint AheadStrideBytes;
}
