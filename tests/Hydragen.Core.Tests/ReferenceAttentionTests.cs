namespace Hydragen.Core.Tests;

public sealed class ReferenceAttentionTests
{
    private static readonly AttentionShape OneHead = new(1, 1, 8);

    [Fact]
    public void One_key_gives_its_value_and_its_logit()
    {
        (double[] output, double[] logSumExp) = Run(AttentionOptions.Default, numKeys: 1, rowPosition: 3);
        for (int i = 0; i < 8; i++) Assert.Equal(Value(0, i), output[i], 1e-12);
        Assert.Equal(Logit(0) / Math.Sqrt(8), logSumExp[0], 1e-6);
    }

    [Fact]
    public void Scale_cap_and_slope_enter_the_logit_in_this_order()
    {
        var options = new AttentionOptions { Scale = 2, LogitSoftCap = 3, AlibiSlopes = new[] { 0.5f } };
        (_, double[] logSumExp) = Run(options, numKeys: 1, rowPosition: 5);
        Assert.Equal(3 * Math.Tanh(2 * Logit(0) / 3) + 0.5 * (0 - 5), logSumExp[0], 1e-6);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(3, 3)]
    [InlineData(100, 6)]
    public void A_window_counts_the_querys_own_position(int window, int numSeen)
    {
        (_, double[] logSumExp) = Run(new AttentionOptions { Scale = 0, SlidingWindow = window }, numKeys: 6, rowPosition: 5);
        Assert.Equal(Math.Log(numSeen), logSumExp[0], 1e-12);
    }

    [Theory]
    [InlineData(AttentionMask.Causal, 3)]
    [InlineData(AttentionMask.Full, 6)]
    public void A_causal_row_sees_itself_and_what_lies_before(AttentionMask mask, int numSeen)
    {
        (_, double[] logSumExp) = Run(new AttentionOptions { Scale = 0 }, numKeys: 6, rowPosition: 2, mask);
        Assert.Equal(Math.Log(numSeen), logSumExp[0], 1e-12);
    }

    [Fact]
    public void A_row_that_sees_nothing_is_zero_with_minus_infinity()
    {
        (double[] output, double[] logSumExp) = Run(AttentionOptions.Default, numKeys: 0, rowPosition: 0);
        Assert.All(output, value => Assert.Equal(0, value));
        Assert.True(double.IsNegativeInfinity(logSumExp[0]));
    }

    [Fact]
    public void Options_and_shapes_out_of_range_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new AttentionOptions { SlidingWindow = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new AttentionOptions { LogitSoftCap = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new AttentionOptions { Scale = float.NaN });
        Assert.Throws<ArgumentException>(() => new AttentionOptions { AlibiSlopes = new float[2] }.Validate(OneHead));
        Assert.Throws<ArgumentException>(() => new AttentionOptions { AlibiSlopes = new[] { float.NaN } }.Validate(OneHead));
        Assert.Throws<ArgumentOutOfRangeException>(() => new AttentionShape(6, 4, 8));
        Assert.Throws<ArgumentOutOfRangeException>(() => new AttentionShape(0, 1, 8));
        Assert.Throws<ArgumentOutOfRangeException>(() => new AttentionShape(1, 1, 12));
        Assert.Throws<ArgumentOutOfRangeException>(() => new AttentionShape(1, 1, 264));
    }

    [Theory]
    [InlineData(1, new[] { 0.00390625f })]
    [InlineData(2, new[] { 0.0625f, 0.00390625f })]
    [InlineData(3, new[] { 0.0625f, 0.00390625f, 0.25f })]
    [InlineData(6, new[] { 0.25f, 0.0625f, 0.015625f, 0.00390625f, 0.5f, 0.125f })]
    public void Alibi_slopes_follow_the_paper(int numHeads, float[] expected) => Assert.Equal(expected, AlibiSlopes.ForHeads(numHeads));

    [Fact]
    public void Bfloat16_rounds_to_nearest_even()
    {
        Assert.Equal(1f, BFloat16Bits.ToSingle(BFloat16Bits.FromSingle(1f)));
        Assert.Equal(0x3F80, BFloat16Bits.FromSingle(1 + 1 / 256f)); // half way, even below
        Assert.Equal(0x3F82, BFloat16Bits.FromSingle(1 + 3 / 256f)); // half way, even above
        Assert.Equal(0x7F80, BFloat16Bits.FromSingle(float.MaxValue));
        Assert.True(float.IsNaN(BFloat16Bits.ToSingle(BFloat16Bits.FromSingle(BitConverter.UInt32BitsToSingle(0x7F800001)))));
    }

    private static (double[] Output, double[] LogSumExp) Run(
        AttentionOptions options, int numKeys, int rowPosition, AttentionMask mask = AttentionMask.Full)
    {
        var key = new float[KvCache.PageSize * 8];
        var value = new float[key.Length];
        for (int i = 0; i < numKeys * 8; i++)
        {
            key[i] = Key(i / 8, i % 8);
            value[i] = Value(i / 8, i % 8);
        }
        float[] query = [.. Enumerable.Range(0, 8).Select(i => 0.1f * (i + 1))];
        var builder = new AttentionPlanBuilder();
        builder.AddRows(rowPosition, 1);
        builder.AddSegment(0, 1, [0], 0, numKeys, 0, mask);
        var output = new double[8];
        var logSumExp = new double[1];
        ReferenceAttention.Compute(builder.Build(), OneHead, options, query, key, value, output, logSumExp);
        return (output, logSumExp);
    }

    private static float Key(int token, int i) => MathF.Sin(token * 8 + i + 1);

    private static float Value(int token, int i) => MathF.Cos(token * 8 + i + 1);

    private static double Logit(int token) => Enumerable.Range(0, 8).Sum(i => (double)(0.1f * (i + 1)) * Key(token, i));
}
