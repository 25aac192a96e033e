using Hydragen.Core;
using Hydragen.Cpu;
using Hydragen.Models;
using Hydragen.Text;

namespace Hydragen.Engine.Tests;

/// <summary>An engine over two ranks makes what an engine alone makes, and stays usable after calls that fail everywhere.</summary>
public sealed class RankEngineTests
{
    private static readonly string[] Prompts = ["the prefix that all prompts have, and one", "the prefix that all prompts have, and two", "x"];

    [Fact]
    public async Task Greedy_and_sampled_completions_are_those_of_one_process()
    {
        using var tiny = new TinyModel();
        GenerationOptions[] calls =
        [
            new() { MaxNewTokens = 12, SamplesPerPrompt = 3, Sampling = SamplingOptions.Greedy, IgnoreEos = true },
            new() { MaxNewTokens = 12, SamplesPerPrompt = 3, Seed = 5, Sampling = new SamplingOptions { Temperature = 0.8f, MinP = 0.01f } },
            new() { MaxNewTokens = 9, SamplesPerPrompt = 2, Seed = 6, LogProbabilities = true, Sampling = new SamplingOptions { TopK = 20, TopP = 0.9f, RepetitionPenalty = 1.1f } },
            new() { MaxNewTokens = 9, Seed = 6, Sharing = SharingMode.Copied, StopStrings = ["e"] },
        ];
        List<GenerationResult>[] expected = [.. calls.Select(options => Complete(tiny.Engine, options))];
        await WithRanksAsync(tiny.Folder, engine =>
        {
            for (int i = 0; i < calls.Length; i++)
            {
                List<GenerationResult> found = Complete(engine, calls[i]);
                Assert.Equal(expected[i].Select(Text), found.Select(Text));
                for (int j = 0; calls[i].LogProbabilities && j < found.Count; j++)
                {
                    foreach ((float one, float many) in expected[i][j].LogProbabilities!.Zip(found[j].LogProbabilities!)) Assert.Equal(one, many, 1e-3f);
                }
            }
        });

        static string Text(GenerationResult result) => $"{result.InputIndex}.{result.SampleIndex} {string.Join(' ', result.TokenIds)} {result.Text} {result.FinishReason}";
    }

    [Fact]
    public async Task Without_a_seed_all_ranks_draw_the_same_numbers()
    {
        using var tiny = new TinyModel();
        await WithRanksAsync(tiny.Folder, engine =>
        {
            for (int i = 0; i < 3; i++) Assert.Equal(6, Complete(engine, new GenerationOptions { MaxNewTokens = 20, SamplesPerPrompt = 2 }).Count);
        });
    }

    [Fact]
    public async Task Prefixes_are_kept_extended_and_freed_on_all_ranks()
    {
        using var tiny = new TinyModel();
        await WithRanksAsync(tiny.Folder, engine =>
        {
            var options = new GenerationOptions { MaxNewTokens = 6, Sampling = SamplingOptions.Greedy, IgnoreEos = true };
            PrefixHandle first = engine.CreatePrefix(PromptNode.FromText("a document of some length. ")), second = engine.CreatePrefix(PromptNode.FromText("more. "), first);
            first.Dispose();
            var found = new List<GenerationResult>();
            engine.GenerateTree([PromptNode.FromText("question?")], options, onResult: found.Add, prefix: second);
            var expected = new List<GenerationResult>();
            tiny.Engine.Generate([PromptNode.FromText("a document of some length. more. question?")], options, onResult: expected.Add);
            Assert.Equal(expected[0].TokenIds, found[0].TokenIds);
            second.Dispose();
            Assert.Equal(0, engine.KvBytesInUse);
            engine.CheckIntegrity();
        });
    }

