namespace Hydragen.Cpu;

/// <summary>The product by AVX-512 dot products of pairs; strips are BF16, or the bytes of a KV cache, which the tile widens on the way.</summary>
/// <param name="tile">The inner loop.</param>
/// <param name="streams">Strips at a time, 1, 2 or 4, of those that come from memory.</param>
internal sealed unsafe class RegisterPairProduct(RegisterTile tile, int streams) : PairProduct
{
    public override int RowMultiple => 1;

    public override void Multiply(
        int numRows, int numStrips, byte* a, nint aStrideBytes, byte* b, nint stripStrideBytes, float* c, nint cStrideBytes,
        int depth, bool adds, nint ahead) =>
        tile.MultiplyStrips(numRows, numStrips, a, aStrideBytes, b, stripStrideBytes, c, cStrideBytes, depth, adds, ahead, streams);
}
