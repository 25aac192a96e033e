namespace Hydragen.Engine.Tests;

public sealed class SamplerTests
{
    private const int NumDraws = 200_000;
    private static readonly float[] SomeLogits = [1.5f, -2f, 0.3f, 2.2f, -0.7f, 0.9f, -30f, 1.1f, 0f, -1f, 0.31f];

    [Fact]
    public void Draws_follow_the_softmax_at_a_temperature() => CheckDistribution(new SamplingOptions { Temperature = 0.8f }, Softmax(SomeLogits, 0.8));

    [Fact]
    public void Top_k_keeps_the_k_best() =>
        CheckDistribution(new SamplingOptions { TopK = 3 }, Keep(Softmax(SomeLogits, 1), [3, 0, 7]));

    [Fact]
    public void Top_p_keeps_the_fewest_that_reach_the_probability()
    {
        double[] probabilities = Softmax(SomeLogits, 1);
        double bestTwo = probabilities[3] + probabilities[0];
        CheckDistribution(new SamplingOptions { TopP = (float)(bestTwo - 1e-3) }, Keep(probabilities, [3, 0]));
        CheckDistribution(new SamplingOptions { TopP = (float)(bestTwo + 1e-3) }, Keep(probabilities, [3, 0, 7]));
        CheckDistribution(new SamplingOptions { TopP = 1e-6f }, Keep(probabilities, [3]));
    }

    [Fact]
    public void Top_p_counts_what_top_k_left()
    {
        double[] kept = Keep(Softmax(SomeLogits, 1), [3, 0, 7]);
        CheckDistribution(new SamplingOptions { TopK = 3, TopP = (float)(kept[3] + kept[0] - 1e-3) }, Keep(kept, [3, 0]));
    }

    [Fact]
    public void Min_p_is_relative_to_the_best()
    {
        double[] probabilities = Softmax(SomeLogits, 1);
        int[] kept = [.. Enumerable.Range(0, probabilities.Length).Where(i => probabilities[i] >= 0.25 * probabilities[3])];
        Assert.InRange(kept.Length, 2, 6);
        CheckDistribution(new SamplingOptions { MinP = 0.25f }, Keep(probabilities, kept));
    }

    [Fact]
    public void Penalties_change_the_logits_as_defined()
    {
        PrefixNode prompt = PrefixNode.Create(null, [3]);
        Sequence sequence = MakeSequence(prompt, [1]);
        sequence.TokenIds.AddRange([0, 0, 4]);
        float[] repetition = [.. SomeLogits];
        foreach (int seen in (int[])[0, 1, 3, 4]) repetition[seen] = repetition[seen] > 0 ? repetition[seen] / 1.5f : repetition[seen] * 1.5f;
        CheckDistribution(new SamplingOptions { RepetitionPenalty = 1.5f }, Softmax(repetition, 1), sequence, 3);
        float[] counted = [.. SomeLogits];
        counted[0] -= 2 * 0.4f + 0.2f;
        counted[4] -= 0.4f + 0.2f;
        CheckDistribution(new SamplingOptions { FrequencyPenalty = 0.4f, PresencePenalty = 0.2f }, Softmax(counted, 1), sequence, 3);
    }

    [Fact]
    public void Greedy_takes_the_first_best_and_refuses_nonsense()
    {
        Assert.Equal(1, Draw([0, 5, 5, 1], SamplingOptions.Greedy));
        Assert.Throws<InvalidDataException>(() => Draw([0, float.NaN, 1, 2], SamplingOptions.Greedy));
        Assert.Throws<InvalidDataException>(() => Draw([.. Enumerable.Repeat(float.NegativeInfinity, 20)], new SamplingOptions()));
        float[] late = new float[37];
        late[36] = float.NaN;
        Assert.Throws<InvalidDataException>(() => Draw(late, new SamplingOptions()));
    }

    [Fact]
    public void Options_out_of_range_are_named()
    {
        foreach ((SamplingOptions options, string name) in ((SamplingOptions, string)[])[
            (new() { Temperature = -1 }, "Temperature"), (new() { Temperature = float.NaN }, "Temperature"), (new() { TopP = 0 }, "TopP"),
            (new() { TopP = 1.1f }, "TopP"), (new() { MinP = -0.1f }, "MinP"), (new() { TopK = -1 }, "TopK"), (new() { RepetitionPenalty = 0 }, "RepetitionPenalty")])
        {
            Assert.Contains(name, Assert.Throws<ArgumentOutOfRangeException>(options.Validate).Message, StringComparison.Ordinal);
        }
    }

    private static Sequence MakeSequence(PrefixNode? parent, int[] tail) =>
        new(parent, tail, 8) { InputIndex = 0, SampleIndex = 0, SampleCount = 1, Path = [0] };

    private static int Draw(float[] logits, SamplingOptions options)
    {
        var random = new SampleRandom(1, 2, 3);
        return new Sampler(logits.Length).Sample(logits, options, MakeSequence(null, [0]), 0, ref random);
    }

    /// <summary>Chi-square at p = 1e-4; a token that must not be drawn must not be drawn.</summary>
    private static void CheckDistribution(SamplingOptions options, double[] expected, Sequence? sequence = null, int numNewTokens = 0)
    {
        var sampler = new Sampler(SomeLogits.Length);
        var random = new SampleRandom(1, 2, 3);
        var counts = new int[SomeLogits.Length];
        for (int i = 0; i < NumDraws; i++) counts[sampler.Sample(SomeLogits, options, sequence ?? MakeSequence(null, [0]), numNewTokens, ref random)]++;
        double chiSquare = 0;
        for (int i = 0; i < counts.Length; i++)
        {
            double mean = expected[i] * NumDraws;
            if (expected[i] == 0) Assert.Equal(0, counts[i]);
            else if (mean >= 5) chiSquare += (counts[i] - mean) * (counts[i] - mean) / mean;
        }
        Assert.InRange(chiSquare, 0, 35.6); // upper 1e-4 quantile for 10 degrees of freedom
    }

    private static double[] Softmax(float[] logits, double temperature)
    {
        double max = logits.Max(), sum = logits.Sum(logit => Math.Exp((logit - max) / temperature));
        return [.. logits.Select(logit => Math.Exp((logit - max) / temperature) / sum)];
    }

    private static double[] Keep(double[] probabilities, int[] kept)
    {
        double sum = kept.Sum(i => probabilities[i]);
        return [.. probabilities.Select((probability, i) => kept.Contains(i) ? probability / sum : 0)];
    }
}
