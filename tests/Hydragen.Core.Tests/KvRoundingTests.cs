namespace Hydragen.Core.Tests;

/// <summary>What caches of bytes keep: against the definition of the formats, in FP64.</summary>
public sealed class KvRoundingTests
{
    private const int NumPatterns = 256;

    public static TheoryData<ElementType> Float8Types => [ElementType.Float8E4M3, ElementType.Float8E5M2];

    [Theory]
    [MemberData(nameof(Float8Types))]
    public void Every_pattern_of_FP8_is_the_number_of_its_definition_and_comes_back(ElementType type)
    {
        for (int bits = 0; bits < NumPatterns; bits++)
        {
            double expected = Define((byte)bits, type);
            float actual = Float8Bits.ToSingle((byte)bits, type);
            Assert.Equal(expected, actual);
            if (double.IsNaN(expected)) Assert.True(float.IsNaN(Float8Bits.ToSingle(Float8Bits.FromSingle(actual, type), type)));
            else if (double.IsFinite(expected)) Assert.Equal(bits, Float8Bits.FromSingle(actual, type));
        }
    }

    [Theory]
    [MemberData(nameof(Float8Types))]
    public void FP8_rounds_to_nearest_ties_to_even_and_saturates(ElementType type)
    {
        // The numbers of the format that are not negative, in order; so are their patterns.
        float[] numbers = [.. Enumerable.Range(0, NumPatterns / 2).Select(bits => Float8Bits.ToSingle((byte)bits, type)).Where(float.IsFinite)];
        for (int i = 0; i + 1 < numbers.Length; i++)
        {
            float middle = (numbers[i] + numbers[i + 1]) / 2;
            int even = i % 2 == 0 ? i : i + 1;
            Verify(middle, even);
            Verify(MathF.BitDecrement(middle), i);
            Verify(MathF.BitIncrement(middle), i + 1);
            Verify(MathF.BitIncrement(numbers[i]), i);
        }
        foreach (float beyond in (float[])[MathF.BitIncrement(numbers[^1]), 2 * numbers[^1], float.MaxValue, float.PositiveInfinity]) Verify(beyond, numbers.Length - 1);
        Verify(float.Epsilon, 0);
        Assert.True(float.IsNaN(Float8Bits.ToSingle(Float8Bits.FromSingle(float.NaN, type), type)));

        void Verify(float value, int index)
        {
            Assert.Equal(index, Float8Bits.FromSingle(value, type));
            Assert.Equal(index | 0x80, Float8Bits.FromSingle(-value, type));
        }
    }

    [Theory]
    [InlineData(ElementType.Int8)]
    [InlineData(ElementType.BFloat16)]
    public void FP8_conversions_refuse_other_types(ElementType type)
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Float8Bits.FromSingle(1, type));
        Assert.Throws<ArgumentOutOfRangeException>(() => Float8Bits.ToSingle(1, type));
    }

    [Fact]
    public void INT8_errs_by_at_most_half_a_scale_at_any_size()
    {
        var random = new Random(1);
        var levels = new sbyte[40];
        for (int exponent = -40; exponent <= 15; exponent++)
        {
            float[] vector = [.. Enumerable.Range(0, levels.Length).Select(_ => MathF.ScaleB(random.NextSingle() - 0.5f, exponent))];
            var scale = (double)Int8Levels.Quantize(vector, levels);
            // The smallest half that is at least max / 127.
            double wanted = vector.Max(Math.Abs) / 127.0;
            Assert.True(scale >= wanted * (1 - 1e-7));
            Assert.True(scale <= wanted * (1 + Math.Pow(2, -10)) + Math.Pow(2, -24));
            for (int i = 0; i < vector.Length; i++) Assert.True(Math.Abs(vector[i] - levels[i] * scale) <= scale * (0.5 + Math.Pow(2, -16)));
        }
    }

    [Fact]
    public void INT8_keeps_zeros_saturates_and_marks_NaN()
    {
        var levels = new sbyte[3];
        Assert.Equal((Half)0, Int8Levels.Quantize([0, -0f, 0], levels));
        Assert.Equal(new sbyte[3], levels);
        foreach (float huge in (float[])[Int8Levels.LargestMagnitude, 1e6f, float.PositiveInfinity])
        {
            Assert.Equal((Half)515.5f, Int8Levels.Quantize([huge, -huge, 0], levels));
            Assert.Equal(new sbyte[] { 127, -127, 0 }, levels);
        }
        Assert.True(Half.IsNaN(Int8Levels.Quantize([1, float.NaN, 2], levels)));
        Assert.Equal(new sbyte[3], levels);
        Assert.Throws<ArgumentException>(() => Int8Levels.Quantize(new float[4], levels));
    }

    [Fact]
    public void Rounding_twice_is_rounding_once()
    {
        var random = new Random(2);
        foreach (ElementType type in ElementTypes.All)
        {
            float[] once = [.. Enumerable.Range(0, 6 * 24).Select(_ => 8 * (random.NextSingle() - 0.5f))];
            KvRounding.Round(once, 24, type);
            float[] twice = [.. once];
            KvRounding.Round(twice, 24, type);
            Assert.Equal(once, twice);
        }
        Assert.Throws<ArgumentException>(() => KvRounding.Round(new float[25], 24, ElementType.Int8));
    }

    [Fact]
    public void A_token_takes_its_bytes_and_scales()
    {
        long Bytes(ElementType type) => new KvCacheShape(3, 2, 128, type).BytesPerToken;
        Assert.Equal(3 * 2 * 2 * 128 * 4, Bytes(ElementType.Float32));
        Assert.Equal(3 * 2 * 2 * 130, Bytes(ElementType.Int8));
        Assert.Equal(Bytes(ElementType.BFloat16) / 2, Bytes(ElementType.Float8E4M3));
        Assert.Equal(Bytes(ElementType.BFloat16) / 2, Bytes(ElementType.Float8E5M2));
    }

    [Fact]
    public void Names_are_parsed_and_others_refused_by_name()
    {
        foreach (ElementType type in ElementTypes.All) Assert.Equal(type, ElementTypes.Parse(type.ShortName()));
        Assert.Contains("'int4'", Assert.Throws<ArgumentException>(() => ElementTypes.Parse("int4")).Message, StringComparison.Ordinal);
    }

    /// <summary>OFP8: sign, exponent, fraction.</summary>
    private static double Define(byte bits, ElementType type)
    {
        (int fractionBits, int bias, bool hasInfinity) = type == ElementType.Float8E4M3 ? (3, 7, false) : (2, 15, true);
        int exponent = (bits & 0x7F) >> fractionBits, fraction = bits & ((1 << fractionBits) - 1), largestExponent = 0x7F >> fractionBits;
        double sign = bits >= 0x80 ? -1 : 1;
        if (hasInfinity && exponent == largestExponent) return fraction == 0 ? sign * double.PositiveInfinity : double.NaN;
        if (!hasInfinity && (bits & 0x7F) == 0x7F) return double.NaN;
        double significand = fraction / (double)(1 << fractionBits) + (exponent == 0 ? 0 : 1);
        return sign * significand * Math.Pow(2, Math.Max(exponent, 1) - bias);
    }
}
