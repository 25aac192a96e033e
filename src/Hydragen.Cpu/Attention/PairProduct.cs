namespace Hydragen.Cpu;

/// <summary>
/// c = a · b or c += a · b of BF16 rows with BF16 strips of pairs, in FP32, for any number of rows and strips. An element of c is
/// summed in an order that depends on the depth alone, so a row has the same bits among any others.
/// </summary>
internal abstract unsafe class PairProduct
{
    /// <summary>Rows of a and c are computed so many at a time: both must have room for a multiple of it.</summary>
    public abstract int RowMultiple { get; }

    /// <summary>The depth must be a multiple of it.</summary>
    public abstract int DepthMultiple { get; }

    /// <summary>Prepares the thread; every thread calls it before it multiplies, and <see cref="End"/> when it is done.</summary>
    public virtual void Begin()
    {
    }

    /// <summary>Undoes <see cref="Begin"/>.</summary>
    public virtual void End()
    {
    }

    /// <summary>Computes all rows and strips.</summary>
    /// <param name="numRows">Rows of a and c.</param>
    /// <param name="numStrips">Strips of b and of c, 16 columns each.</param>
    /// <param name="a">BF16 <c>[numRows, depth]</c>, rows <paramref name="aStrideBytes"/> apart.</param>
    /// <param name="aStrideBytes">Bytes.</param>
    /// <param name="b">BF16 pairs <c>[numStrips][depth / 2][16][2]</c>, strips <paramref name="stripStrideBytes"/> apart.</param>
    /// <param name="stripStrideBytes">Bytes.</param>
    /// <param name="c">FP32 <c>[numRows, 16 · numStrips]</c>, rows <paramref name="cStrideBytes"/> apart.</param>
    /// <param name="cStrideBytes">Bytes.</param>
    /// <param name="depth">Length of the sum.</param>
    /// <param name="adds">Whether the sums are added to what c holds.</param>
    /// <param name="ahead">Bytes from each line of b that is read to one that is worth fetching meanwhile; 0 for none.</param>
    public abstract void Multiply(
        int numRows, int numStrips, byte* a, nint aStrideBytes, byte* b, nint stripStrideBytes, float* c, nint cStrideBytes,
        int depth, bool adds, nint ahead);
}

/// <summary>The product by AVX-512 dot products of pairs.</summary>
internal sealed unsafe class VectorPairProduct(PairTile tile) : PairProduct
{
    private const int StripsPerTile = 4;

    private readonly RegisterTile _tile = tile[Core.ElementType.BFloat16];

    public override int RowMultiple => 1;

    public override int DepthMultiple => 2;

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
