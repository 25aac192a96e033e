using System.Runtime.Intrinsics;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// Matrix products whose BF16 weights lie in pairs: BF16 rows by dot products of pairs, FP32 rows by widening, both generated.
/// Other weights go the way of AVX-512.
/// </summary>
internal unsafe class PairLinearJob(PairTile tile) : LinearJob<Simd512, Vector512<float>>
{
    // Even, so that a pass begins with a pair.
    private const int DepthPerPass = StripBytesPerPass / (TileShape.StripWidth * sizeof(ushort));

    public sealed override ElementType InputTypeFor(ElementType type, CpuMatrix matrix) =>
        matrix.IsPaired && type == ElementType.BFloat16 ? type : ElementType.Float32;

    protected override void Multiply(int firstRow, int numRows, int firstStrip, int numStrips, float* sums)
    {
        if (!Matrix.IsPaired)
        {
            base.Multiply(firstRow, numRows, firstStrip, numStrips, sums);
            return;
        }
        nint depth = Matrix.InputSize, rowBytes = depth * InputType.SizeInBytes(), stripBytes = Matrix.StripSize * sizeof(ushort);
        byte* strips = Weights + firstStrip * stripBytes;
        byte* input = Input + firstRow * rowBytes;
        int numTiles = (numRows + TileShape.MaxRows - 1) / TileShape.MaxRows;
        int sumStride = numStrips * TileShape.StripWidth;
        PairTileArguments arguments = new()
        {
            AStrideBytes = rowBytes,
            StripStrideBytes = stripBytes,
            CStrideBytes = sumStride * sizeof(float),
        };
        for (nint k = 0; k < depth; k += DepthPerPass)
        {
            arguments.Depth = Math.Min(DepthPerPass, depth - k);
            arguments.Adds = k > 0 ? 1 : 0;
            byte* pass = strips + k * TileShape.StripWidth * sizeof(ushort);
            byte* next = k + DepthPerPass < depth ? pass + StripBytesPerPass : null;
            for (int row = 0; row < numRows; row += TileShape.MaxRows)
            {
                arguments.A = input + row * rowBytes + k * InputType.SizeInBytes();
                arguments.B = pass;
                arguments.C = sums + row * sumStride;
                FetchAhead(ref arguments, row / TileShape.MaxRows, numTiles, next);
                tile.Multiply(Math.Min(TileShape.MaxRows, numRows - row), numStrips, InputType, ref arguments);
            }
        }
    }

    /// <summary>
    /// The first tiles of a pass share out the four strips of the next: one alone would wait for all of them.
    /// </summary>
    private static void FetchAhead(ref PairTileArguments arguments, int index, int numTiles, byte* next)
    {
        int stripsPerTile = numTiles >= StripsPerItem ? 1 : numTiles > 1 ? StripsPerItem / 2 : StripsPerItem;
        bool fetches = next != null && index * stripsPerTile < StripsPerItem;
        nint strip = arguments.StripStrideBytes;
        arguments.FirstAhead = fetches ? next + index * stripsPerTile * strip : arguments.B;
        arguments.SecondAhead = fetches && stripsPerTile > 1 ? arguments.FirstAhead + strip : arguments.FirstAhead;
        arguments.AheadStrideBytes = fetches && stripsPerTile == StripsPerItem ? 2 * strip : 0;
    }
}
