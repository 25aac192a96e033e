using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// Matrix products of BF16 rows, packed in tiles by <see cref="PackTilesJob"/>, with paired BF16 weights. What is not BF16 goes the way of
/// the vectors.
/// </summary>
internal sealed unsafe class AmxLinearJob(AmxTile tile, PairTile pairTile) : PairLinearJob(pairTile)
{
    // Two row tiles of so many steps stay in the first-level cache while all strips of an item pass by.
    private const int MaxStepsPerPass = 16;
    private const int PairRows = 2 * AmxTileEmitter.TileRows;
    private const int BlockBytes = 1 << 20;
    private const int CacheLine = 64;

    // Packed rows of a block fill half of a second-level cache.
    public override int RowsPerBlock =>
        Matrix.IsPaired ? Math.Clamp(BlockBytes / (Matrix.InputSize * sizeof(ushort)) / PairRows * PairRows, 64, 256) : base.RowsPerBlock;

    public override bool PacksTiles(ElementType inputType, CpuMatrix matrix) => inputType == ElementType.BFloat16 && matrix.IsPaired;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Multiply(int firstRow, int numRows, int firstStrip, int numStrips, float* sums)
    {
        if (!PacksTiles(InputType, Matrix))
        {
            base.Multiply(firstRow, numRows, firstStrip, numStrips, sums);
            return;
        }
        nint steps = Matrix.StripSize / (TileShape.StripWidth * AmxTileEmitter.TileDepth), stripBytes = Matrix.StripSize * sizeof(ushort);
        int sumStride = numStrips * TileShape.StripWidth;
        byte* strips = Weights + firstStrip * stripBytes;
        AmxTileArguments arguments = new()
        {
            AStrideBytes = AmxTileEmitter.TileDepth * sizeof(ushort),
            AStepBytes = AmxTileEmitter.TileBytes,
            ATileBytes = steps * AmxTileEmitter.TileBytes,
            StripStrideBytes = stripBytes,
            CStrideBytes = sumStride * sizeof(float),
        };
        // The rows of a pass share out what the next pass reads, of these strips or of the next item's, which mostly runs on the same thread.
        int linesAhead = 2, numPairs = (numRows + PairRows - 1) / PairRows;
        while (linesAhead * numPairs < AmxTileEmitter.TileRows) linesAhead *= 2;
        nint numPasses = (steps + MaxStepsPerPass - 1) / MaxStepsPerPass, stepsPerPass = (steps + numPasses - 1) / numPasses;
        byte* nextStrips = NextStrips(firstStrip, stripBytes);
        nint nextItem = nextStrips == null ? 0 : (nint)(nextStrips - strips);
        tile.Configure();
        for (nint step = 0; step < steps; step += stepsPerPass)
        {
            arguments.Steps = Math.Min(stepsPerPass, steps - step);
            arguments.Adds = step > 0 ? 1 : 0;
            nint ahead = step + stepsPerPass < steps ? stepsPerPass * AmxTileEmitter.TileBytes : nextItem == 0 ? 0 : nextItem - step * AmxTileEmitter.TileBytes;
            for (int pair = 0; pair < numPairs; pair++)
            {
                int row = pair * PairRows;
                arguments.A = Input + (firstRow + row) / AmxTileEmitter.TileRows * arguments.ATileBytes + step * AmxTileEmitter.TileBytes;
                arguments.B = strips + step * AmxTileEmitter.TileBytes;
                arguments.C = sums + row * sumStride;
                int numPairRows = Math.Min(PairRows, numRows - row);
                // The results are written right behind the last pass.
                if (step + stepsPerPass >= steps) FetchOutput(firstRow + row, numPairRows, firstStrip, numStrips);
                int lines = ahead != 0 && pair * linesAhead < AmxTileEmitter.TileRows ? linesAhead : 0;
                tile.MultiplyRows(numPairRows, numStrips, lines, ahead + pair * linesAhead * CacheLine, arguments);
            }
        }
        tile.Release();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void FetchOutput(int firstRow, int numRows, int firstStrip, int numStrips)
    {
        int size = OutputType.SizeInBytes(), firstColumn = firstStrip * TileShape.StripWidth;
        nint rowBytes = (nint)Matrix.OutputSize * size;
        nint width = Math.Min(numStrips * TileShape.StripWidth, Matrix.OutputSize - firstColumn) * size;
        tile.FetchToWrite(Output + firstRow * rowBytes + firstColumn * size, rowBytes, numRows, width);
    }
}
