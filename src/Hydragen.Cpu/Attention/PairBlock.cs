using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>A worker's scratch memory for attention over pairs, divided up; every part begins with a cache line.</summary>
internal unsafe struct PairBlock
{
    /// <summary>As many vectors as a pass over a unit of keys serves: their scores, weights and sums stay in the first-level cache.</summary>
    public const int Rows = AmxAttentionEmitter.Rows;

    // Room for one vector that is computed alone among rows that nobody reads.
    private const int AloneRows = 16;

    public readonly byte* State, Queries, Values, Fused;
    public readonly float* Scores, Scales, Sums, Lanes, References, Slopes, VectorSums;
    public readonly ushort* Weights, VectorWeights, Pages;
    public readonly int* Positions, Lows, Highs;
    public readonly int NumVectors, QueryStride, SumSize;

    /// <summary>What products of queries with keys are multiplied with.</summary>
    public float LogitScale;
    public int FirstPosition = int.MaxValue, LastPosition = -1;

    public PairBlock(int numVectors, int headDim, byte* scratch)
    {
        NumVectors = numVectors;
        SumSize = TileShape.PadToStrips(headDim);
        QueryStride = SumSize * sizeof(ushort);
        byte* next = scratch;
        State = Take(ref next, AmxAttentionState.QueriesOffset + Rows * QueryStride);
        Queries = State + AmxAttentionState.QueriesOffset;
        References = (float*)(State + AmxAttentionState.ReferencesOffset);
        Scores = (float*)Take(ref next, Rows * PairSoftmax.MaxUnitKeys * sizeof(float));
        Scales = (float*)Take(ref next, 2 * PairSoftmax.MaxUnitKeys * sizeof(float));
        Weights = (ushort*)Take(ref next, Rows * PairSoftmax.MaxUnitKeys * sizeof(ushort));
        Sums = (float*)Take(ref next, Rows * SumSize * sizeof(float));
        Lanes = (float*)Take(ref next, Rows * TileShape.StripWidth * sizeof(float));
        Slopes = (float*)Take(ref next, Rows * sizeof(float));
        Positions = (int*)Take(ref next, Rows * sizeof(int));
        Lows = (int*)Take(ref next, Rows * sizeof(int));
        Highs = (int*)Take(ref next, Rows * sizeof(int));
        Values = Take(ref next, KvCache.PageSize * SumSize * sizeof(ushort));
        VectorSums = (float*)Take(ref next, AloneRows * SumSize * sizeof(float));
        VectorWeights = (ushort*)Take(ref next, AloneRows * KvCache.PageSize * sizeof(ushort));
        Fused = Take(ref next, AmxAttention.ScratchBytes);
        Pages = (ushort*)next;
    }

    /// <summary>Bytes that a block takes.</summary>
    /// <param name="headDim">Elements of a head.</param>
    /// <param name="widens">Whether there is room for the pages of a split as BF16.</param>
    public static int Size(int headDim, bool widens)
    {
        var block = new PairBlock(0, headDim, null);
        int pagesBytes = widens ? AttentionWork.PagesPerSplit * KvCache.PageSize * (headDim + block.SumSize) * sizeof(ushort) : 0;
        return (int)((byte*)block.Pages - (byte*)null) + pagesBytes;
    }

    private static byte* Take(ref byte* next, int size)
    {
        byte* part = next;
        next += (size + 63) / 64 * 64;
        return part;
    }
}
