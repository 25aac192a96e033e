using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// Matrix products whose BF16 weights lie in pairs: BF16 rows by dot products of pairs, FP32 rows by widening, both generated.
/// Other weights go the way of AVX-512.
/// </summary>
internal unsafe class PairLinearJob(PairTile tile) : LinearJob<Simd512, Vector512<float>>
{
    private const int PairSize = 2;

    public sealed override ElementType InputTypeFor(ElementType type, CpuMatrix matrix) =>
        matrix.IsPaired && type == ElementType.BFloat16 ? type : ElementType.Float32;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Multiply(int firstRow, int numRows, int firstStrip, int numStrips, float* sums)
    {
        if (!Matrix.IsPaired)
        {
            base.Multiply(firstRow, numRows, firstStrip, numStrips, sums);
            return;
        }
        int elementSize = InputType.SizeInBytes();
        nint rowBytes = (nint)Matrix.InputSize * elementSize, stripBytes = Matrix.StripSize * sizeof(ushort);
        tile[InputType].MultiplyBlock(
            Input + firstRow * rowBytes, rowBytes, numRows, Weights + firstStrip * stripBytes, stripBytes, numStrips, NextStrips(firstStrip, stripBytes),
            Matrix.InputSize, PairSize, PairSize * elementSize, sums);
    }
}
