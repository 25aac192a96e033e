using System.Globalization;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Multiplies a small random block with a generated tile kernel and compares with FP64, before anybody relies on it.</summary>
internal static unsafe class AmxTileSelfTest
{
    private const int Steps = 3, Depth = Steps * AmxTileEmitter.TileDepth;

    /// <summary>Tests one kernel; returns what is wrong, or null.</summary>
    public static string? Run(AmxTile tile, int numTiles, int numStrips, int linesAhead)
    {
        int rows = numTiles * AmxTileEmitter.TileRows, width = numStrips * TileShape.StripWidth;
        var random = new Random(1);
        ushort[] a = Numbers(random, rows * Depth), b = Numbers(random, width * Depth);
        var c = new float[rows * width];
        foreach (bool adds in (bool[])[false, true])
        {
            Array.Fill(c, adds ? 1 : float.NaN);
            fixed (ushort* aPointer = a, bPointer = b)
            fixed (float* cPointer = c)
            {
                tile.Multiply(numTiles, numStrips, linesAhead, new AmxTileArguments
                {
                    A = (byte*)aPointer,
                    AStrideBytes = Depth * sizeof(ushort),
                    AStepBytes = AmxTileEmitter.TileDepth * sizeof(ushort),
                    ATileBytes = AmxTileEmitter.TileRows * Depth * sizeof(ushort),
                    B = (byte*)bPointer,
                    StripStrideBytes = Steps * AmxTileEmitter.TileBytes,
                    C = cPointer,
                    CStrideBytes = width * sizeof(float),
                    Steps = Steps,
                    Adds = adds ? 1 : 0,
                    Ahead = (byte*)bPointer,
                });
            }
            for (int i = 0; i < c.Length; i++)
            {
                int row = i / width, strip = i % width / TileShape.StripWidth, lane = i % TileShape.StripWidth;
                double sum = adds ? 1 : 0, magnitude = sum;
                for (int k = 0; k < Depth; k++)
                {
                    double product = (double)BFloat16Bits.ToSingle(a[row * Depth + k])
                        * BFloat16Bits.ToSingle(b[((strip * Depth / 2 + k / 2) * TileShape.StripWidth + lane) * 2 + k % 2]);
                    sum += product;
                    magnitude += Math.Abs(product);
                }
                // At most one rounding of half a unit in the last place of a partial sum for each term, and one for the sum into c.
                double error = Math.Abs(sum - c[i]), bound = (Depth + 1) * Math.Pow(2, -24) * magnitude;
                if (!(error <= bound))
                {
                    return string.Create(CultureInfo.InvariantCulture,
                        $"the self-test of the tile kernel of {rows} rows × {numStrips} strips erred by {error:g2}, more than {bound:g2}");
                }
            }
        }
        return null;
    }

    private static ushort[] Numbers(Random random, int count)
    {
        var numbers = new ushort[count];
        for (int i = 0; i < count; i++) numbers[i] = BFloat16Bits.FromSingle(random.NextSingle() - 0.5f);
        return numbers;
    }
}