    [Fact]
    public async Task Scores_are_those_of_one_process_within_the_bound()
    {
        using var tiny = new TinyModel();
        int[][] inputs = [[.. tiny.Tokenizer.Encode("a sequence to be scored")], [.. tiny.Tokenizer.Encode("a sequence to be")], [3]];
        Dictionary<int, ScoredSequence> expected = Score(tiny.Engine);
        await WithRanksAsync(tiny.Folder, engine =>
        {
            Dictionary<int, ScoredSequence> found = Score(engine);
            for (int i = 0; i < inputs.Length; i++)
            {
                Assert.Equal(expected[i].LogProbabilities.Length, found[i].LogProbabilities.Length);
                for (int t = 1; t < inputs[i].Length; t++) Assert.Equal(expected[i].LogProbabilities[t], found[i].LogProbabilities[t], 1e-4f);
            }
        });

        Dictionary<int, ScoredSequence> Score(InferenceEngine engine)
        {
            var scored = new Dictionary<int, ScoredSequence>();
            engine.Score(inputs, sequence => scored.Add(sequence.InputIndex, sequence), keepLogits: true);
            return scored;
        }
    }

    [Fact]
    public async Task Calls_that_fail_on_all_ranks_leave_them_usable()
    {
        using var tiny = new TinyModel();
        await WithRanksAsync(
            tiny.Folder,
            engine =>
            {
                var options = new GenerationOptions { MaxNewTokens = 8, Sampling = SamplingOptions.Greedy, IgnoreEos = true };
                Assert.Throws<ArgumentException>(() => engine.Generate([PromptNode.FromTokenIds([9999])], options));
                Assert.Throws<OutOfKvMemoryException>(() => engine.Generate([PromptNode.FromTokenIds(new int[300])], options));
                using var stop = new CancellationTokenSource();
                Assert.ThrowsAny<OperationCanceledException>(() => engine.Generate(
                    [PromptNode.FromText("to be cancelled")], options with { MaxNewTokens = 100 }, onUpdate: _ => stop.Cancel(), cancellationToken: stop.Token));
                Assert.Single(Complete(engine, options with { SamplesPerPrompt = 1 }, ["still there"]));
                Assert.Equal(0, engine.KvBytesInUse);
            },
            maxKvPages: 4);
    }

    [Fact]
    public async Task An_error_of_one_rank_alone_ends_the_other()
    {
        using var tiny = new TinyModel();
        RankGroupException exception = await Assert.ThrowsAsync<RankGroupException>(() => WithRanksAsync(tiny.Folder, engine =>
            Assert.Throws<InvalidOperationException>(() => engine.Generate(
                [PromptNode.FromText("abc")], new GenerationOptions(), onUpdate: _ => throw new InvalidOperationException("the caller cannot take more")))));
        Assert.Equal("rank 0 failed: the caller cannot take more", exception.Message);
    }

    [Fact]
    public async Task The_poorest_rank_decides_how_much_is_kept()
    {
        using var tiny = new TinyModel();
        await WithRanksAsync(tiny.Folder, engine => Assert.Equal(2 * tiny.BytesPerPage / 2, engine.MaxKvBytes), maxKvPages: 5, lessOnRank1: 3);
    }

    [Fact]
    public async Task Ranks_with_prefixes_of_another_type_give_the_completions_of_one_process()
    {
        var options = new GenerationOptions { MaxNewTokens = 8, Sampling = SamplingOptions.Greedy, IgnoreEos = true, MinSharedTokens = 1 };
        using var tiny = new TinyModel(prefixKvType: ElementType.Int8);
        List<GenerationResult> expected = Complete(tiny.Engine, options);
        await WithRanksAsync(
            tiny.Folder,
            engine => Assert.Equal(expected.Select(result => string.Join(' ', result.TokenIds)), Complete(engine, options).Select(result => string.Join(' ', result.TokenIds))),
            maxKvPages: 9, lessOnRank1: 2, prefixKvType: ElementType.Int8);
    }

