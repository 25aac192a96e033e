using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>A worker's scratch memory for attention in FP32, divided up.</summary>
internal unsafe struct VectorBlock
{
    /// <summary>The most vectors.</summary>
    public const int MaxVectors = 96;

    /// <summary>Vectors whose scores of a page are kept at a time: those of an item that waits for memory pass over a page together.</summary>
    public const int MaxTileVectors = AttentionWork.MaxReadBoundVectors;

    // A vector of summed weights, the maximum, the slope and the position.
    private const int StatePerVector = TileShape.StripWidth + 3;

    public readonly float* Scores, Sums, Weights, Queries, Max, Slopes, Scales, Page, PageSums;
    public readonly int* Positions;
    public readonly int NumVectors, SumStride;

    /// <summary>What products of queries with keys are multiplied with.</summary>
    public float LogitScale;
    public int FirstPosition = int.MaxValue, LastPosition = -1;

    public VectorBlock(int numVectors, int headDim, float* scratch)
    {
        NumVectors = numVectors;
        SumStride = TileShape.PadToStrips(headDim);
        Scores = scratch;
        Sums = Scores + MaxTileVectors * KvCache.PageSize;
        Weights = Sums + MaxVectors * SumStride;
        Queries = Weights + MaxVectors * TileShape.StripWidth;
        Max = Queries + MaxVectors * headDim;
        Slopes = Max + MaxVectors;
        Positions = (int*)(Slopes + MaxVectors);
        PageSums = Slopes + 2 * MaxVectors;
        Scales = PageSums + MaxTileVectors * SumStride;
        Page = Scales + 2 * KvCache.PageSize;
    }

    /// <summary>FP32 elements of a block: queries, sums, states, a tile of scores, a tile of sums, scales and a widened page.</summary>
    public static int Size(int headDim) =>
        MaxVectors * (headDim + TileShape.PadToStrips(headDim) + StatePerVector)
        + KvCache.PageSize * (MaxTileVectors + 2 + headDim + TileShape.PadToStrips(headDim)) + MaxTileVectors * TileShape.PadToStrips(headDim);
}
