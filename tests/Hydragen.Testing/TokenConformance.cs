using Hydragen.Core;

namespace Hydragen.Testing;

/// <summary>How every backend must choose tokens from rows of logits. Each method fails by an assertion.</summary>
public static class TokenConformance
{
    private const float Inf = float.PositiveInfinity;

    /// <summary>The largest number of rows: ties, infinities, NaN, all sizes.</summary>
    public static void Greedy(IComputeBackend backend)
    {
        float[][] special =
        [
            [1, 3, 3, 2], [-Inf, -Inf, -Inf, -Inf], [-Inf, -5, -Inf, -5], [1, Inf, 2, Inf], [0, -1, 0, -0f], [-0f, 0, -1, -2],
            [1, 2, float.NaN, 3], [float.NaN, Inf, 0, 0], [-3e38f, 3e38f, -1, 3e38f],
        ];
        Verify([.. special.SelectMany(row => row)], 4, [1, -1, 1, 1, 0, 0, -1, -1, 1]);
        var random = new Random(5);
        foreach (int size in (int[])[1, 2, 31, 33, 1023, 1025, 5000])
        {
            const int numRows = 6;
            // Few different numbers, so that there are ties.
            float[] rows = [.. Enumerable.Range(0, numRows * size).Select(_ => (float)random.Next(-3, 3))];
            Verify(rows, size, [.. Enumerable.Range(0, numRows).Select(row => Array.IndexOf(rows, rows.Skip(row * size).Take(size).Max(), row * size) - row * size)]);
        }

        void Verify(float[] rows, int size, int[] expected)
        {
            Assert.Equal(expected, Choose(backend, rows, size, new TokenChoice[expected.Length]));
            // Beside a row that is drawn, greedy rows stay what they are.
            if (expected.Length == 1) return;
            var choices = new TokenChoice[expected.Length];
            choices[^1] = new TokenChoice(1, 0, 1, 0, 0.5);
            Assert.Equal(expected[..^1], Choose(backend, rows, size, choices)[..^1]);
        }
    }

    /// <summary>Draws fall where the sums of weights in FP64 say, but for a millionth of the total on either side of a border.</summary>
    public static void Sample(IComputeBackend backend)
    {
        var random = new Random(6);
        foreach (int size in (int[])[1, 2, 33, 1571, 5000, 32016])
        {
            foreach (TokenChoice choice in (TokenChoice[])
            [
                new(1, 0, 1, 0, 0), new(0.3f, 0, 1, 0.05f, 0), new(100, 0, 1, 0, 0), new(100, 0, 1, 0.97f, 0), new(2, 0, 1, 1, 0),
                new(1, 40, 1, 0, 0), new(100, 2, 1, 0, 0), new(0.7f, 0, 0.9f, 0, 0), new(3, 0, 0.999f, 0, 0), new(1, 0, 1e-6f, 0, 0),
                new(1.5f, 100, 0.8f, 0.02f, 0), new(100, 20_000, 0.6f, 0, 0), new(1, 1_000_000, 0.5f, 0.1f, 0),
            ])
            {
                double[] randoms = [0, 0.1, 0.25, 0.5, 0.75, 1 - Math.Pow(2, -53), random.NextDouble(), random.NextDouble()];
                float[] rows = RandomTensors.Normal(random, randoms.Length * size, 0, 3);
                for (int i = 0; i < rows.Length; i += 7) rows[i] = -Inf;
                for (int row = 0; row < randoms.Length; row++) rows[row * size + size / 2] = 5;
                int[] found = Choose(backend, rows, size, [.. randoms.Select(number => choice with { Random = number })]);
                for (int row = 0; row < randoms.Length; row++) VerifyDraw(rows.AsSpan(row * size, size), choice with { Random = randoms[row] }, found[row]);
            }
        }
        var half = new TokenChoice(1, 0, 1, 0, 0.5);
        float[] special = [1, float.NaN, 2, -Inf, -Inf, -Inf, 3, Inf, Inf, -Inf, 0, -Inf];
        Assert.Equal([-1, -1, 1, 1], Choose(backend, special, 3, [half, half, half with { Random = 0.9 }, half with { Random = 0.9 }]));
        Assert.Equal([-1, -1, 1, 1], Choose(backend, special, 3, [.. Enumerable.Repeat(new TokenChoice(1, 2, 0.9f, 0, 0.5), 4)]));
    }

