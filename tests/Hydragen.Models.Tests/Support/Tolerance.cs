namespace Hydragen.Models.Tests;

/// <summary>Bounds on differences, in one place.</summary>
internal static class Tolerance
{
    /// <summary>
    /// Largest difference of a logit from FP32 transformers on the same weights. Both round to FP32 (6e-8 relative) some hundred
    /// times on logits of magnitude up to 20; 2e-5 was seen for golden models, 7e-5 for the widest random ones.
    /// </summary>
    public const float GoldenLogit = 2e-4f;

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
