using Hydragen.Core;

namespace Hydragen.Engine.Tests;

/// <summary>Steps that start before the tokens of the one before are known change nothing that anybody sees.</summary>
public sealed class RunAheadTests : IDisposable
{
    private static readonly GenerationOptions Sampled = new()
    {
        MaxNewTokens = 40,
        Sampling = new SamplingOptions { Temperature = 0.9f, TopK = 60, TopP = 0.95f, MinP = 0.001f },
        Seed = 7,
        SamplesPerPrompt = 3,
    };

    private readonly TinyModel _ahead = new(runsAhead: true), _inStep = new(runsAhead: false);

    public static TheoryData<SharingMode> Modes => [SharingMode.Hydragen, SharingMode.Paged, SharingMode.Copied];

    public void Dispose()
    {
        _ahead.Dispose();
        _inStep.Dispose();
    }

    [Theory]
    [MemberData(nameof(Modes))]
    public void Tokens_texts_and_their_order_are_the_same(SharingMode mode)
    {
        var random = new Random(1);
        int[] shared = Prompts.Random(random, 90);
        PromptNode[] prompts = [.. Enumerable.Range(0, 7).Select(i => Prompts.Ids([.. shared, .. Prompts.Random(random, 1 + 5 * i)]))];
        foreach (SamplingOptions sampling in (SamplingOptions[])[SamplingOptions.Greedy, Sampled.Sampling, new SamplingOptions { Temperature = 50 }])
        {
            foreach (bool ignoreEos in (bool[])[false, true])
            {
                GenerationOptions options = Sampled with { Sampling = sampling, Sharing = mode, IgnoreEos = ignoreEos, LogProbabilities = ignoreEos };
                Assert.Equal(Updates(_inStep, prompts, options), Updates(_ahead, prompts, options));
            }
        }
    }

    [Fact]
    public void Stop_strings_end_the_same_completions_at_the_same_place()
    {
        PromptNode[] prompts = [.. Enumerable.Range(0, 5).Select(i => PromptNode.FromText($"prompt number {i}"))];
        string[] stops = ["e", "zz", "q", "\u0001"];
        GenerationOptions options = Sampled with { Sampling = new SamplingOptions { Temperature = 2 }, StopStrings = stops, SamplesPerPrompt = 20 };
        List<string> expected = Updates(_inStep, prompts, options);
        Assert.Contains(expected, line => line.Contains("Stop", StringComparison.Ordinal));
        Assert.Equal(expected, Updates(_ahead, prompts, options));
    }

    [Fact]
    public void Sequences_that_wait_come_in_and_get_the_same_tokens()
    {
        using var tight = new TinyModel(maxKvBytes: _ahead.BytesPerPage * 9, runsAhead: true);
        using var narrow = new TinyModel(maxBatchRows: 7, maxBatchSize: 5, runsAhead: true);
        // More sequences than rows: several steps for a token of each.
        using var cut = new TinyModel(maxBatchRows: 5, runsAhead: true);
        var random = new Random(11);
        int[] shared = Prompts.Random(random, 130);
        PromptNode[] prompts = [.. Enumerable.Range(0, 12).Select(i => Prompts.Ids([.. shared, .. Prompts.Random(random, 1 + 3 * i)]))];
        GenerationOptions options = Sampled with { SamplesPerPrompt = 1, Sampling = new SamplingOptions { Temperature = 30 } };
        Dictionary<(int, int), GenerationResult> expected = Prompts.Collect(onResult => _inStep.Engine.Generate(prompts, options, null, onResult));
        Assert.Contains(expected.Values, result => result.FinishReason == FinishReason.Stop);
        foreach (TinyModel model in (TinyModel[])[tight, narrow, cut])
        {
            for (int round = 0; round < 2; round++)
            {
                var results = Prompts.Collect(onResult => model.Engine.Generate(prompts, options, null, onResult));
                foreach (((int, int) key, GenerationResult result) in expected)
                {
                    Assert.Equal(result.TokenIds, results[key].TokenIds);
                    Assert.Equal(result.FinishReason, results[key].FinishReason);
                }
                model.Engine.CheckIntegrity();
                Assert.Equal(0, model.Engine.KvBytesInUse);
            }
        }
    }

    [Fact]
    public void The_last_token_costs_no_step_behind_it()
    {
        PromptNode[] prompts = [Prompts.Ids(1, 2, 3), Prompts.Ids(4)];
        GenerationStatistics statistics = _ahead.Engine.Generate(prompts, Sampled with { IgnoreEos = true, SamplesPerPrompt = 1 });
        Assert.Equal((39, 80L), (statistics.DecodeSteps, statistics.NewTokens));
    }

    [Fact]
    public void An_error_with_a_step_under_way_leaves_the_engine_usable()
    {
        PromptNode[] prompts = [Prompts.Ids(1, 2, 3), Prompts.Ids(4)];
        int numUpdates = 0;
        Assert.Throws<InvalidOperationException>(() => _ahead.Engine.Generate(prompts, Sampled, _ =>
        {
            if (++numUpdates == 15) throw new InvalidOperationException("enough");
        }));
        Assert.Equal(0, _ahead.Engine.KvBytesInUse);
        _ahead.Engine.CheckIntegrity();
        Assert.Equal(Updates(_inStep, prompts, Sampled), Updates(_ahead, prompts, Sampled));
    }

    private static List<string> Updates(TinyModel model, PromptNode[] prompts, GenerationOptions options) => Prompts.Updates(model, prompts, options);
}
