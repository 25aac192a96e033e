using System.Runtime.CompilerServices;

namespace Hydragen.Cpu;

/// <summary>The product by tiles.</summary>
internal sealed unsafe class AmxPairProduct(AmxTile tile) : PairProduct
{
    public override int RowMultiple => AmxTileEmitter.TileRows;

    public override void Begin() => tile.Configure();

    public override void End() => tile.Release();

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Multiply(
        int numRows, int numStrips, byte* a, nint aStrideBytes, byte* b, nint stripStrideBytes, float* c, nint cStrideBytes,
        int depth, bool adds, nint ahead)
    {
        tile.MultiplyRows(numRows, numStrips, ahead != 0 ? AmxTileEmitter.TileRows : 0, ahead, new AmxTileArguments
        {
            A = a,
            AStrideBytes = aStrideBytes,
            AStepBytes = AmxTileEmitter.TileDepth * sizeof(ushort),
            ATileBytes = AmxTileEmitter.TileRows * aStrideBytes,
            B = b,
            StripStrideBytes = stripStrideBytes,
            C = c,
            CStrideBytes = cStrideBytes,
            Steps = depth / AmxTileEmitter.TileDepth,
            Adds = adds ? 1 : 0,
        });
    }
}
