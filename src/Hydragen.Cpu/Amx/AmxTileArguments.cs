using System.Runtime.InteropServices;

namespace Hydragen.Cpu;

/// <summary>What a generated tile kernel is told: c = a · b, or c += a · b, for one block of tiles.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct AmxTileArguments
{
    /// <summary>BF16 tiles of 16 rows × 32 elements: rows <see cref="AStrideBytes"/> apart, along the depth <see cref="AStepBytes"/>.</summary>
    public byte* A;
    public nint AStrideBytes;
    public nint AStepBytes;

    /// <summary>Bytes from 16 rows of a to the next 16.</summary>
    public nint ATileBytes;

    /// <summary>BF16 pairs <c>[strips][16 · steps][16][2]</c>, strips <see cref="StripStrideBytes"/> apart.</summary>
    public byte* B;
    public nint StripStrideBytes;

    /// <summary>FP32 <c>[16 · rowTiles, 16 · strips]</c>, rows <see cref="CStrideBytes"/> apart.</summary>
    public float* C;
    public nint CStrideBytes;

    /// <summary>Length of the sum in steps of 32.</summary>
    public nint Steps;

    /// <summary>Not 0: the sum is added to what c holds.</summary>
    public nint Adds;

    /// <summary>Where memory begins that is worth fetching meanwhile, for the first strip; the others lie as those of b. Any address is allowed.</summary>
    public byte* Ahead;
}
