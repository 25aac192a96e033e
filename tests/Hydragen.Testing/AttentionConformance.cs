using Hydragen.Core;

namespace Hydragen.Testing;

/// <summary>
/// What every backend's attention must do, against the FP64 reference and within <see cref="Tolerance"/>. Each method fails by an
/// assertion; <c>type</c> is that of queries, keys and values.
/// </summary>
public static class AttentionConformance
{
    /// <summary>Every head dimension.</summary>
    public static void HeadDimensions(IAttentionBackend backend, ElementType type)
    {
        for (int headDim = 8; headDim <= 256; headDim += 8)
        {
            var scenario = new Scenario(new AttentionShape(4, 2, headDim), headDim) { Type = type };
            int root = scenario.AddNode(-1, 70);
            scenario.AddSequence(root, 1, 5);
            scenario.AddSequence(root, 3, 20);
            scenario.AddSequence(-1, 1, 65);
            scenario.Fill().Verify(backend);
        }
    }

    /// <summary>Multi-head, grouped-query and multi-query attention.</summary>
    public static void GroupSizes(IAttentionBackend backend, ElementType type)
    {
        foreach (int group in (int[])[1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32])
        {
            var scenario = new Scenario(new AttentionShape(group * 2, 2, 24), group) { Type = type };
            int root = scenario.AddNode(-1, 130);
            for (int i = 0; i < 7; i++) scenario.AddSequence(root, 1, 1 + 9 * i);
            scenario.Fill().Verify(backend);
        }
    }

