using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Attention of one work item after the other: the arguments that all kernels share, and where an item's vectors lie.</summary>
internal abstract unsafe class AttentionJob : Job
{
    protected const float Log2E = 1.44269504088896341f;
    protected const float Ln2 = 0.693147180559945309f;

    public AttentionWork Work = null!;
    public int FirstItem;
    public int NumItems;
    public AttentionShape Shape = null!;
    public AttentionOptions Options = null!;
    public ElementConverter Converter = null!;
    public CpuKvCache Cache = null!;

    /// <summary>Layout of the pages that the items read.</summary>
    public CpuPageLayout Layout = null!;
    public int Layer;

    /// <summary>Kind of those pages.</summary>
    public PageKind Kind;
    public byte* Query;
    public ElementType QueryType;
    public byte* Output;
    public ElementType OutputType;

    /// <summary>FP32 <c>[numRows, numHeads]</c>, or null.</summary>
    public float* LogSumExp;

    /// <summary>Receives the partial results of rows that have several.</summary>
    public PartialResults Parts;
    public float* Scratch;

    /// <summary>Query vectors of an item at most.</summary>
    public abstract int MaxVectors { get; }

    /// <summary>Whether what weights are relative to are integers.</summary>
    public virtual bool ScalesExactly => false;

    /// <summary>Items have a multiple of so many vectors, where there are enough.</summary>
    public abstract int VectorMultiple { get; }

    /// <summary>What bounds an item.</summary>
    public ItemLimits Limits => new(MaxVectors, VectorMultiple);

    /// <summary>FP32 elements of scratch that each worker needs.</summary>
    public abstract int ScratchPerWorker(int headDim);

    /// <summary>How keys and values come into the products, in one line.</summary>
    /// <param name="layout">Of the pages that they are in.</param>
    /// <param name="converter">What would widen them.</param>
    public abstract string Describe(CpuPageLayout layout, ElementConverter converter);

    /// <summary>The row and query head of a vector of an item.</summary>
    protected (int Row, int Head) Locate(in AttentionItem item, in AttentionSegment segment, int vector)
    {
        int index = item.FirstVector + vector, group = Shape.GroupSize;
        return (segment.FirstRow + index / group, item.KvHead * group + index % group);
    }

    /// <summary>The slots of a page, or of pages that follow one another, that a row sees among those from low to high.</summary>
    /// <param name="mask">The segment's mask.</param>
    /// <param name="rowPosition">Absolute position of the row.</param>
    /// <param name="position">Absolute position of slot 0.</param>
    /// <param name="low">First slot of the segment.</param>
    /// <param name="high">End of the segment's slots.</param>
    protected (int Low, int High) VisibleSlots(AttentionMask mask, int rowPosition, int position, int low, int high)
    {
        if (mask == AttentionMask.Causal) high = (int)Math.Min(high, rowPosition - (long)position + 1);
        if (Options.SlidingWindow is int window) low = (int)Math.Max(low, (long)rowPosition - window + 1 - position);
        return low < high ? (low, high) : (0, 0);
    }

    /// <summary>What the products of queries with the keys of a head are multiplied with.</summary>
    protected float LogitScaleOf(int kvHead) => Options.ScaleFor(Shape.HeadDim) * Cache.ScaleOf(Kind, Layer, kvHead).Key;

    /// <summary>Hands over a vector's result: to the workspace if its row has several parts, divided to the output otherwise.</summary>
    /// <param name="item">The item.</param>
    /// <param name="segment">Its segment.</param>
    /// <param name="vector">Which of its vectors.</param>
    /// <param name="sums">FP32 <c>[headDim]</c>: Σ weight · value, without the scale of the head's values; overwritten.</param>
    /// <param name="weight">Σ weight.</param>
    /// <param name="maxBase2">What the weights are relative to.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected void Finish(in AttentionItem item, in AttentionSegment segment, int vector, float* sums, float weight, float maxBase2)
    {
        (int row, int head) = Locate(item, segment, vector);
        if (!AttentionWork.HasPart(segment, item.Split, Work.Plan.RowPositions[row])) return;
        int numParts = Work.PartsOf(row), headDim = Shape.HeadDim;
        float valueScale = Cache.ScaleOf(Kind, Layer, item.KvHead).Value;
        for (int i = 0; valueScale != 1 && i < headDim; i++) sums[i] *= valueScale;
        if (numParts > 1)
        {
            nint slot = Work.FirstSlotOf(row) + head * numParts + Work.FirstPartOf(item.Segment, row) + item.Split;
            new ReadOnlySpan<float>(sums, headDim).CopyTo(new Span<float>(Parts.Sums + slot * headDim, headDim));
            Parts.Weights[slot] = weight;
            Parts.MaxBase2[slot] = maxBase2;
            return;
        }
        float logSumExp = float.NegativeInfinity;
        if (weight != 0)
        {
            logSumExp = maxBase2 * Ln2 + MathF.Log(weight);
            Divide(sums, weight);
        }
        nint rowHead = (nint)row * Shape.NumHeads + head;
        Converter.FromSingle(sums, Output + rowHead * headDim * OutputType.SizeInBytes(), OutputType, headDim);
        if (LogSumExp != null) LogSumExp[rowHead] = logSumExp;
    }

    /// <summary>Divides the sums of a vector, of which there is room for headDim rounded up to 16.</summary>
    protected abstract void Divide(float* sums, float divisor);
}
