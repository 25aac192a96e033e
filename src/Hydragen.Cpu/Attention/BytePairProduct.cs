using System.Runtime.CompilerServices;

namespace Hydragen.Cpu;

/// <summary>The product of BF16 rows with the bytes of a KV cache, which are widened on the way; the bits are those of <see cref="VectorPairProduct"/>.</summary>
internal sealed unsafe class BytePairProduct(RegisterTile tile) : PairProduct
{
    private const int StripsPerTile = 4;

    public override int RowMultiple => 1;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Multiply(
        int numRows, int numStrips, byte* a, nint aStrideBytes, byte* b, nint stripStrideBytes, float* c, nint cStrideBytes,
        int depth, bool adds, nint ahead)
    {
        TileArguments arguments = new()
        {
            AStrideBytes = aStrideBytes,
            StripStrideBytes = stripStrideBytes,
            CStrideBytes = cStrideBytes,
            Depth = depth,
            Adds = adds ? 1 : 0,
        };
        for (int strip = 0; strip < numStrips; strip += StripsPerTile)
        {
            int count = Math.Min(StripsPerTile, numStrips - strip);
            for (int row = 0; row < numRows; row += tile.MaxRows)
            {
                // The first rows fetch what is read next.
                bool fetches = ahead != 0 && row == 0;
                arguments.A = a + row * aStrideBytes;
                arguments.B = b + strip * stripStrideBytes;
                arguments.C = (float*)((byte*)c + row * cStrideBytes) + strip * TileShape.StripWidth;
                arguments.FirstAhead = arguments.B + (fetches ? ahead : 0);
                arguments.SecondAhead = arguments.FirstAhead + (fetches && count > 1 ? stripStrideBytes : 0);
                arguments.AheadStrideBytes = fetches && count == StripsPerTile ? 2 * stripStrideBytes : 0;
                tile.Multiply(Math.Min(tile.MaxRows, numRows - row), count, ref arguments);
            }
        }
    }
}
