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
