using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Stores keys and values of tokens that others computed. An item is some tokens.</summary>
internal sealed unsafe class KvWriteJob(CpuKvCache cache, ElementConverter converter) : Job
{
    private const int TokensPerItem = KvCache.PageSize;

    public int Layer;
    public int NumTokens;

    /// <summary>Slot id of each token; checked.</summary>
    public int* Slots;

    /// <summary>FP32 <c>[numTokens, numKvHeads, headDim]</c>.</summary>
    public float* Keys;

    /// <summary>FP32 <c>[numTokens, numKvHeads, headDim]</c>.</summary>
    public float* Values;

    /// <summary>Items for a number of tokens.</summary>
    public static int CountItems(int numTokens) => (numTokens + TokensPerItem - 1) / TokensPerItem;

    public override void Execute(int item, int worker)
    {
        int numHeads = cache.Shape.NumKvHeads, headDim = cache.Shape.HeadDim;
        int first = item * TokensPerItem, end = Math.Min(NumTokens, first + TokensPerItem);
        for (int token = first; token < end; token++)
        {
            for (int head = 0; head < numHeads; head++)
            {
                nint offset = ((nint)token * numHeads + head) * headDim;
                cache.Append(converter, Layer, head, Slots[token], Keys + offset, Values + offset);
            }
        }
    }
}