    [Fact]
    public async Task Ranks_that_keep_prefixes_in_different_types_do_not_start()
    {
        using var tiny = new TinyModel();
        RankGroupException exception = await Assert.ThrowsAsync<RankGroupException>(
            () => WithRanksAsync(tiny.Folder, _ => { }, prefixKvType: ElementType.Int8, prefixKvTypeOnRank1: ElementType.BFloat16));
        Assert.Contains("the model", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ranks_calibrate_their_own_heads_by_the_same_prompt()
    {
        using var tiny = new TinyModel(kvType: ElementType.Float8E4M3, kvScaling: KvScaling.Calibrated, headFactor: 1 << 14);
        var options = new GenerationOptions { MaxNewTokens = 20, Sampling = SamplingOptions.Greedy, IgnoreEos = true };
        List<GenerationResult> expected = Complete(tiny.Engine, options);
        // The first of the two heads needs no scale, and rank 0 has no other.
        Assert.Equal(2, tiny.Engine.Calibration!.NumScaled);
        KvCalibration? calibration = null;
        await WithRanksAsync(
            tiny.Folder,
            engine =>
            {
                Assert.Equal(expected.Select(result => string.Join(' ', result.TokenIds)), Complete(engine, options).Select(result => string.Join(' ', result.TokenIds)));
                calibration = engine.Calibration;
            },
            kvType: ElementType.Float8E4M3, scaling: _ => KvScaling.Calibrated);
        Assert.Equal(tiny.Engine.Calibration with { NumHeads = 2, NumScaled = 0, LargestScale = 1 }, calibration);
    }

    [Fact]
    public async Task Ranks_of_which_only_one_scales_do_not_start()
    {
        using var tiny = new TinyModel();
        RankGroupException exception = await Assert.ThrowsAsync<RankGroupException>(
            () => WithRanksAsync(tiny.Folder, _ => { }, kvType: ElementType.Float8E4M3, scaling: rank => rank == 0 ? KvScaling.None : KvScaling.Calibrated));
        Assert.Contains("the model", exception.Message, StringComparison.Ordinal);
    }

    private static List<GenerationResult> Complete(InferenceEngine engine, GenerationOptions options, string[]? prompts = null)
    {
        var results = new List<GenerationResult>();
        engine.Generate([.. (prompts ?? Prompts).Select(text => PromptNode.FromText(text))], options, onResult: results.Add);
        results.Sort((a, b) => a.InputIndex != b.InputIndex ? a.InputIndex.CompareTo(b.InputIndex) : a.SampleIndex.CompareTo(b.SampleIndex));
        return results;
    }

    /// <summary>Uses an engine on rank 0 while rank 1 serves.</summary>
    private static async Task WithRanksAsync(
        string folder, Action<InferenceEngine> use, int? maxKvPages = null, int lessOnRank1 = 0, ElementType? prefixKvType = null, ElementType? prefixKvTypeOnRank1 = null,
        ElementType? kvType = null, Func<int, KvScaling>? scaling = null)
    {
        SocketRankGroup[] groups = await RankMeeting.MeetAsync(2);
        try
        {
            await RankMeeting.RunAsync(groups, group =>
            {
                using var backend = new CpuBackend(new CpuOptions { NumThreads = 1 });
                ElementType? prefixes = group.Rank > 0 ? prefixKvTypeOnRank1 ?? prefixKvType : prefixKvType;
                using DecoderModel model = DecoderModel.Load(folder, backend, new DecoderOptions
                {
                    MaxBatchRows = 128,
                    Group = group,
                    KvType = kvType,
                    PrefixKvType = prefixes,
                    KvScaling = scaling?.Invoke(group.Rank) ?? KvScaling.None,
                });
                using KvCache cache = model.CreateKvCache(0);
                long? bytes = maxKvPages is null ? null : (maxKvPages - group.Rank * lessOnRank1) * cache.BytesPerPage;
                using var engine = new InferenceEngine(model, Tokenizer.Load(folder), new InferenceEngineOptions { MaxKvBytes = bytes });
                if (group.Rank > 0) engine.Serve();
                else use(engine);
                return 0;
            });
        }
        finally
        {
            await RankMeeting.LeaveAsync(groups);
        }
    }
}
