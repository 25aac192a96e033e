using System.Globalization;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Multiplies a small random block with a generated tile and compares with FP64, before anybody relies on it.</summary>
internal static unsafe class PairTileSelfTest
{
    // Odd, so that the last element without a partner is there too.
    private const int Depth = 37;
    private const int Seed = 1;

    /// <summary>Tests one tile.</summary>
    /// <returns>What went wrong, or null.</returns>
    public static string? Run(RegisterTile tile, int numRows, int numStrips, ElementType rowType)
    {
        const int pairRows = (Depth + 1) / 2;
        int width = numStrips * TileShape.StripWidth;
        var random = new Random(Seed);
        float* a = stackalloc float[TileShape.MaxRows * Depth];
        ushort* packedA = stackalloc ushort[TileShape.MaxRows * Depth];
        ushort* b = stackalloc ushort[4 * pairRows * 2 * TileShape.StripWidth];
        float* c = stackalloc float[TileShape.MaxRows * 4 * TileShape.StripWidth];
        for (int i = 0; i < numRows * Depth; i++)
        {
            packedA[i] = BFloat16Bits.FromSingle(random.NextSingle() - 0.5f);
            a[i] = rowType == ElementType.BFloat16 ? BFloat16Bits.ToSingle(packedA[i]) : random.NextSingle() - 0.5f;
        }
        for (int i = 0; i < numStrips * pairRows * 2 * TileShape.StripWidth; i++)
            b[i] = i / (2 * TileShape.StripWidth) % pairRows * 2 + i % 2 < Depth ? BFloat16Bits.FromSingle(random.NextSingle() - 0.5f) : (ushort)0;
        for (int adds = 0; adds <= 1; adds++)
        {
            new Span<float>(c, numRows * width).Fill(adds == 0 ? float.NaN : 1);
            var arguments = new TileArguments
            {
                A = rowType == ElementType.BFloat16 ? (byte*)packedA : (byte*)a,
                AStrideBytes = Depth * rowType.SizeInBytes(),
                B = (byte*)b,
                StripStrideBytes = pairRows * 2 * TileShape.StripWidth * sizeof(ushort),
                C = c,
                CStrideBytes = width * sizeof(float),
                Depth = Depth,
                Adds = adds,
            };
            tile.Multiply(numRows, numStrips, ref arguments);
            for (int i = 0; i < numRows * width; i++)
            {
                int row = i / width, column = i % width;
                double sum = adds, magnitude = adds;
                for (int k = 0; k < Depth; k++)
                {
                    int strip = column / TileShape.StripWidth, lane = column % TileShape.StripWidth;
                    double product = (double)a[row * Depth + k] * BFloat16Bits.ToSingle(b[((strip * pairRows + k / 2) * TileShape.StripWidth + lane) * 2 + k % 2]);
                    sum += product;
                    magnitude += Math.Abs(product);
                }
                // One rounding of at most half a unit in the last place of any partial sum for each term, and one for the sum into c.
                double error = Math.Abs(sum - c[i]), bound = (Depth + 1) * Math.Pow(2, -24) * magnitude;
                if (!(error <= bound))
                {
                    return string.Create(CultureInfo.InvariantCulture,
                        $"the self-test of the {rowType.ShortName()} tile of {numRows} × {numStrips} erred by {error:g2}, more than {bound:g2}");
                }
            }
        }
        return null;
    }
}
