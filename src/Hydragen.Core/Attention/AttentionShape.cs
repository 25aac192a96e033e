namespace Hydragen.Core;

/// <summary>
/// Head counts and head size of one attention operator. Multi-head attention has as many key/value heads as query heads,
/// multi-query attention one, grouped-query attention something between; query head h reads key/value head
/// h / <see cref="GroupSize"/>.
/// </summary>
public sealed record AttentionShape
{
    /// <summary>The largest head size that any backend must support.</summary>
    public const int MaxHeadDim = 256;

    /// <summary>Creates a validated shape.</summary>
    /// <param name="numHeads">Query heads, at least 1.</param>
    /// <param name="numKvHeads">Key/value heads; divides <paramref name="numHeads"/>.</param>
    /// <param name="headDim">Elements of one head: a multiple of 8, at most <see cref="MaxHeadDim"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">A value is outside its range; the message names the rule.</exception>
    public AttentionShape(int numHeads, int numKvHeads, int headDim)
    {
        if (numHeads < 1)
            throw new ArgumentOutOfRangeException(nameof(numHeads), numHeads, "There must be at least one query head.");
        if (numKvHeads < 1 || numHeads % numKvHeads != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(numKvHeads), numKvHeads,
                $"The number of key/value heads must divide the {numHeads} query heads.");
        }
        if (headDim < 8 || headDim > MaxHeadDim || headDim % 8 != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(headDim), headDim,
                $"The head dimension must be a multiple of 8 between 8 and {MaxHeadDim}.");
        }
        NumHeads = numHeads;
        NumKvHeads = numKvHeads;
        HeadDim = headDim;
    }

    /// <summary>Query heads.</summary>
    public int NumHeads { get; }

    /// <summary>Key/value heads.</summary>
    public int NumKvHeads { get; }

    /// <summary>Elements of one head.</summary>
    public int HeadDim { get; }

    /// <summary>Query heads that share one key/value head.</summary>
    public int GroupSize => NumHeads / NumKvHeads;
}