    /// <summary>Ranks keep the lowest of tokens that are equally probable, and draw in the order of the tokens.</summary>
    public static void Ranks(IComputeBackend backend)
    {
        // Weights 1/4, 1, 1/2, 1, 1/2, 0, 1/2 at temperature 1.
        float half = -MathF.Log(2);
        float[] row = [2 * half, 0, half, 0, half, -Inf, half];
        Assert.Equal([1, 2, 3], Drawn(new TokenChoice(1, 3, 1, 0, 0)));
        Assert.Equal([1, 2, 3, 4], Drawn(new TokenChoice(1, 4, 1, 0, 0)));
        Assert.Equal([0, 1, 2, 3, 4, 6], Drawn(new TokenChoice(1, 7, 1, 0, 0)));
        // Of 15/4 in all, 2 are reached by the best two, 2.4 by three.
        Assert.Equal([1, 3], Drawn(new TokenChoice(1, 0, 0.53f, 0, 0)));
        Assert.Equal([1, 2, 3], Drawn(new TokenChoice(1, 0, 0.64f, 0, 0)));
        // Of the 5/2 that three have, 2 are 0.8.
        Assert.Equal([1, 3], Drawn(new TokenChoice(1, 3, 0.79f, 0, 0)));
        Assert.Equal([1, 2, 3], Drawn(new TokenChoice(1, 3, 0.81f, 0, 0)));
        Assert.Equal([1, 3], Drawn(new TokenChoice(1, 0, 0.99f, 0.7f, 0)));

        int[] Drawn(TokenChoice choice)
        {
            const int numDraws = 64;
            TokenChoice[] choices = [.. Enumerable.Range(0, numDraws).Select(i => choice with { Random = (i + 0.5) / numDraws })];
            int[] found = Choose(backend, [.. Enumerable.Repeat(row, numDraws).SelectMany(numbers => numbers)], row.Length, choices);
            Assert.Equal(found.Order(), found);
            return [.. found.Distinct()];
        }
    }

    /// <summary>Log-probabilities are the model's, whatever is drawn; tokens are found where they were put.</summary>
    public static void LogProbabilities(IComputeBackend backend)
    {
        const int size = 3001, numRows = 5;
        float[] rows = RandomTensors.Normal(new Random(8), numRows * size, 0, 4);
        rows[4 * size + 9] = float.NaN;
        foreach (TokenChoice choice in (TokenChoice[])[default, new(0.5f, 0, 1, 0, 0.3), new(2, 50, 0.9f, 0, 0.8)])
        {
            using DeviceBuffer buffer = OperatorConformance.Upload(backend, ElementType.Float32, rows);
            TokenChoice[] choices = [.. Enumerable.Repeat(choice, numRows)];
            backend.ChooseTokens(buffer, size, choices, 3, withLogProbabilities: true);
            PendingTokens first = backend.ReadTokens(3 + numRows), second = backend.ReadTokens(3 + numRows);
            int[] tokenIds = new int[3 + numRows], again = new int[3 + numRows];
            var logProbabilities = new float[3 + numRows];
            first.Wait(tokenIds, logProbabilities);
            second.Wait(again, []);
            Assert.Equal(tokenIds[3..], again[3..]);
            Assert.Equal(-1, tokenIds[3 + 4]);
            for (int row = 0; row < 4; row++)
            {
                float[] logits = rows[(row * size)..((row + 1) * size)];
                double max = logits.Max(), expected = logits[tokenIds[3 + row]] - max - Math.Log(logits.Sum(logit => Math.Exp(logit - max)));
                Assert.Equal(expected, logProbabilities[3 + row], 1e-6 * Math.Max(1, Math.Abs(expected)));
            }
        }
    }

