using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>The product by AVX-512 dot products of pairs.</summary>
internal sealed unsafe class VectorPairProduct(PairTile tile) : PairProduct
{
    private const int StripsPerTile = 4;

    private readonly RegisterTile _tile = tile[ElementType.BFloat16];

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
        for (int group = 0; group < numStrips; group += StripsPerTile)
        {
            int groupEnd = Math.Min(group + StripsPerTile, numStrips);
            for (int row = 0; row < numRows; row += TileShape.MaxRows)
            {
                // The first rows wait for memory, and strip after strip is one stream, which the processor fetches best. The others find
                // the strips in the cache.
                bool isStream = ahead != 0 && row == 0;
                int step = isStream ? 1 : StripsPerTile;
                for (int strip = group; strip < groupEnd; strip += step)
                {
                    arguments.A = a + row * aStrideBytes;
                    arguments.B = b + strip * stripStrideBytes;
                    arguments.C = (float*)((byte*)c + row * cStrideBytes) + strip * TileShape.StripWidth;
                    arguments.FirstAhead = arguments.SecondAhead = arguments.B + (isStream ? ahead : 0);
                    _tile.Multiply(Math.Min(TileShape.MaxRows, numRows - row), Math.Min(step, groupEnd - strip), ref arguments);
                }
            }
        }
    }
}
