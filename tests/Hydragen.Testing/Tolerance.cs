using Hydragen.Core;

namespace Hydragen.Testing;

/// <summary>Every tolerance of the tests, with where it comes from.</summary>
public static class Tolerance
{
    /// <summary>
    /// FP32 attention against FP64 on unit-normal data: logits of size 10 carry an error of about 10 · 2^−22, which moves weights,
    /// and with them outputs of size 1, by as much; the rest are sums of rounding errors. The bound of the conformance suite.
    /// </summary>
    public const double Attention = 2e-5;

    /// <summary>
    /// What rounding weights may add to an output: each weight errs by at most half a unit in its last place, so the weighted mean errs
    /// by at most as much of the weighted mean of |value|. Weights that FP16 stores as subnormal numbers add less than that to any sum.
    /// </summary>
    /// <param name="meanMagnitude">The weighted mean of |value|.</param>
    /// <param name="weightType">What weights are rounded to; FP32 for not at all.</param>
    public static double RoundedWeights(double meanMagnitude, ElementType weightType) => weightType switch
    {
        ElementType.BFloat16 => Math.Abs(meanMagnitude) * Math.Pow(2, -8),
        ElementType.Float16 => Math.Abs(meanMagnitude) * Math.Pow(2, -11),
        _ => 0,
    };

    /// <summary>Log-sum-exp: relative to its size, at least 1 (goal N2).</summary>
    public const double LogSumExp = 1e-5;

    /// <summary>A split may add so much to the mean error of the unsplit kernel (goal N2).</summary>
    public const double SplitMeanFactor = 1.02;

    /// <summary>
    /// The largest error that a split may have: a tenth more than the unsplit kernel (goal N2), and half a unit in the last FP32
    /// place of the largest output, because the largest error of a few thousand outputs that are right to one or two units moves in
    /// such steps.
    /// </summary>
    public static double SplitMax(double unsplitMax, ReadOnlySpan<double> outputs)
    {
        double largest = 0;
        foreach (double output in outputs) largest = Math.Max(largest, Math.Abs(output));
        return 1.10 * unsplitMax + largest * Math.Pow(2, -24);
    }

    /// <summary>Elementwise operators: about eight roundings of 2^−24, relative.</summary>
    public const double Elementwise = 1e-6;

    /// <summary>
    /// A dot product of n terms in FP32: errors grow like √n of the sum of squares; 2^−24 · 8 covers the tail of that distribution.
    /// </summary>
    /// <param name="sumOfSquares">Σ (aᵢ·bᵢ)² in FP64.</param>
    /// <param name="numTerms">n.</param>
    public static double DotProduct(double sumOfSquares, int numTerms) =>
        1e-7 * (1 + Math.Sqrt(numTerms)) * Math.Sqrt(sumOfSquares) + 1e-12;

    /// <summary>
    /// What a dot product of n 16-bit terms may lose on tensor cores besides. They add 16 products at a time to an FP32 sum and cut off what
    /// lies below its last place: at most 2^−23 of the sum each time. On the way the sum stays within its end and two standard deviations.
    /// </summary>
    /// <param name="sum">The dot product.</param>
    /// <param name="sumOfSquares">Σ (aᵢ·bᵢ)² in FP64.</param>
    /// <param name="numTerms">n.</param>
    public static double TruncatedSum(double sum, double sumOfSquares, int numTerms) =>
        numTerms / 16.0 * Math.Pow(2, -23) * (Math.Abs(sum) + 2 * Math.Sqrt(sumOfSquares));

    /// <summary>
    /// A product of rows that are both rounded to INT8 with a scale of max / 127: each number moves by at most half a level,
    /// max / 254, so |Σ a·b − Σ a'·b'| ≤ Σ (|a|·δb + |b|·δa + δa·δb); a thousandth more covers the FP32 roundings of levels and scales.
    /// </summary>
    public static double Int8Product(ReadOnlySpan<float> left, ReadOnlySpan<float> right)
    {
        double leftMax = 0, rightMax = 0, leftSum = 0, rightSum = 0;
        for (int i = 0; i < left.Length; i++)
        {
            leftMax = Math.Max(leftMax, Math.Abs(left[i]));
            rightMax = Math.Max(rightMax, Math.Abs(right[i]));
            leftSum += Math.Abs(left[i]);
            rightSum += Math.Abs(right[i]);
        }
        double leftError = leftMax / 254, rightError = rightMax / 254;
        return 1.001 * (leftSum * rightError + rightSum * leftError + left.Length * leftError * rightError);
    }

    /// <summary>
    /// What a cache of bytes may move an element by: half a scale for INT8, which is max / 127 rounded up to a half (2^−10 of it, or 2^−24), with
    /// 2^−16 of a scale for FP32 arithmetic; half a unit in the last place for FP8.
    /// </summary>
    /// <param name="vector">A key or value of a head.</param>
    /// <param name="index">The element.</param>
    /// <param name="type">Type of the cache.</param>
    public static double KvRounding(ReadOnlySpan<float> vector, int index, ElementType type)
    {
        if (type != ElementType.Int8) return Rounding(vector[index], type);
        double largest = 0;
        foreach (float element in vector) largest = Math.Max(largest, Math.Abs(element));
        return (largest / 127 * (1 + Math.Pow(2, -10)) + Math.Pow(2, -24)) * (0.5 + Math.Pow(2, -16));
    }

    /// <summary>Half a unit in the last place of a stored value, plus half of the smallest subnormal.</summary>
    public static double Rounding(double value, ElementType type) => type switch
    {
        ElementType.BFloat16 => Math.Abs(value) * Math.Pow(2, -8),
        ElementType.Float16 => Math.Abs(value) * Math.Pow(2, -11) + Math.Pow(2, -25),
        ElementType.Float8E4M3 => Math.Abs(value) * Math.Pow(2, -4) + Math.Pow(2, -10),
        ElementType.Float8E5M2 => Math.Abs(value) * Math.Pow(2, -3) + Math.Pow(2, -17),
        _ => Math.Abs(value) * Math.Pow(2, -24),
    };
}
