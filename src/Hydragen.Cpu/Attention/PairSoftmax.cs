using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Hydragen.Cpu;

/// <summary>
/// The softmax of attention over BF16 pairs, a row of scores of a unit of keys at a time. Weights are 2^(logit − reference); the
/// reference need not be the maximum. It is an integer, so that moving it scales weights and sums exactly, and it moves only when a
/// weight would leave the range in which nothing can overflow.
/// </summary>
/// <remarks>
/// The generated kernels compute whole rows with the same operations in the same order; a row's
/// bits do not depend on which of the two it meets.
/// </remarks>
internal static unsafe class PairSoftmax
{
    /// <summary>The most keys that a unit has.</summary>
    public const int MaxUnitKeys = 256;

    /// <summary>A lane's sum of weights in a unit above which the reference moves.</summary>
    public const float LargestSum = 1 << 24;

    /// <summary>2^x on [0, 1): the polynomial of degree 4 with the least relative error, 2.6e-6; lowest power first.</summary>
    public static ReadOnlySpan<float> Exp2Coefficients => [1.0000026226043701f, 0.6930038332939148f, 0.2414427548646927f, 0.052011460065841675f, 0.013534167781472206f];

    /// <summary>Added to the bits of a weight before the upper half is taken: rounds to nearest, ties up.</summary>
    public const uint Rounding = 0x8000;

    /// <summary>Rounding control of vreduceps: subtract the floor, no exception.</summary>
    public const byte FractionControl = 0x09;


    /// <summary>
    /// Keys of a unit, which share a reference: the longer, the less often the sums of values are read and written, but the fused kernel
    /// adds equally many strips of values with each 32 keys.
    /// </summary>
    /// <param name="headDim">Elements of a head.</param>
    public static int UnitKeys(int headDim)
    {
        int strips = headDim / TileShape.StripWidth;
        return strips % 8 == 0 ? MaxUnitKeys : strips % 4 == 0 ? MaxUnitKeys / 2 : MaxUnitKeys / 4;
    }

