using Hydragen.Core;

namespace Hydragen.Testing;

/// <summary>How every backend must choose tokens from rows of logits. Each method fails by an assertion.</summary>
public static class TokenConformance
{
    /// <summary>The largest number of rows: ties, infinities, NaN, all sizes.</summary>
    public static void IndexOfMaximum(IComputeBackend backend)
    {
        const float inf = float.PositiveInfinity;
        float[][] special =
        [
            [1, 3, 3, 2], [-inf, -inf, -inf, -inf], [-inf, -5, -inf, -5], [1, inf, 2, inf], [0, -1, 0, -0f], [-0f, 0, -1, -2],
            [1, 2, float.NaN, 3], [float.NaN, inf, 0, 0], [-3e38f, 3e38f, -1, 3e38f],
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
            using DeviceBuffer buffer = OperatorConformance.Upload(backend, ElementType.Float32, rows);
            var found = new int[expected.Length];
            backend.IndexOfMaximum(buffer, size, found);
            Assert.Equal(expected, found);
        }
    }

    /// <summary>Draws fall where the sums of weights in FP64 say, but for a millionth of the total on either side of a border.</summary>
    public static void Sample(IComputeBackend backend)
    {
        var random = new Random(6);
        foreach (int size in (int[])[1, 2, 33, 1571, 5000, 32016])
        {
            foreach ((float temperature, float minP) in ((float, float)[])[(1, 0), (0.3f, 0.05f), (100, 0), (100, 0.97f), (2, 1)])
            {
                double[] randoms = [0, 0.1, 0.25, 0.5, 0.75, 1 - Math.Pow(2, -53), random.NextDouble(), random.NextDouble()];
                float[] rows = RandomTensors.Normal(random, randoms.Length * size, 0, 3);
                for (int i = 0; i < rows.Length; i += 7) rows[i] = float.NegativeInfinity;
                for (int row = 0; row < randoms.Length; row++) rows[row * size + size / 2] = 5;
                using DeviceBuffer buffer = OperatorConformance.Upload(backend, ElementType.Float32, rows);
                var found = new int[randoms.Length];
                backend.Sample(buffer, size, temperature, minP, randoms, found);
                for (int row = 0; row < randoms.Length; row++) VerifyDraw(rows.AsSpan(row * size, size), temperature, minP, randoms[row], found[row]);
            }
        }
        const float inf = float.PositiveInfinity;
        float[] special = [1, float.NaN, 2, -inf, -inf, -inf, 3, inf, inf, -inf, 0, -inf];
        using DeviceBuffer specials = OperatorConformance.Upload(backend, ElementType.Float32, special);
        var chosen = new int[4];
        backend.Sample(specials, 3, 1, 0, [0.5, 0.5, 0.9, 0.9], chosen);
        Assert.Equal([-1, -1, 1, 1], chosen);
    }

    private static void VerifyDraw(ReadOnlySpan<float> logits, float temperature, float minP, double random, int found)
    {
        Assert.InRange(found, 0, logits.Length - 1);
        double max = float.NegativeInfinity, total = 0, before = 0;
        foreach (float logit in logits) max = Math.Max(max, logit);
        // A weight at the bound may count or not.
        double loose = minP * (1 - 1e-6), strict = minP * (1 + 1e-6), uncertain = 0, own = 0;
        for (int i = 0; i < logits.Length; i++)
        {
            double weight = Math.Exp((logits[i] - max) / temperature);
            if (weight < loose) weight = 0;
            else if (weight < strict && weight < 1 - 1e-9) uncertain += weight;
            total += weight;
            if (i < found) before += weight;
            if (i == found) own = weight;
        }
        Assert.True(own > 0);
        Assert.InRange(random * total, before - 1e-6 * total - uncertain, before + own + 1e-6 * total + uncertain);
    }
}
