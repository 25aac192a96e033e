using System.Runtime.CompilerServices;

namespace Hydragen.Cpu;

/// <summary>
/// A matrix micro-kernel over groups of neighbours along the depth (<see cref="TileArguments"/>), and the way a block of rows passes
/// over packed strips with it.
/// </summary>
internal abstract unsafe class RegisterTile
{
    /// <summary>Bytes of one group of each of the 16 columns of a strip.</summary>
    public const int GroupRowBytes = 64;

    private const int GroupsPerPass = LinearJob.StripBytesPerPass / GroupRowBytes;

    /// <summary>The most rows of one call.</summary>
    public virtual int MaxRows => TileShape.MaxRows;

    /// <summary>Rows of the input lie so many bytes further apart than they are long.</summary>
    public virtual int RowPaddingBytes => 0;

    /// <summary>Prepares the thread for calls of <see cref="Multiply"/>.</summary>
    public virtual void Begin()
    {
    }

    /// <summary>Undoes <see cref="Begin"/>.</summary>
    public virtual void End()
    {
    }

    /// <summary>Computes some rows of any number of strips.</summary>
    /// <param name="numRows">1 to <see cref="MaxRows"/>; a and c have room for that many.</param>
    /// <param name="numStrips">Strips of b and c.</param>
    /// <param name="arguments">The rest; what it points to may move on.</param>
    public abstract void Multiply(int numRows, int numStrips, ref TileArguments arguments);

