namespace Hydragen.Cpu;

/// <summary>The product of BF16 rows with the bytes of a KV cache, which are widened on the way; the bits are those of <see cref="VectorPairProduct"/>.</summary>
internal sealed unsafe class BytePairProduct(RegisterTile tile) : PairProduct
{
    public override int RowMultiple => 1;

    public override void Multiply(
        int numRows, int numStrips, byte* a, nint aStrideBytes, byte* b, nint stripStrideBytes, float* c, nint cStrideBytes,
        int depth, bool adds, nint ahead) =>
        tile.MultiplyStrips(numRows, numStrips, a, aStrideBytes, b, stripStrideBytes, c, cStrideBytes, depth, adds, ahead);
}
