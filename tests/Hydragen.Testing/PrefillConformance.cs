using Hydragen.Core;

namespace Hydragen.Testing;

/// <summary>
/// What every backend's attention must do with prompts: whole, in chunks and beside rows that decode, with each option, wherever keys
/// are cut. Against the FP64 reference and within <see cref="Tolerance"/>; <c>type</c> is that of queries, keys and values.
/// </summary>
public static class PrefillConformance
{
    private const int NumHeads = 6;

    /// <summary>No option, each alone, and all together.</summary>
    private static IEnumerable<AttentionOptions> Variants(int numHeads, int window) =>
    [
        AttentionOptions.Default,
        new() { AlibiSlopes = AlibiSlopes.ForHeads(numHeads) },
        new() { SlidingWindow = window },
        new() { LogitSoftCap = 3 },
        new() { AlibiSlopes = AlibiSlopes.ForHeads(numHeads), SlidingWindow = window, LogitSoftCap = 20, Scale = 0.2f },
    ];

    /// <summary>Prompts of hundreds of tokens, with tokens before them and without.</summary>
    public static void LongPrompts(IAttentionBackend backend, ElementType type)
    {
        foreach (AttentionOptions options in Variants(3, 700))
        {
            var scenario = new Scenario(new AttentionShape(3, 1, 32), 31) { Type = type, Options = options };
            scenario.AddSequence(-1, 200, 1300);
            scenario.AddSequence(-1, 150, 150);
            scenario.Fill().Verify(backend);
        }
    }

    /// <summary>A prompt in chunks: each sees what came before and its own tokens, and nothing of what is not in the cache yet.</summary>
    public static void Chunks(IAttentionBackend backend, ElementType type)
    {
        const int Length = 180;
        foreach (AttentionOptions options in Variants(NumHeads, 75))
        {
            var scenario = new Scenario(new AttentionShape(NumHeads, 2, 24), 32) { Type = type, Options = options };
            scenario.AddSequence(scenario.AddNode(-1, 70), Length, Length);
            scenario.Fill();
            (double[] whole, double[] wholeLogs) = scenario.Reference(scenario.Plan());
            int rowSize = whole.Length / Length;
            foreach (int chunkLength in (int[])[37, 64, 100])
            {
                for (int first = 0; first < Length; first += chunkLength)
                {
                    int count = Math.Min(chunkLength, Length - first);
                    Scenario chunk = scenario.Chunk(first, count);
                    (double[] part, double[] partLogs) = chunk.Reference(chunk.Plan());
                    Assert.Equal(whole[(first * rowSize)..((first + count) * rowSize)], part);
                    Assert.Equal(wholeLogs[(first * NumHeads)..((first + count) * NumHeads)], partLogs);
                    chunk.Verify(backend);
                }
            }
        }
    }

    /// <summary>Rows that decode and prompts in one plan, of ragged lengths: decode rows first, last and between; below a prefix and alone.</summary>
    public static void HybridBatches(IAttentionBackend backend, ElementType type)
    {
        (int NumQueries, int Length)[] decode = [(1, 1), (1, 200), (1, 65), (1, 0), (1, 64)], prompts = [(40, 40), (64, 64), (17, 150), (90, 129), (2, 131)];
        (int NumQueries, int Length)[][] orders =
        [
            [.. decode, .. prompts],
            [.. prompts, .. decode],
            [.. decode.Zip(prompts).SelectMany(pair => ((int, int)[])[pair.First, pair.Second])],
        ];
        foreach (AttentionOptions options in Variants(NumHeads, 50))
        {
            for (int order = 0; order < orders.Length; order++)
            {
                var scenario = new Scenario(new AttentionShape(NumHeads, 2, 32), 33 + order) { Type = type, Options = options };
                int root = order == 1 ? -1 : scenario.AddNode(-1, 100);
                foreach ((int numQueries, int length) in orders[order]) scenario.AddSequence(root, numQueries, length);
                // The same once more behind nothing, so that nodes and sequences without one stand in one plan.
                foreach ((int numQueries, int length) in orders[order].AsSpan(2, 4)) scenario.AddSequence(-1, numQueries, length);
                scenario.Fill().Verify(backend);
            }
        }
    }

    /// <summary>Keys cut into causal segments anywhere, within pages too: the function is that of the whole.</summary>
    public static void CutKeys(IAttentionBackend backend, ElementType type)
    {
        const int NumQueries = 90, Length = 330;
        int[][] allCuts = [[0, Length], [0, 64, Length], [0, 1, 63, 64, 65, 128, 200, 200, 329, Length], [0, 239, 240, 241, 300, Length]];
        foreach (AttentionOptions options in Variants(NumHeads, 97))
        {
            var scenario = new Scenario(new AttentionShape(NumHeads, 3, 40), 34) { Type = type, Options = options };
            scenario.AddSequence(-1, NumQueries, Length);
            scenario.Fill();
            (double[] whole, double[] wholeLogs) = scenario.Reference(scenario.Plan());
            foreach (int[] cuts in allCuts)
            {
                var builder = new AttentionPlanBuilder();
                builder.AddRows(Length - NumQueries, NumQueries);
                for (int i = 0; i + 1 < cuts.Length; i++)
                {
                    ReadOnlySpan<int> pages = scenario.Sequences[0].Pages.Span[(cuts[i] / KvCache.PageSize)..];
                    builder.AddSegment(0, NumQueries, pages, cuts[i] % KvCache.PageSize, cuts[i + 1] - cuts[i], cuts[i], AttentionMask.Causal);
                }
                AttentionPlan plan = builder.Build();
                (double[] cut, double[] cutLogs) = scenario.Reference(plan);
                Assert.Equal(whole, cut);
                Assert.Equal(wholeLogs, cutLogs);
                scenario.Verify(backend, plan);
            }
        }
    }

    /// <summary>ALiBi for numbers of heads that are powers of two and such that are not, in rows that decode and in prompts.</summary>
    public static void AlibiHeadCounts(IAttentionBackend backend, ElementType type)
    {
        foreach ((int numHeads, int numKvHeads) in ((int, int)[])[(1, 1), (3, 1), (5, 5), (7, 1), (8, 2), (12, 4), (20, 4), (40, 8)])
        {
            var scenario = new Scenario(new AttentionShape(numHeads, numKvHeads, 16), numHeads)
            {
                Type = type,
                Options = new AttentionOptions { AlibiSlopes = AlibiSlopes.ForHeads(numHeads) },
            };
            int root = scenario.AddNode(-1, 90);
            scenario.AddSequence(root, 1, 50);
            scenario.AddSequence(root, 1, 0);
            scenario.AddSequence(root, 20, 70);
            scenario.AddSequence(-1, 33, 33);
            scenario.Fill().Verify(backend);
        }
    }
}