    /// <summary>
    /// Computes any number of rows and strips, four strips at a time; fewer where they come from memory, which the processor fetches best in
    /// few streams.
    /// </summary>
    /// <param name="numRows">Rows of a and c.</param>
    /// <param name="numStrips">Strips of b and of c, 16 columns each.</param>
    /// <param name="a"><c>[numRows, depth]</c>, rows <paramref name="aStrideBytes"/> apart.</param>
    /// <param name="aStrideBytes">Bytes.</param>
    /// <param name="b">The strips, <paramref name="stripStrideBytes"/> apart.</param>
    /// <param name="stripStrideBytes">Bytes.</param>
    /// <param name="c">FP32 <c>[numRows, 16 · numStrips]</c>, rows <paramref name="cStrideBytes"/> apart.</param>
    /// <param name="cStrideBytes">Bytes.</param>
    /// <param name="depth">Length of the sum.</param>
    /// <param name="adds">Whether the sums are added to what c holds.</param>
    /// <param name="ahead">Bytes from each line of b that is read to one that is worth fetching meanwhile; 0 for none.</param>
    /// <param name="streams">Strips at a time, 1, 2 or 4, of those that come from memory: when something is fetched ahead.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void MultiplyStrips(
        int numRows, int numStrips, byte* a, nint aStrideBytes, byte* b, nint stripStrideBytes, float* c, nint cStrideBytes, nint depth, bool adds, nint ahead,
        int streams)
    {
        const int stripsPerTile = LinearJob.StripsPerItem;
        TileArguments arguments = new()
        {
            AStrideBytes = aStrideBytes,
            StripStrideBytes = stripStrideBytes,
            CStrideBytes = cStrideBytes,
            Depth = depth,
            Adds = adds ? 1 : 0,
        };
        for (int group = 0; group < numStrips; group += stripsPerTile)
        {
            int groupEnd = Math.Min(group + stripsPerTile, numStrips);
            for (int row = 0; row < numRows; row += MaxRows)
            {
                // The first rows wait for memory and fetch what is read next. The others find the strips in the cache.
                bool fetches = ahead != 0 && row == 0;
                int step = fetches ? streams : stripsPerTile;
                for (int strip = group; strip < groupEnd; strip += step)
                {
                    int count = Math.Min(step, groupEnd - strip);
                    arguments.A = a + row * aStrideBytes;
                    arguments.B = b + strip * stripStrideBytes;
                    arguments.C = (float*)((byte*)c + row * cStrideBytes) + strip * TileShape.StripWidth;
                    arguments.FirstAhead = arguments.B + (fetches ? ahead : 0);
                    arguments.SecondAhead = arguments.FirstAhead + (fetches && count > 1 ? stripStrideBytes : 0);
                    arguments.AheadStrideBytes = fetches && count == stripsPerTile ? 2 * stripStrideBytes : 0;
                    Multiply(Math.Min(MaxRows, numRows - row), count, ref arguments);
                }
            }
        }
    }

    /// <summary>
    /// Computes a block of rows, <see cref="LinearJob.StripBytesPerPass"/> bytes of each strip at a time, so that a piece of the strips
    /// stays in the cache while all rows pass over it.
    /// </summary>
    /// <param name="input"><c>[numRows, depth]</c>, rows <paramref name="rowBytes"/> apart.</param>
    /// <param name="rowBytes">Bytes from one row to the next.</param>
    /// <param name="numRows">Rows.</param>
    /// <param name="strips">The first strip.</param>
    /// <param name="stripBytes">Bytes of a strip.</param>
    /// <param name="numStrips">1 to <see cref="LinearJob.StripsPerItem"/>.</param>
    /// <param name="nextStrips">The strips that will be read next, fetched in the last pass; null for none.</param>
    /// <param name="depth">Length of the sum.</param>
    /// <param name="groupSize">Elements of a group.</param>
    /// <param name="groupBytes">Bytes of a group of a row of the input.</param>
    /// <param name="sums">Receives <c>[numRows, 16 · numStrips]</c>, dense.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void MultiplyBlock(
        byte* input, nint rowBytes, int numRows, byte* strips, nint stripBytes, int numStrips, byte* nextStrips, nint depth, int groupSize, int groupBytes, float* sums)
    {
        int tileRows = MaxRows, numTiles = (numRows + tileRows - 1) / tileRows, sumStride = numStrips * TileShape.StripWidth;
        nint numGroups = (depth + groupSize - 1) / groupSize;
        TileArguments arguments = new()
        {
            AStrideBytes = rowBytes,
            StripStrideBytes = stripBytes,
            CStrideBytes = sumStride * sizeof(float),
        };
        Begin();
        for (nint group = 0; group < numGroups; group += GroupsPerPass)
        {
            arguments.Depth = Math.Min(GroupsPerPass * groupSize, depth - group * groupSize);
            arguments.Adds = group > 0 ? 1 : 0;
            byte* pass = strips + group * GroupRowBytes;
            byte* next = group + GroupsPerPass < numGroups ? pass + LinearJob.StripBytesPerPass : nextStrips;
            for (int tile = 0; tile < numTiles; tile++)
            {
                int row = tile * tileRows;
                arguments.A = input + row * rowBytes + group * groupBytes;
                arguments.B = pass;
                arguments.C = sums + row * sumStride;
                FetchAhead(ref arguments, tile, numTiles, next);
                Multiply(Math.Min(tileRows, numRows - row), numStrips, ref arguments);
            }
        }
        End();
    }

    /// <summary>
    /// The first tiles of a pass share out the four strips of the next: one alone would wait for all of them.
    /// </summary>
    private static void FetchAhead(ref TileArguments arguments, int index, int numTiles, byte* next)
    {
        const int stripsPerItem = LinearJob.StripsPerItem;
        int stripsPerTile = numTiles >= stripsPerItem ? 1 : numTiles > 1 ? stripsPerItem / 2 : stripsPerItem;
        bool fetches = next != null && index * stripsPerTile < stripsPerItem;
        nint strip = arguments.StripStrideBytes;
        arguments.FirstAhead = fetches ? next + index * stripsPerTile * strip : arguments.B;
        arguments.SecondAhead = fetches && stripsPerTile > 1 ? arguments.FirstAhead + strip : arguments.FirstAhead;
        arguments.AheadStrideBytes = fetches && stripsPerTile == stripsPerItem ? 2 * strip : 0;
    }
}
