namespace Hydragen.Core.Tests;

public sealed class LogSumExpTests
{
    private const int HeadDim = 24;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(9)]
    public void Merging_any_number_of_parts_equals_one_softmax(int numParts)
    {
        for (int seed = 0; seed < 50; seed++)
        {
            Parts parts = new(new Random(seed), numParts, spread: seed % 5 * 10);
            var merged = new float[HeadDim];
            float logSumExp = LogSumExp.Merge(parts.Outputs, parts.LogSumExps, merged);
            parts.Check(merged, logSumExp);
        }
    }

    [Fact]
    public void Pairwise_merges_in_any_order_agree_with_the_merge_of_all()
    {
        for (int seed = 0; seed < 50; seed++)
        {
            var random = new Random(seed);
            Parts parts = new(random, 6, spread: 20);
            int[] order = [0, 1, 2, 3, 4, 5];
            random.Shuffle(order);
            var output = new float[HeadDim];
            float logSumExp = LogSumExp.Empty;
            foreach (int part in order) LogSumExp.Merge(output, ref logSumExp, parts.Output(part), parts.LogSumExps[part]);
            parts.Check(output, logSumExp);
        }
    }

    [Fact]
    public void An_empty_part_changes_nothing_bit_for_bit()
    {
        Parts parts = new(new Random(1), 1, spread: 0);
        float[] output = [.. parts.Outputs];
        float logSumExp = parts.LogSumExps[0];
        var poison = new float[HeadDim];
        Array.Fill(poison, float.NaN);
        LogSumExp.Merge(output, ref logSumExp, poison, LogSumExp.Empty);
        Assert.Equal(parts.Outputs, output);
        Assert.Equal(parts.LogSumExps[0], logSumExp);

        float[] into = new float[HeadDim];
        float empty = LogSumExp.Empty;
        LogSumExp.Merge(into, ref empty, parts.Outputs, parts.LogSumExps[0]);
        Assert.Equal(parts.Outputs, into);
        Assert.Equal(parts.LogSumExps[0], empty);

        float merged = LogSumExp.Merge([.. poison, .. parts.Outputs, .. poison], [LogSumExp.Empty, parts.LogSumExps[0], LogSumExp.Empty], into);
        Assert.Equal(parts.Outputs, into);
        Assert.Equal(parts.LogSumExps[0], merged);
    }

    [Fact]
    public void Nothing_but_empty_parts_gives_zeros_and_minus_infinity()
    {
        var output = new float[HeadDim];
        float logSumExp = LogSumExp.Empty;
        LogSumExp.Merge(output, ref logSumExp, new float[HeadDim], LogSumExp.Empty);
        Assert.All(output, value => Assert.Equal(0, value));
        Assert.True(float.IsNegativeInfinity(logSumExp));

        Array.Fill(output, 7);
        Assert.True(float.IsNegativeInfinity(LogSumExp.Merge(new float[3 * HeadDim], [LogSumExp.Empty, LogSumExp.Empty, LogSumExp.Empty], output)));
        Assert.All(output, value => Assert.Equal(0, value));
        Array.Fill(output, 7);
        Assert.True(float.IsNegativeInfinity(LogSumExp.Merge([], [], output)));
        Assert.All(output, value => Assert.Equal(0, value));
    }

    [Theory]
    [InlineData(1e4f)]
    [InlineData(-1e4f)]
    [InlineData(0f)]
    public void Extreme_gaps_and_equal_parts_are_exact(float gap)
    {
        float[] first = [.. Enumerable.Repeat(1f, HeadDim)], second = [.. Enumerable.Repeat(3f, HeadDim)];
        float logSumExp = 5;
        LogSumExp.Merge(first, ref logSumExp, second, 5 + gap);
        float expected = gap == 0 ? 2 : gap > 0 ? 3 : 1;
        Assert.All(first, value => Assert.Equal(expected, value));
        Assert.Equal(gap == 0 ? 5 + MathF.Log(2) : MathF.Max(5, 5 + gap), logSumExp, 1e-6f);
    }

    [Fact]
    public void Sizes_that_do_not_fit_are_refused()
    {
        float logSumExp = 0;
        Assert.Throws<ArgumentException>(() => LogSumExp.Merge(new float[8], ref logSumExp, new float[7], 0));
        Assert.Throws<ArgumentException>(() => LogSumExp.Merge(new float[15], [0, 0], new float[8]));
    }

    /// <summary>Random partial results with their exact merge in FP64.</summary>
    private sealed class Parts
    {
        private readonly double[] _expected = new double[HeadDim];
        private readonly double _expectedLogSumExp;

        public Parts(Random random, int numParts, double spread)
        {
            Outputs = [.. Enumerable.Range(0, numParts * HeadDim).Select(_ => (float)(random.NextDouble() * 2 - 1))];
            LogSumExps = [.. Enumerable.Range(0, numParts).Select(_ => (float)((random.NextDouble() * 2 - 1) * spread))];
            double max = LogSumExps.Max(), sum = LogSumExps.Sum(value => Math.Exp(value - max));
            for (int part = 0; part < numParts; part++)
            {
                for (int i = 0; i < HeadDim; i++) _expected[i] += Math.Exp(LogSumExps[part] - max) / sum * Outputs[part * HeadDim + i];
            }
            _expectedLogSumExp = max + Math.Log(sum);
        }

        public float[] Outputs { get; }

        public float[] LogSumExps { get; }

        public ReadOnlySpan<float> Output(int part) => Outputs.AsSpan(part * HeadDim, HeadDim);

        public void Check(float[] output, float logSumExp)
        {
            for (int i = 0; i < HeadDim; i++) Assert.Equal(_expected[i], output[i], 1e-6);
            Assert.Equal(_expectedLogSumExp, logSumExp, 1e-6 * Math.Max(1, Math.Abs(_expectedLogSumExp)));
        }
    }
}
