using Hydragen.Core;

namespace Hydragen.Models.Tests;

/// <summary>Bounds on differences, in one place.</summary>
internal static class Tolerance
{
    /// <summary>
    /// Largest difference of a logit from FP32 transformers on the same weights. Both round to FP32 (6e-8 relative) some hundred
    /// times on logits of magnitude up to 20; 2e-5 was seen for golden models, 7e-5 for the widest random ones.
    /// </summary>
    public const float GoldenLogit = 2e-4f;

    /// <summary>
    /// Relative root-mean-square difference of logits with INT8 weights from the oracle with INT8 weights. Both sum in integers, so
    /// all that is left are inputs of a product that FP32 roundings before it move across the border of a level. One of 40 inputs changes
    /// a product by 3 / 127 / √40 = 0.4 %; some are allowed. 0.4 % was seen where there is one, 1e-7 elsewhere.
    /// </summary>
    public const double Int8Oracle = 0.015;

    /// <summary>
    /// Relative root-mean-square error of logits with INT8 weights. Rounding to levels of max / 127 adds noise of 1 / √12 levels to
    /// numbers whose largest is about three times their root mean square: 0.7 % each for inputs and weights, 1 % a product. A layer
    /// has a chain of four products, and the logits are one more; independent noise adds in squares. Twice that is allowed.
    /// </summary>
    public static double Int8Logits(int numLayers) => 2 * 0.01 * Math.Sqrt(4 * numLayers + 1);

    /// <summary>
    /// Relative root-mean-square error of logits with 16-bit activations. A layer rounds about ten times on the way of a number (the
    /// inputs of four products, queries, keys, values, weights of the softmax, and what is added to the residual stream, which stays FP32),
    /// each time by at most half a unit in the last place, 2^−9 of a number in BF16 and 2^−12 in FP16; independent errors add in squares.
    /// Twice that is allowed, because products of large biases and softmaxes of large logits amplify; 0.4 to 1.3 times was seen.
    /// </summary>
    public static double RoundedLogits(ElementType type, int numLayers) => type switch
    {
        ElementType.BFloat16 => 2 * Math.Pow(2, -9) * Math.Sqrt(10 * numLayers + 1),
        ElementType.Float16 => 2 * Math.Pow(2, -12) * Math.Sqrt(10 * numLayers + 1),
        _ => throw new ArgumentOutOfRangeException(nameof(type)),
    };

    /// <summary>
    /// Relative root-mean-square error of logits with keys and values of bytes. Rounding adds noise to each: of 1 / √12 levels of a largest
    /// number that is about three times the root mean square for INT8, 0.7 %, and of a number's last place over √12 for FP8, which is between a
    /// sixteenth and an eighth of it in E4M3, 2.6 %, and twice that in E5M2. A layer rounds keys, whose noise moves logits of the softmax, and
    /// values; independent noise adds in squares. Twice that is allowed.
    /// </summary>
    public static double KvLogits(ElementType type, int numLayers) => 2 * KvNoise(type) * Math.Sqrt(2 * numLayers);

    /// <summary>
    /// The same against the oracle with the same type: keys and values that FP32 roundings before them move across the border of a level. One in
    /// a thousand moves by a level, √12 times the noise, is more than was seen.
    /// </summary>
    public static double KvOracle(ElementType type) => KvNoise(type) * Math.Sqrt(12 * 1e-3);

    private static double KvNoise(ElementType type) => type switch
    {
        ElementType.Int8 => 0.007,
        ElementType.Float8E4M3 => 0.026,
        ElementType.Float8E5M2 => 0.052,
        _ => throw new ArgumentOutOfRangeException(nameof(type)),
    };

    /// <summary>Checks the root mean square of differences against that of what is expected.</summary>
    public static void AssertRelative(float[] expected, float[] actual, double bound)
    {
        Assert.Equal(expected.Length, actual.Length);
        double errors = 0, squares = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            errors += Math.Pow((double)actual[i] - expected[i], 2);
            squares += Math.Pow(expected[i], 2);
        }
        double error = Math.Sqrt(errors / squares);
        TestContext.Current.TestOutputHelper?.WriteLine($"relative error {error:g3}");
        Assert.True(error <= bound, $"the relative root-mean-square error is {error:g4}, allowed are {bound:g4}");
    }

    public static void AssertClose(float[] expected, float[] actual, float bound)
    {
        Assert.Equal(expected.Length, actual.Length);
        float worst = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            float difference = Math.Abs(expected[i] - actual[i]);
            Assert.False(float.IsNaN(difference), $"element {i} is {actual[i]}, expected {expected[i]}");
            worst = Math.Max(worst, difference);
        }
        TestContext.Current.TestOutputHelper?.WriteLine($"largest difference {worst:g3}");
        Assert.True(worst <= bound, $"the largest difference is {worst:g4}, allowed are {bound:g4}");
    }
}
