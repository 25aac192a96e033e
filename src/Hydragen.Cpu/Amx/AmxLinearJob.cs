using System.Runtime.Intrinsics;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// Matrix products of BF16 rows, packed in tiles by <see cref="PackTilesJob"/>, with paired BF16 weights. What is not BF16 goes the way of
/// the vectors.
/// </summary>
internal sealed unsafe class AmxLinearJob(AmxTile tile, PairTile pairTile) : PairLinearJob(pairTile)
{
    // Two strips of so many steps are half of a first-level cache, and all rows of a block pass over them.
    private const int StepsPerPass = 16;
    private const int StripsPerTile = 2;
    private const int CacheLine = 64;

    public override int RowsPerBlock => 256;

    public override bool PacksTiles(ElementType inputType, CpuMatrix matrix) => inputType == ElementType.BFloat16 && matrix.IsPaired;

    protected override void Multiply(int firstRow, int numRows, int firstStrip, int numStrips, float* sums)
    {
        if (!PacksTiles(InputType, Matrix))
        {
            base.Multiply(firstRow, numRows, firstStrip, numStrips, sums);
            return;
        }
        nint steps = Matrix.StripSize / (TileShape.StripWidth * AmxTileEmitter.TileDepth), stripBytes = Matrix.StripSize * sizeof(ushort);
        int sumStride = numStrips * TileShape.StripWidth;
        int numTiles = (numRows + AmxTileEmitter.TileRows - 1) / AmxTileEmitter.TileRows;
        byte* strips = Weights + firstStrip * stripBytes;
        AmxTileArguments arguments = new()
        {
            AStrideBytes = AmxTileEmitter.TileDepth * sizeof(ushort),
            AStepBytes = AmxTileEmitter.TileBytes,
            ATileBytes = steps * AmxTileEmitter.TileBytes,
            StripStrideBytes = stripBytes,
            CStrideBytes = sumStride * sizeof(float),
        };
        // The rows of a pass share out what the next pass reads.
        int linesAhead = 2;
        while (linesAhead * numTiles < AmxTileEmitter.TileRows) linesAhead *= 2;
        tile.Configure();
        for (nint step = 0; step < steps; step += StepsPerPass)
        {
            arguments.Steps = Math.Min(StepsPerPass, steps - step);
            arguments.Adds = step > 0 ? 1 : 0;
            for (int strip = 0; strip < numStrips; strip += StripsPerTile)
            {
                arguments.B = strips + strip * stripBytes + step * AmxTileEmitter.TileBytes;
                byte* next = strip + StripsPerTile < numStrips ? arguments.B + StripsPerTile * stripBytes
                    : step + StepsPerPass < steps ? strips + (step + StepsPerPass) * AmxTileEmitter.TileBytes : null;
                for (int row = 0; row < numTiles; row++)
                {
                    arguments.A = Input + (firstRow / AmxTileEmitter.TileRows + row) * arguments.ATileBytes + step * AmxTileEmitter.TileBytes;
                    arguments.C = sums + row * AmxTileEmitter.TileRows * sumStride + strip * TileShape.StripWidth;
                    int lines = next != null && row * linesAhead < AmxTileEmitter.TileRows ? linesAhead : 0;
                    arguments.Ahead = next + row * linesAhead * CacheLine * StepsPerPass;
                    tile.Multiply(1, Math.Min(StripsPerTile, numStrips - strip), lines, arguments);
                }
            }
        }
        tile.Release();
    }
}
