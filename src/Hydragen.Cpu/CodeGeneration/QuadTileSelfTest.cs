using System.Globalization;

namespace Hydragen.Cpu;

/// <summary>Multiplies a small block with a tile over INT8 quads and compares with exact sums, before anybody relies on it.</summary>
internal static unsafe class QuadTileSelfTest
{
    private const int Depth = 36;
    private const int NumQuads = Depth / QuadKernel.QuadSize;
    private const int Seed = 1;

    /// <summary>Tests one size of tile on random numbers with both extremes among them.</summary>
    /// <param name="tile">The tile.</param>
    /// <param name="isUnsigned">Whether its rows are unsigned bytes.</param>
    /// <param name="numRows">Rows, 1 to 6.</param>
    /// <param name="numStrips">Strips, 1 to 4.</param>
    /// <returns>What went wrong, or null.</returns>
    public static string? Run(RegisterTile tile, bool isUnsigned, int numRows, int numStrips)
    {
        int width = numStrips * TileShape.StripWidth, offset = isUnsigned ? RowQuantizer.UnsignedOffset : 0;
        var random = new Random(Seed);
        byte* a = stackalloc byte[TileShape.MaxRows * Depth];
        sbyte* b = stackalloc sbyte[4 * Depth * TileShape.StripWidth];
        int* c = stackalloc int[TileShape.MaxRows * 4 * TileShape.StripWidth];
        for (int i = 0; i < numRows * Depth; i++) a[i] = (byte)(Level(i) + offset);
        for (int i = 0; i < width * Depth; i++) b[i] = (sbyte)Level(i);
        for (int adds = 0; adds <= 1; adds++)
        {
            new Span<int>(c, numRows * width).Fill(12345);
            var arguments = new TileArguments
            {
                A = a,
                AStrideBytes = Depth,
                B = (byte*)b,
                StripStrideBytes = Depth * TileShape.StripWidth,
                C = (float*)c,
                CStrideBytes = width * sizeof(int),
                Depth = Depth,
                Adds = adds,
            };
            tile.Multiply(numRows, numStrips, ref arguments);
            for (int i = 0; i < numRows * width; i++)
            {
                int row = i / width, strip = i % width / TileShape.StripWidth, lane = i % TileShape.StripWidth, sum = adds * 12345;
                for (int k = 0; k < Depth; k++)
                {
                    int factor = isUnsigned ? a[row * Depth + k] : (sbyte)a[row * Depth + k];
                    sum += factor * b[((strip * NumQuads + k / QuadKernel.QuadSize) * TileShape.StripWidth + lane) * QuadKernel.QuadSize + k % QuadKernel.QuadSize];
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
