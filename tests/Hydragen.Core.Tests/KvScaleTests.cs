namespace Hydragen.Core.Tests;

/// <summary>Scales of FP8 keys and values.</summary>
public sealed class KvScaleTests
{
    [Theory]
    [InlineData(ElementType.Float8E4M3, 448)]
    [InlineData(ElementType.Float8E5M2, 57344)]
    public void A_scale_is_the_smallest_power_of_two_that_leaves_the_margin(ElementType type, float largest)
    {
        Assert.Equal(largest, Float8Bits.LargestOf(type));
        Assert.Equal(1, For(0));
        Assert.Equal(1, For(1e-40f));
        Assert.Equal(1, For(largest / KvScale.Margin));
        Assert.Equal(2, For(MathF.BitIncrement(largest / KvScale.Margin)));
        Assert.Equal(2, For(largest));
        Assert.Equal(4, For(MathF.BitIncrement(largest)));
        Assert.Equal(1024, For(largest * 512));
        Assert.True(For(float.MaxValue) <= KvScale.Largest);
        for (float magnitude = 1; magnitude < 1e38f; magnitude *= 1.7f)
        {
            float scale = For(magnitude);
            Assert.True(float.IsPow2(scale) && (double)magnitude * KvScale.Margin / scale <= largest);
            Assert.True(scale == 1 || (double)magnitude * KvScale.Margin / scale > largest / 2);
        }

        float For(float magnitude)
        {
            KvScale scale = KvScale.For(new KvMagnitude(magnitude, 0), type);
            Assert.Equal(new KvScale(1, scale.Key), KvScale.For(new KvMagnitude(0, magnitude), type));
            Assert.Equal(scale.Key != 1, scale.IsScaled);
            return scale.Key;
        }
    }

    [Fact]
    public void The_largest_number_in_E4M3_asks_for_the_largest_scale() =>
        Assert.Equal(KvScale.Largest, KvScale.For(new KvMagnitude(float.MaxValue, 0), ElementType.Float8E4M3).Key);

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(-1)]
    public void What_is_no_magnitude_gives_no_scale(float number)
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => KvScale.For(new KvMagnitude(number, 1), ElementType.Float8E4M3));
        Assert.Throws<ArgumentOutOfRangeException>(() => KvScale.For(new KvMagnitude(1, number), ElementType.Float8E5M2));
        Assert.Throws<ArgumentOutOfRangeException>(() => KvScale.For(default, ElementType.Int8));
    }

    [Fact]
    public void Magnitudes_are_those_of_a_head_and_only_numbers_count()
    {
        float[] key = [1, -2, 100, 3, float.NaN, -5, 7, float.NegativeInfinity], value = [0, -0f, 9, 9, float.PositiveInfinity, float.NaN, 9, 9];
        Assert.Equal(new KvMagnitude(5, 0), KvMagnitude.Of(key, value, 2, 2, 0));
        Assert.Equal(new KvMagnitude(100, 9), KvMagnitude.Of(key, value, 2, 2, 1));
        Assert.Equal(default, KvMagnitude.Of([], [], 2, 2, 1));
        Assert.Equal(new KvMagnitude(5, 9), new KvMagnitude(5, 1).Max(new KvMagnitude(2, 9)));
    }

    [Theory]
    [InlineData(ElementType.Float8E4M3)]
    [InlineData(ElementType.Float8E5M2)]
    public void Rounding_with_a_scale_is_rounding_of_the_quotient(ElementType type)
    {
        float largest = Float8Bits.LargestOf(type);
        float[] numbers = [2 * largest, -1.3f, 16 * largest, 17 * largest, float.NegativeInfinity, 0.01f, -0f, float.NaN], plain = Array.ConvertAll(numbers, number => number / 16);
        KvRounding.Round(numbers, 8, type, 16);
        KvRounding.Round(plain, 8, type);
        Assert.Equal(Array.ConvertAll(plain, number => number * 16), numbers);
        Assert.Equal((2 * largest, 16 * largest), (numbers[0], numbers[3]));
        Assert.Throws<ArgumentException>(() => KvRounding.Round(new float[8], 8, ElementType.Int8, 2));
    }
}
