namespace Hydragen.Cpu;

/// <summary>
/// c = a · b or c += a · b of BF16 rows with BF16 strips of pairs, in FP32, for any number of rows and strips. An element of c is
/// summed in an order that depends on the depth alone, so a row has the same bits among any others.
/// </summary>
internal abstract unsafe class PairProduct
{
    /// <summary>Rows of a and c are computed so many at a time: both must have room for a multiple of it.</summary>
    public abstract int RowMultiple { get; }

    /// <summary>Prepares the thread; every thread calls it before it multiplies, and <see cref="End"/> when it is done.</summary>
    public virtual void Begin()
    {
    }

    /// <summary>Undoes <see cref="Begin"/>.</summary>
    public virtual void End()
    {
    }

    /// <summary>Computes all rows and strips.</summary>
    /// <param name="numRows">Rows of a and c.</param>
    /// <param name="numStrips">Strips of b and of c, 16 columns each.</param>
    /// <param name="a">BF16 <c>[numRows, depth]</c>, rows <paramref name="aStrideBytes"/> apart.</param>
    /// <param name="aStrideBytes">Bytes.</param>
    /// <param name="b">BF16 pairs <c>[numStrips][depth / 2][16][2]</c>, strips <paramref name="stripStrideBytes"/> apart.</param>
    /// <param name="stripStrideBytes">Bytes.</param>
    /// <param name="c">FP32 <c>[numRows, 16 · numStrips]</c>, rows <paramref name="cStrideBytes"/> apart.</param>
    /// <param name="cStrideBytes">Bytes.</param>
    /// <param name="depth">Length of the sum: even, in the tile unit a multiple of 32.</param>
    /// <param name="adds">Whether the sums are added to what c holds.</param>
    /// <param name="ahead">Bytes from each line of b that is read to one that is worth fetching meanwhile; 0 for none.</param>
    public abstract void Multiply(
        int numRows, int numStrips, byte* a, nint aStrideBytes, byte* b, nint stripStrideBytes, float* c, nint cStrideBytes,
        int depth, bool adds, nint ahead);
}