    /// <summary>Embeddings of tokens that were chosen are those of the tokens.</summary>
    public static void ChosenEmbeddings(IComputeBackend backend)
    {
        const int numTokens = 12, hiddenSize = 40;
        using PackedMatrix table = backend.PackMatrix(new TestMatrix(new Random(2), numTokens, hiddenSize, ElementType.Float32, false));
        float[] rows = new float[3 * numTokens];
        rows[7] = rows[numTokens + 2] = 1;
        rows[2 * numTokens] = float.NaN;
        using DeviceBuffer logits = OperatorConformance.Upload(backend, ElementType.Float32, rows);
        using DeviceBuffer output = backend.Allocate(ElementType.Float32, 5 * hiddenSize);
        backend.ChooseTokens(logits, numTokens, new TokenChoice[3], 0, false);
        float[] found = new float[5 * hiddenSize], expected = new float[5 * hiddenSize];
        // A row without a token has some token, so that a step behind it harms nobody.
        backend.EmbeddingLookup(table, [~1, 5, ~0, ~2, ~1], 1, output);
        output.Download(found);
        backend.EmbeddingLookup(table, [2, 5, 7, 0, 2], 1, output);
        output.Download(expected);
        Assert.Equal(expected, found);
    }

    private static int[] Choose(IComputeBackend backend, float[] rows, int rowSize, TokenChoice[] choices)
    {
        using DeviceBuffer buffer = OperatorConformance.Upload(backend, ElementType.Float32, rows);
        backend.ChooseTokens(buffer, rowSize, choices, 0, withLogProbabilities: false);
        var found = new int[choices.Length];
        backend.ReadTokens(found.Length).Wait(found, []);
        return found;
    }

    private static void VerifyDraw(ReadOnlySpan<float> logits, TokenChoice choice, int found)
    {
        Assert.InRange(found, 0, logits.Length - 1);
        double max = float.NegativeInfinity;
        foreach (float logit in logits) max = Math.Max(max, logit);
        var weights = new double[logits.Length];
        for (int i = 0; i < weights.Length; i++) weights[i] = Math.Exp((logits[i] - max) / choice.Temperature);
        // What a border cuts off, and what falls at a border of the draw, may be decided otherwise by a millionth.
        foreach (double share in (double[])[1, 1 - 1e-6, 1 + 1e-6])
        {
            double[] kept = Keep(weights, choice, share);
            double total = kept.Sum(), before = kept.Take(found).Sum(), threshold = choice.Random * total;
            // A weight at the bound of min-p may count or not.
            double uncertain = kept.Where(weight => Math.Abs(weight - choice.MinP) < 1e-6 * choice.MinP && weight < 1 - 1e-9).Sum();
            if (kept[found] > 0 && threshold >= before - 1e-6 * total - uncertain && threshold <= before + kept[found] + 1e-6 * total + uncertain) return;
        }
        Assert.Fail($"{choice} chose {found} of {logits.Length}.");
    }

    /// <summary>Sets what is cut off to zero. share: of what top-p asks for.</summary>
    private static double[] Keep(double[] weights, TokenChoice choice, double share)
    {
        int[] order = [.. Enumerable.Range(0, weights.Length).Where(i => weights[i] > 0).OrderByDescending(i => (float)weights[i]).ThenBy(i => i)];
        if (choice.TopK > 0) order = order[..Math.Min(choice.TopK, order.Length)];
        if (choice.TopP < 1)
        {
            double target = choice.TopP * share * order.Sum(i => weights[i]), sum = 0;
            order = [.. order.TakeWhile(i => (sum += weights[i]) - weights[i] < target)];
        }
        var kept = new double[weights.Length];
        foreach (int i in order.Where(i => weights[i] >= choice.MinP * (1 - 1e-6))) kept[i] = weights[i];
        return kept;
    }
}
