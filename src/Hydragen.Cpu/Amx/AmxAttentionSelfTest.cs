using System.Globalization;
using System.Runtime.InteropServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Computes a small random block with a generated attention kernel and compares with FP64, before anybody relies on it.</summary>
internal static unsafe class AmxAttentionSelfTest
{
    private const nuint Alignment = 64;
    private const double LargestValue = 0.5;

    // Weights are rounded to BF16, each by at most 2^−8 of itself; the rest is rounding of FP32.
    private static readonly double Tolerance = Math.Pow(2, -8);

    /// <summary>Tests the kernels for a number of vectors; returns what is wrong, or null.</summary>
    public static string? Run(AmxTile tile, AmxAttention attention, int headDim, int numVectors)
    {
        // A first unit, one behind it, and the values of the last.
        int numPages = 2 * attention.UnitKeys / KvCache.PageSize, numKeys = numPages * KvCache.PageSize;
        int pageElements = 2 * KvCache.PageSize * headDim, sumElements = AmxAttentionEmitter.Rows * headDim;
        int stateBytes = AmxAttentionState.QueriesOffset + sumElements * sizeof(ushort);
        nuint size = (nuint)(stateBytes + AmxAttention.ScratchBytes + sumElements * sizeof(float) + AmxAttentionEmitter.LaneBytes + numPages * pageElements * sizeof(ushort));
        byte* state = (byte*)NativeMemory.AlignedAlloc(size, Alignment);
        try
        {
            byte* scratch = state + stateBytes;
            float* sums = (float*)(scratch + AmxAttention.ScratchBytes), lanes = sums + sumElements;
            ushort* pages = (ushort*)((byte*)lanes + AmxAttentionEmitter.LaneBytes), queries = (ushort*)(state + AmxAttentionState.QueriesOffset);
            new Span<byte>(state, (int)size).Clear();
            var random = new Random(1);
            for (int i = 0; i < sumElements; i++) queries[i] = BFloat16Bits.FromSingle(random.NextSingle() - 0.5f);
            for (int i = 0; i < numPages * pageElements; i++) pages[i] = BFloat16Bits.FromSingle(random.NextSingle() - 0.5f);
            new Span<float>(state + AmxAttentionState.ReferencesOffset, AmxAttentionEmitter.Rows).Fill(float.NegativeInfinity);
            var addresses = new nuint[numPages];
            for (int page = 0; page < numPages; page++) addresses[page] = (nuint)(pages + page * pageElements);
            int unitPages = numPages / 2, done;
            tile.Configure();
            done = attention.Run(
                state, scratch, sums, lanes, numVectors, addresses, addresses.AsSpan(0, unitPages), 0, isFirst: true, pageElements / 2 * sizeof(ushort), factor: 1);
            tile.Release();
            if (done != 2) return $"the self-test of the attention kernel for heads of {headDim} stopped after {done} of 2 units";
            for (int vector = 0; vector < numVectors; vector += 5)
            {
                double[] expected = Expect(queries + vector * headDim, pages, pageElements, numKeys, headDim);
                double weight = 0;
                for (int lane = 0; lane < TileShape.StripWidth; lane++) weight += lanes[vector * TileShape.StripWidth + lane];
                for (int i = 0; i < headDim; i++)
                {
                    double error = Math.Abs(sums[vector * headDim + i] / weight - expected[i]), bound = Tolerance * LargestValue;
                    if (!(error <= bound))
                    {
                        return string.Create(CultureInfo.InvariantCulture,
                            $"the self-test of the attention kernel for heads of {headDim} erred by {error:g2}, more than {bound:g2}");
                    }
                }
            }
            return null;
        }
        finally
        {
            NativeMemory.AlignedFree(state);
        }
    }

    /// <summary>The mean of the values, weighted by 2^logit.</summary>
    private static double[] Expect(ushort* query, ushort* pages, int pageElements, int numKeys, int headDim)
    {
        var output = new double[headDim];
        double total = 0;
        for (int key = 0; key < numKeys; key++)
        {
            ushort* page = pages + key / KvCache.PageSize * pageElements, values = page + KvCache.PageSize * headDim;
            int token = key % KvCache.PageSize;
            ushort* keys = page + token / TileShape.StripWidth * headDim * TileShape.StripWidth;
            double logit = 0;
            for (int i = 0; i < headDim; i++)
                logit += (double)BFloat16Bits.ToSingle(query[i]) * BFloat16Bits.ToSingle(keys[(i / 2 * TileShape.StripWidth + token % TileShape.StripWidth) * 2 + i % 2]);
            double weight = Math.Pow(2, logit);
            total += weight;
            for (int i = 0; i < headDim; i++)
            {
                ushort* strip = values + i / TileShape.StripWidth * KvCache.PageSize * TileShape.StripWidth;
                output[i] += weight * BFloat16Bits.ToSingle(strip[(token / 2 * TileShape.StripWidth + i % TileShape.StripWidth) * 2 + token % 2]);
            }
        }
        for (int i = 0; i < headDim; i++) output[i] /= total;
        return output;
    }
}
