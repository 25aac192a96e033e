using System.Globalization;

namespace Hydragen.Cpu;

/// <summary>Multiplies a small block with a tile over INT8 quads and compares with exact sums, before anybody relies on it.</summary>
internal static unsafe class QuadTileSelfTest
{
    private const int Seed = 1;

    /// <summary>Tests one size of tile on random numbers with both extremes among them.</summary>
    /// <param name="tile">The tile.</param>
    /// <param name="isUnsigned">Whether its rows are unsigned bytes.</param>
    /// <param name="numRows">Rows, 1 to the tile's largest number.</param>
    /// <param name="numStrips">Strips, 1 to 4.</param>
    /// <param name="depth">Length of the sums.</param>
    /// <returns>What went wrong, or null.</returns>
    public static string? Run(RegisterTile tile, bool isUnsigned, int numRows, int numStrips, int depth = 36)
    {
        int width = numStrips * TileShape.StripWidth, offset = isUnsigned ? RowQuantizer.UnsignedOffset : 0;
        var random = new Random(Seed);
        byte* a = stackalloc byte[tile.MaxRows * depth];
        sbyte* b = stackalloc sbyte[4 * depth * TileShape.StripWidth];
        int* c = stackalloc int[tile.MaxRows * 4 * TileShape.StripWidth];
        for (int i = 0; i < numRows * depth; i++) a[i] = (byte)(Level(i) + offset);
        for (int i = 0; i < width * depth; i++) b[i] = (sbyte)Level(i);
        for (int adds = 0; adds <= 1; adds++)
        {
            new Span<int>(c, numRows * width).Fill(12345);
            var arguments = new TileArguments
            {
                A = a,
                AStrideBytes = depth,
                B = (byte*)b,
                StripStrideBytes = depth * TileShape.StripWidth,
                C = (float*)c,
                CStrideBytes = width * sizeof(int),
                Depth = depth,
                Adds = adds,
                FirstAhead = (byte*)b,
            };
            tile.Multiply(numRows, numStrips, ref arguments);
            for (int i = 0; i < numRows * width; i++)
            {
                int row = i / width, strip = i % width / TileShape.StripWidth, lane = i % TileShape.StripWidth, sum = adds * 12345;
                for (int k = 0; k < depth; k++)
                {
                    int factor = isUnsigned ? a[row * depth + k] : (sbyte)a[row * depth + k];
                    sum += factor * b[((strip * depth / QuadKernel.QuadSize + k / QuadKernel.QuadSize) * TileShape.StripWidth + lane) * QuadKernel.QuadSize + k % QuadKernel.QuadSize];
                }
                if (c[i] != sum)
                {
                    return string.Create(CultureInfo.InvariantCulture,
                        $"the self-test of the int8 tile of {numRows} × {numStrips} gave {c[i]} instead of {sum}");
                }
            }
        }
        return null;

        // Whole quads of extremes in between: intermediate sums of 16 bits would overflow there.
        int Level(int index) => index / QuadKernel.QuadSize % 3 == 0 ? RowQuantizer.MaxLevel : random.Next(-RowQuantizer.MaxLevel, RowQuantizer.MaxLevel + 1);
    }
}