    /// <summary>Turns scores of visible keys into weights; those of others become zero.</summary>
    /// <param name="scores">FP32 <c>[unitKeys]</c>: multiplied by <paramref name="factor"/> they are logits in base 2.</param>
    /// <param name="factor">What a score is multiplied with.</param>
    /// <param name="low">First visible key.</param>
    /// <param name="high">End of the visible keys.</param>
    /// <param name="begin">First key of which a weight is written, a multiple of 32.</param>
    /// <param name="end">End of these.</param>
    /// <param name="weights">Receives BF16 <c>[unitKeys]</c>.</param>
    /// <param name="reference">In base 2; −∞ before the first unit.</param>
    /// <param name="laneSums">FP32 <c>[16]</c>: the weights are added, before they are rounded.</param>
    /// <param name="sums">FP32 <c>[sumSize]</c>, scaled when the reference moves.</param>
    /// <param name="sumSize">A multiple of 16.</param>
    /// <param name="scales">FP32 <c>[unitKeys]</c> that the weights of visible keys are multiplied with before they are rounded, or null.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Update(
        float* scores, float factor, int low, int high, int begin, int end, ushort* weights, ref float reference, float* laneSums, float* sums, int sumSize,
        float* scales = null)
    {
        if (low >= high)
        {
            new Span<ushort>(weights + begin, end - begin).Clear();
            return;
        }
        if (float.IsNegativeInfinity(reference))
        {
            int strip = low / TileShape.StripWidth * TileShape.StripWidth;
            reference = Reference(scores, factor, low, Math.Min(high, strip + TileShape.StripWidth));
        }
        Vector512<float> sum = Weigh(scores, factor, low, high, begin, end, weights, reference, scales);
        if (Vector512.GreaterThanAny(sum, Vector512.Create(LargestSum)))
        {
            float raised = Reference(scores, factor, low, high);
            if (raised > reference)
            {
                Scale(laneSums, TileShape.StripWidth, reference - raised);
                Scale(sums, sumSize, reference - raised);
                reference = raised;
                sum = Weigh(scores, factor, low, high, begin, end, weights, reference, scales);
            }
        }
        Vector512.Store(Vector512.Load(laneSums) + sum, laneSums);
    }

    /// <summary>The references of rows that have none yet and see the whole first strip.</summary>
    /// <param name="scores">FP32 <c>[numRows, 16]</c>.</param>
    /// <param name="factor">What a score is multiplied with.</param>
    /// <param name="references">FP32 <c>[numRows]</c>.</param>
    /// <param name="numRows">Rows.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SetReferences(float* scores, float factor, float* references, int numRows)
    {
        for (int row = 0; row < numRows; row++)
        {
            if (float.IsNegativeInfinity(references[row])) references[row] = CeilingOfMax(Vector512.Load(scores + row * TileShape.StripWidth) * factor);
        }
    }

    /// <summary>The largest of some logits, rounded up to an integer.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Reference(float* scores, float factor, int low, int high)
    {
        var largest = Vector512.Create(float.NegativeInfinity);
        for (int i = low / TileShape.StripWidth * TileShape.StripWidth; i < high; i += TileShape.StripWidth)
            largest = Avx512F.Max(largest, Visible(Vector512.Load(scores + i) * factor, i, low, high));
        return CeilingOfMax(largest);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float CeilingOfMax(Vector512<float> values)
    {
        Vector256<float> half = Avx.Max(values.GetLower(), values.GetUpper());
        Vector128<float> quarter = Sse.Max(half.GetLower(), half.GetUpper());
        quarter = Sse.Max(quarter, Sse.MoveHighToLow(quarter, quarter));
        return MathF.Ceiling(MathF.Max(quarter[0], quarter[1]));
    }

    /// <summary>2^x: 0 at −∞, ∞ at ∞.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Exp2(Vector512<float> x)
    {
        Vector512<float> fraction = Avx512DQ.Reduce(x, FractionControl);
        Vector512<float> polynomial = Avx512F.FusedMultiplyAdd(Vector512.Create(Exp2Coefficients[4]), fraction, Vector512.Create(Exp2Coefficients[3]));
        polynomial = Avx512F.FusedMultiplyAdd(polynomial, fraction, Vector512.Create(Exp2Coefficients[2]));
        polynomial = Avx512F.FusedMultiplyAdd(polynomial, fraction, Vector512.Create(Exp2Coefficients[1]));
        polynomial = Avx512F.FusedMultiplyAdd(polynomial, fraction, Vector512.Create(Exp2Coefficients[0]));
        return Avx512F.Scale(polynomial, x);
    }

    // Two strips at a time, whose weights are added to one another first, as the generated kernel does.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static Vector512<float> Weigh(float* scores, float factor, int low, int high, int begin, int end, ushort* weights, float reference, float* scales)
    {
        Vector512<float> sum = default, factors = Vector512.Create(factor), references = Vector512.Create(reference);
        for (int i = begin; i < end; i += 2 * TileShape.StripWidth)
        {
            Vector512<float> first = WeighStrip(scores, i, factors, references, low, high), second = WeighStrip(scores, i + TileShape.StripWidth, factors, references, low, high);
            sum = first + second + sum;
            if (scales != null)
            {
                first = Visible(first * Vector512.Load(scales + i), i, low, high, 0);
                second = Visible(second * Vector512.Load(scales + i + TileShape.StripWidth), i + TileShape.StripWidth, low, high, 0);
            }
            Store(first, weights + i);
            Store(second, weights + i + TileShape.StripWidth);
        }
        return sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> WeighStrip(float* scores, int first, Vector512<float> factors, Vector512<float> references, int low, int high)
    {
        if (first >= high || first + TileShape.StripWidth <= low) return default;
        // Rounded like the reference before the subtraction: fused, huge logits would leave more than their difference.
        Vector512<float> logit = Vector512.Load(scores + first) * factors;
        return Exp2(Visible(logit - references, first, low, high));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Visible(Vector512<float> values, int first, int low, int high, float other = float.NegativeInfinity)
    {
        if (first >= low && first + TileShape.StripWidth <= high) return values;
        Vector512<int> index = Vector512<int>.Indices + Vector512.Create(first);
        Vector512<int> visible = Vector512.GreaterThanOrEqual(index, Vector512.Create(low)) & Vector512.LessThan(index, Vector512.Create(high));
        return Vector512.ConditionalSelect(visible.AsSingle(), values, Vector512.Create(other));
    }

    /// <summary>Rounds to BF16. The weights are not negative; a NaN of the processor stays one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector512<float> weight, ushort* destination)
    {
        Vector512<uint> rounded = (weight.AsUInt32() + Vector512.Create(Rounding)) >> 16;
        Vector256.Store(Avx512F.ConvertToVector256UInt16(rounded), destination);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Scale(float* values, int count, float exponent)
    {
        Vector512<float> factor = Avx512F.Scale(Vector512.Create(1f), Vector512.Create(exponent));
        for (int i = 0; i < count; i += TileShape.StripWidth) Vector512.Store(Vector512.Load(values + i) * factor, values + i);
    }
}