    /// <summary>Numbers of keys around the sizes of tiles, pages and splits.</summary>
    public static void Lengths(IAttentionBackend backend, ElementType type)
    {
        int[] lengths = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 79, 80, 81, 127, 128, 129, 1023, 1024, 1025, 2047, 2048, 2049];
        foreach (int length in lengths)
        {
            var scenario = new Scenario(new AttentionShape(4, 2, 16), length) { Type = type };
            int root = scenario.AddNode(-1, length);
            scenario.AddSequence(root, 1, 0);
            scenario.AddSequence(root, 1, 1);
            scenario.AddSequence(root, 1, length);
            scenario.Fill().Verify(backend);
        }
    }

    /// <summary>Several queries a sequence, behind shared keys and alone.</summary>
    public static void CausalQueries(IAttentionBackend backend, ElementType type)
    {
        for (int numQueries = 1; numQueries <= 17; numQueries++)
        {
            var scenario = new Scenario(new AttentionShape(6, 2, 40), numQueries) { Type = type };
            int root = scenario.AddNode(-1, 33);
            scenario.AddSequence(root, numQueries, numQueries);
            scenario.AddSequence(root, numQueries, numQueries + 13);
            scenario.AddSequence(-1, numQueries, 64 + numQueries / 2 + 8);
            scenario.AddSequence(-1, numQueries, 0);
            scenario.Fill().Verify(backend);
        }
    }

    /// <summary>Many queries a sequence.</summary>
    public static void LongPrefill(IAttentionBackend backend, ElementType type)
    {
        var scenario = new Scenario(new AttentionShape(2, 1, 32), 7) { Type = type };
        scenario.AddSequence(-1, 300, 1400);
        scenario.AddSequence(-1, 150, 150);
        scenario.Fill().Verify(backend);
    }

    /// <summary>Levels of shared lengths, then the lengths of the sequences.</summary>
    public static void ReferenceShapes(IAttentionBackend backend, int numKvHeads, int[][] levels)
    {
        var scenario = new Scenario(new AttentionShape(8, numKvHeads, 128), 0) { KvType = ElementType.Float16, QueryType = ElementType.Float16 };
        var above = new List<int> { -1 };
        foreach (int[] lengths in levels[..^1]) above = [.. lengths.Select((length, i) => scenario.AddNode(above[i * above.Count / lengths.Length], length))];
        for (int i = 0; i < levels[^1].Length; i++) scenario.AddSequence(above[i * above.Count / levels[^1].Length], 1, levels[^1][i]);
        // The tree lists nodes level by level, sequences depth-first; both keep siblings together.
        scenario.Fill().Verify(backend);
    }

    /// <summary>ALiBi, windows, caps and scales.</summary>
    public static void LogitOptions(IAttentionBackend backend, ElementType type)
    {
        float[] slopes = AlibiSlopes.ForHeads(6);
        AttentionOptions[] variants =
        [
            new() { AlibiSlopes = slopes },
            new() { SlidingWindow = 1 },
            new() { SlidingWindow = 40 },
            new() { SlidingWindow = 128 },
            new() { LogitSoftCap = 15 },
            new() { LogitSoftCap = 50, AlibiSlopes = slopes, SlidingWindow = 97, Scale = 0.2f },
            new() { Scale = -0.1f },
            new() { Scale = 0 },
        ];
        foreach (AttentionOptions options in variants)
        {
            var scenario = new Scenario(new AttentionShape(6, 3, 32), 17) { Type = type, Options = options };
            int root = scenario.AddNode(-1, 75), child = scenario.AddNode(root, 60), other = scenario.AddNode(root, 1);
            scenario.AddSequence(child, 9, 30);
            scenario.AddSequence(child, 1, 64);
            scenario.AddSequence(other, 17, 17);
            scenario.AddSequence(other, 2, 0);
            scenario.Fill().Verify(backend);
        }
    }

    /// <summary>Logits that differ by thousands.</summary>
    public static void ExtremeLogits(IAttentionBackend backend, ElementType type)
    {
        foreach (float scale in (float[])[1e4f, -1e4f])
        {
            // Keys of small integers make logits exact, so that FP32 chooses the same maximum as FP64; neighbours differ by 1e4.
            var scenario = new Scenario(new AttentionShape(2, 1, 8), 18) { Type = type, Options = new AttentionOptions { Scale = scale } };
            int root = scenario.AddNode(-1, 150);
            scenario.AddSequence(root, 2, 70);
            scenario.Fill();
            for (int i = 0; i < scenario.Key.Length; i++) scenario.Key[i] = MathF.Round(scenario.Key[i]);
            for (int i = 0; i < scenario.Query.Length; i++) scenario.Query[i] = MathF.Round(scenario.Query[i]);
            scenario.Verify(backend);
        }
    }

    /// <summary>Logits with a large common summand.</summary>
    public static void CommonShifts(IAttentionBackend backend, ElementType type)
    {
        var scenario = new Scenario(new AttentionShape(2, 1, 16), 19) { Type = type, Options = new AttentionOptions { Scale = 1 } };
        int root = scenario.AddNode(-1, 100);
        scenario.AddSequence(root, 2, 20);
        scenario.Fill();
        // One element of the keys is constant; the query's weight on it shifts all scores of a row alike.
        for (int i = 0; i < scenario.Key.Length; i += 16) scenario.Key[i] = 1;
        for (int i = 0; i < scenario.Query.Length; i += 16) scenario.Query[i] = 500;
        // A score of 500 has a rounding error of 500 · 2^-24, sixteen times over in the sum.
        scenario.Verify(backend, scenario.Plan(), 500 * 16 * Math.Pow(2, -24));
    }

    /// <summary>A single key, at any finite score.</summary>
    public static void OneKey(IAttentionBackend backend, ElementType type)
    {
        foreach (float number in (float[])[0, 1, -1, 1e4f, -1e4f, -524288, 1e38f, -1e38f])
        {
            var scenario = new Scenario(new AttentionShape(1, 1, 8), 11) { Type = type, Options = new AttentionOptions { Scale = 1 } };
            int root = scenario.AddNode(-1, 0);
            scenario.AddSequence(root, 1, 1);
            scenario.Fill();
            int slot = scenario.Sequences[0].Pages.Span[0] * KvCache.PageSize;
            scenario.Query.AsSpan().Clear();
            float query = RandomTensors.Round(number, scenario.QueryType);
            if (!float.IsFinite(query)) continue;
            scenario.Query[0] = query;
            scenario.Key.AsSpan(slot * 8, 8).Fill(1);
            float score = query * scenario.Stored(scenario.Key, backend)[slot * 8];
            (float[] output, float[] logs) = scenario.Run(backend, scenario.Plan());
            for (int i = 0; i < 8; i++)
            {
                float value = scenario.Stored(scenario.Value, backend)[slot * 8 + i];
                if (scenario.RoundsWeights(backend)) Assert.Equal(value, output[i], Tolerance.RoundedWeights(value, scenario.WeightType(backend)));
                else Assert.Equal(value, output[i]);
            }
            Assert.Equal(score, logs[0], 2e-7f * Math.Abs(score) + (scenario.RoundsWeights(backend) ? (float)Tolerance.LogSumExp : 0));
        }
    }

    /// <summary>Equal keys.</summary>
    public static void EqualKeys(IAttentionBackend backend, ElementType type)
    {
        var scenario = new Scenario(new AttentionShape(2, 1, 16), 12) { Type = type };
        int root = scenario.AddNode(-1, 64);
        scenario.AddSequence(root, 1, 64);
        scenario.Fill();
        scenario.Key.AsSpan().Fill(0.25f);
        // Small integers, so that their sum is exact.
        for (int i = 0; i < scenario.Value.Length; i++) scenario.Value[i] = MathF.Round(scenario.Value[i] * 60);
        (float[] output, _) = scenario.Run(backend, scenario.Plan());
        (double[] expected, _) = scenario.Reference(scenario.Plan(), backend);
        // Equal weights are rounded alike, but scales of values may be multiplied into them first.
        double[] magnitudes = type == ElementType.Int8 ? scenario.MeanMagnitudes(scenario.Plan(), backend) : expected;
        for (int i = 0; i < output.Length; i++)
        {
            double rounded = Tolerance.RoundedWeights(magnitudes[i], scenario.WeightType(backend));
            Assert.Equal(expected[i], output[i], rounded + Math.Abs(expected[i]) * Math.Pow(2, -22));
        }
    }

    /// <summary>Rows that see nothing.</summary>
    public static void RowsWithoutKeys(IAttentionBackend backend)
    {
        foreach (ElementType type in ElementTypes.All)
        {
            ElementType outputType = Scenario.QueryTypeFor(type);
            var scenario = new Scenario(new AttentionShape(4, 2, 24), 13) { Type = type, OutputType = outputType, Options = new AttentionOptions { SlidingWindow = 4 } };
            int root = scenario.AddNode(-1, 100), middle = scenario.AddNode(root, 0);
            scenario.AddSequence(middle, 3, 0);
            scenario.AddSequence(-1, 2, 0);
            scenario.Fill();
            (float[] output, float[] logs) = scenario.Run(backend, scenario.Plan());
            // Rows 0 to 2 stand at 100, 101, 102 and see back to 97, 98, 99; a window of 1 would show them nothing.
            Assert.All(logs[..12], x => Assert.True(float.IsFinite(x)));
            Assert.All(output[(3 * 96)..], x => Assert.Equal(0, x));
            Assert.All(logs[12..], x => Assert.Equal(float.NegativeInfinity, x));

            var narrow = new Scenario(new AttentionShape(4, 2, 24), 13) { Type = type, OutputType = outputType, Options = new AttentionOptions { SlidingWindow = 1 } };
            narrow.AddSequence(narrow.AddNode(-1, 2100), 3, 0);
            narrow.Fill();
            (output, logs) = narrow.Run(backend, narrow.Plan());
            Assert.All(output, x => Assert.Equal(0, x));
            Assert.All(logs, x => Assert.Equal(float.NegativeInfinity, x));
        }
    }

    /// <summary>A plan without rows.</summary>
    public static void EmptyPlan(IAttentionBackend backend)
    {
        var scenario = new Scenario(new AttentionShape(4, 2, 24), 14);
        scenario.Fill();
        (float[] output, float[] logs) = scenario.Run(backend, scenario.Plan());
        Assert.Empty(output);
        Assert.Empty(logs);
    }

    /// <summary>One buffer for queries and output.</summary>
    public static void OutputInPlace(IAttentionBackend backend, ElementType type)
    {
        var scenario = new Scenario(new AttentionShape(4, 2, 24), 15) { Type = type, OutputType = Scenario.QueryTypeFor(type) };
        int root = scenario.AddNode(-1, 1100);
        scenario.AddSequence(root, 5, 9);
        scenario.AddSequence(-1, 5, 9);
        scenario.Fill();
        AttentionPlan plan = scenario.Plan();
        (float[] expected, _) = scenario.Run(backend, plan);
        using KvCache cache = scenario.CreateCache(backend);
        using DeviceBuffer query = backend.Allocate(scenario.QueryType, scenario.Query.Length);
        query.Upload(scenario.Query);
        backend.Attention(plan, scenario.Shape, scenario.Options, query, cache, 1, query, null);
        var actual = new float[expected.Length];
        query.Download(actual);
        Assert.Equal(expected, actual);
    }
}
