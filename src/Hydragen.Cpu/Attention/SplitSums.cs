using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Hydragen.Cpu;

/// <summary>
/// What the vectors of an item sum up to over its splits, in a worker's scratch memory, so that the sums of each split need not go to memory and
/// be merged from there. References are integers, so scaling is exact, and additions are those of <see cref="MergeJob"/>: splits in pairs,
/// pairs in fours.
/// </summary>
internal readonly unsafe struct SplitSums
{
    /// <summary>Splits of an item at most. An item's first split is a multiple of how many it has, unless its segment ends.</summary>
    public const int MaxSplits = 4;

    private readonly float* _references, _pairReferences, _sums, _pairs;
    private readonly int _sumSize;

    /// <summary>Divides memory up.</summary>
    /// <param name="maxVectors">Vectors there is room for, a multiple of 16.</param>
    /// <param name="headDim">Elements of a head.</param>
    /// <param name="memory"><see cref="Size"/> bytes, beginning with a cache line.</param>
    public SplitSums(int maxVectors, int headDim, byte* memory)
    {
        _sumSize = TileShape.PadToStrips(headDim);
        _references = (float*)memory;
        _pairReferences = _references + maxVectors;
        _sums = _pairReferences + maxVectors;
        _pairs = _sums + maxVectors * _sumSize;
    }

    /// <summary>Bytes needed.</summary>
    public static int Size(int maxVectors, int headDim) => 2 * maxVectors * (TileShape.PadToStrips(headDim) + 1) * sizeof(float);

    /// <summary>Forgets the first vectors' sums.</summary>
    public void Clear(int numVectors)
    {
        new Span<float>(_references, numVectors).Fill(float.NegativeInfinity);
        new Span<float>(_pairReferences, numVectors).Fill(float.NegativeInfinity);
    }

    /// <summary>Adds a vector's sums over a split, in the order of splits, from the item's first on.</summary>
    /// <param name="vector">Which.</param>
    /// <param name="index">Which split of the item.</param>
    /// <param name="sums">FP32 <c>[headDim rounded up to 16]</c>.</param>
    /// <param name="reference">What they are relative to; −∞ if the vector saw nothing.</param>
    public void Add(int vector, int index, float* sums, float reference)
    {
        ref float pairReference = ref _pairReferences[vector], total = ref _references[vector];
        float* pair = _pairs + vector * _sumSize, totals = _sums + vector * _sumSize;
        switch (index)
        {
            case 0: Set(totals, ref total, sums, reference); break;
            case 1: Add(totals, ref total, sums, reference); break;
            case 2: Set(pair, ref pairReference, sums, reference); break;
            default:
                Add(pair, ref pairReference, sums, reference);
                Add(totals, ref total, pair, pairReference);
                pairReference = float.NegativeInfinity;
                break;
        }
    }

    /// <summary>All that was added for a vector.</summary>
    /// <param name="vector">Which; it saw the first split.</param>
    /// <param name="reference">What the sums are relative to.</param>
    /// <returns>FP32 <c>[headDim rounded up to 16]</c>.</returns>
    public float* Total(int vector, out float reference)
    {
        float* totals = _sums + vector * _sumSize;
        Add(totals, ref _references[vector], _pairs + vector * _sumSize, _pairReferences[vector]);
        reference = _references[vector];
        return totals;
    }

    private void Set(float* totals, ref float totalReference, float* sums, float reference)
    {
        totalReference = reference;
        Unsafe.CopyBlock(totals, sums, (uint)_sumSize * sizeof(float));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Add(float* totals, ref float totalReference, float* sums, float reference)
    {
        if (float.IsNegativeInfinity(reference)) return;
        float larger = MathF.Max(totalReference, reference);
        Vector512<float> one = Vector512.Create(1f);
        Vector512<float> oldFactor = Avx512F.Scale(one, Vector512.Create(totalReference - larger)), factor = Avx512F.Scale(one, Vector512.Create(reference - larger));
        totalReference = larger;
        for (int i = 0; i < _sumSize; i += TileShape.StripWidth)
            Vector512.Store(Vector512.FusedMultiplyAdd(factor, Vector512.Load(sums + i), Vector512.Load(totals + i) * oldFactor), totals + i);
    }
}
