namespace Hydragen.Cpu;

/// <summary>The product by tiles.</summary>
internal sealed unsafe class AmxPairProduct(AmxTile tile) : PairProduct
{
    public override int RowMultiple => AmxTileEmitter.TileRows;

    public override int DepthMultiple => AmxTileEmitter.TileDepth;

    public override void Begin() => tile.Configure();

    public override void End() => tile.Release();

    public override void Multiply(
        int numRows, int numStrips, byte* a, nint aStrideBytes, byte* b, nint stripStrideBytes, float* c, nint cStrideBytes,
        int depth, bool adds, nint ahead)
    {
        AmxTileArguments arguments = new()
        {
            AStrideBytes = aStrideBytes,
            AStepBytes = AmxTileEmitter.TileDepth * sizeof(ushort),
            ATileBytes = AmxTileEmitter.TileRows * aStrideBytes,
            StripStrideBytes = stripStrideBytes,
            CStrideBytes = cStrideBytes,
            Steps = depth / AmxTileEmitter.TileDepth,
            Adds = adds ? 1 : 0,
        };
        int numTiles = (numRows + AmxTileEmitter.TileRows - 1) / AmxTileEmitter.TileRows;
        // Two sums: of two row tiles, or of two strips where there is one row tile only.
        int stripStep = numTiles == 1 ? 2 : 1;
        for (int strip = 0; strip < numStrips; strip += stripStep)
        {
            arguments.B = b + strip * stripStrideBytes;
            arguments.Ahead = arguments.B + ahead;
            for (int row = 0; row < numTiles; row += 2)
            {
                arguments.A = a + row * arguments.ATileBytes;
                arguments.C = (float*)((byte*)c + row * AmxTileEmitter.TileRows * cStrideBytes) + strip * TileShape.StripWidth;
                tile.Multiply(
                    Math.Min(2, numTiles - row), Math.Min(stripStep, numStrips - strip), ahead != 0 && row == 0 ? AmxTileEmitter.TileRows : 0, arguments);
            }
        }
    }
}
