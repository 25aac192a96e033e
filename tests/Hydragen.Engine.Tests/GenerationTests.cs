using Hydragen.Core;

namespace Hydragen.Engine.Tests;

public sealed class GenerationTests : IDisposable
{
    private static readonly GenerationOptions Greedy = new() { MaxNewTokens = 12, Sampling = SamplingOptions.Greedy, IgnoreEos = true };
    private readonly TinyModel _model = new();

    public void Dispose() => _model.Dispose();

    [Theory]
    [InlineData(SharingMode.Hydragen)]
    [InlineData(SharingMode.Paged)]
    [InlineData(SharingMode.Copied)]
    public void Greedy_generation_equals_recomputing_the_whole_sequence_for_every_token(SharingMode mode)
    {
        var random = new Random(1);
        int[] shared = Prompts.Random(random, 150);
        int[][] prompts = [.. Enumerable.Range(0, 9).Select(i => (int[])[.. shared, .. Prompts.Random(random, 1 + i * 9)])];
        Dictionary<(int, int), GenerationResult> results = Prompts.Collect(onResult =>
            _model.Engine.Generate([.. prompts.Select(prompt => Prompts.Ids(prompt))], Greedy with { Sharing = mode }, null, onResult));
        for (int i = 0; i < prompts.Length; i++)
            Assert.Equal(_model.GreedyWithoutCache(prompts[i], Greedy.MaxNewTokens), results[(i, 0)].TokenIds);
        _model.Engine.CheckIntegrity();
        Assert.Equal(0, _model.Engine.KvBytesInUse);
    }

    [Fact]
    public void A_tree_of_parts_equals_the_flat_prompts_that_it_stands_for()
    {
        var random = new Random(2);
        int[] a = Prompts.Random(random, 70), b = Prompts.Random(random, 3), c = Prompts.Random(random, 65), d = Prompts.Random(random, 1), e = Prompts.Random(random, 20);
        PromptNode tree = PromptNode.FromTokenIds(a,
            PromptNode.FromTokenIds(b, Prompts.Ids(c), PromptNode.FromTokenIds(d) with { Samples = 3 }),
            Prompts.Ids(e));
        Dictionary<(int, int), GenerationResult> results = Prompts.Collect(onResult => _model.Engine.GenerateTree([tree], Greedy, null, onResult));
        Assert.Equal(5, results.Count);
        Assert.Equal([0, 0, 0], results[(0, 0)].Path);
        Assert.Equal([0, 0, 1], results[(1, 2)].Path);
        Assert.Equal([0, 1], results[(2, 0)].Path);
        Assert.Equal(_model.GreedyWithoutCache([.. a, .. b, .. c], 12), results[(0, 0)].TokenIds);
        for (int sample = 0; sample < 3; sample++) Assert.Equal(_model.GreedyWithoutCache([.. a, .. b, .. d], 12), results[(1, sample)].TokenIds);
        Assert.Equal(_model.GreedyWithoutCache([.. a, .. e], 12), results[(2, 0)].TokenIds);
    }

    [Fact]
    public void Samples_do_not_depend_on_siblings_order_batch_or_levels()
    {
        var random = new Random(3);
        int[] shared = Prompts.Random(random, 80);
        int[][] tails = [.. Enumerable.Range(0, 6).Select(i => Prompts.Random(random, 10 + i))];
        GenerationOptions options = Greedy with { Sampling = new SamplingOptions { TopP = 0.95f }, Seed = 42, SamplesPerPrompt = 3 };
        int[][] prompts = [.. tails.Select(tail => (int[])[.. shared, .. tail])];
        Dictionary<(int, int), GenerationResult> together = Flat(prompts, options);
        Dictionary<(int, int), GenerationResult> reversed = Flat([.. prompts.Reverse()], options);
        PromptNode inParts = PromptNode.FromTokenIds(shared[..17], PromptNode.FromTokenIds(shared[17..], [.. tails.Select(tail => Prompts.Ids(tail))]));
        Dictionary<(int, int), GenerationResult> levels = Prompts.Collect(onResult => _model.Engine.GenerateTree([inParts], options, null, onResult));
        for (int i = 0; i < prompts.Length; i++)
        {
            Dictionary<(int, int), GenerationResult> alone = Flat([prompts[i]], options);
            for (int sample = 0; sample < 3; sample++)
            {
                IReadOnlyList<int> expected = together[(i, sample)].TokenIds;
                Assert.Equal(expected, reversed[(prompts.Length - 1 - i, sample)].TokenIds);
                Assert.Equal(expected, alone[(0, sample)].TokenIds);
                Assert.Equal(expected, levels[(i, sample)].TokenIds);
            }
        }
        Assert.NotEqual(together[(0, 0)].TokenIds, together[(0, 1)].TokenIds);
    }

    [Fact]
    public void Equal_prompts_in_one_batch_are_different_samples()
    {
        GenerationOptions options = Greedy with { Sampling = new SamplingOptions(), Seed = 1 };
        Dictionary<(int, int), GenerationResult> results = Flat([[1, 2, 3], [1, 2, 3]], options);
        Assert.NotEqual(results[(0, 0)].TokenIds, results[(1, 0)].TokenIds);
    }

    [Fact]
    public void A_kept_prefix_can_be_continued_extended_and_freed()
    {
        var random = new Random(4);
        int[] document = Prompts.Random(random, 100), chapter = Prompts.Random(random, 30), question = Prompts.Random(random, 9);
        PrefixHandle first = _model.Engine.CreatePrefix(Prompts.Ids(document));
        long bytes = _model.Engine.KvBytesInUse;
        PrefixHandle second = _model.Engine.CreatePrefix(Prompts.Ids(chapter), first);
        first.Dispose();
        Assert.Equal(130, second.Length);
        for (int round = 0; round < 2; round++)
        {
            Dictionary<(int, int), GenerationResult> results = Prompts.Collect(onResult =>
            {
                GenerationStatistics statistics = _model.Engine.Generate([Prompts.Ids(question), Prompts.Ids([])], Greedy, null, onResult, second);
                Assert.Equal(question.Length, statistics.ComputedPromptTokens);
            });
            Assert.Equal(_model.GreedyWithoutCache([.. document, .. chapter, .. question], 12), results[(0, 0)].TokenIds);
            Assert.Equal(_model.GreedyWithoutCache([.. document, .. chapter], 12), results[(1, 0)].TokenIds);
        }
        Assert.True(_model.Engine.KvBytesInUse > bytes);
        second.Dispose();
        second.Dispose();
        Assert.Equal(0, _model.Engine.KvBytesInUse);
        _model.Engine.CheckIntegrity();
        Assert.Throws<ObjectDisposedException>(() => _model.Engine.Generate([Prompts.Ids(question)], Greedy, null, null, second));
    }

    [Fact]
    public void Statistics_tell_what_was_shared()
    {
        var random = new Random(5);
        int[] shared = Prompts.Random(random, 64);
        PromptNode[] prompts = [.. Enumerable.Range(0, 4).Select(_ => Prompts.Ids([.. shared, .. Prompts.Random(random, 10)]))];
        GenerationStatistics on = _model.Engine.Generate(prompts, Greedy);
        GenerationStatistics copied = _model.Engine.Generate(prompts, Greedy with { Sharing = SharingMode.Copied });
        Assert.Equal((4, 4 * 74L, 64 + 40L, 64L, 1), (on.Completions, on.PromptTokens, on.ComputedPromptTokens, on.SharedTokens, on.SharingLevels));
        Assert.Equal(48, on.NewTokens);
        Assert.Equal(11, on.DecodeSteps);
        Assert.StartsWith("on:", on.SharingReason, StringComparison.Ordinal);
        Assert.StartsWith("off:", copied.SharingReason, StringComparison.Ordinal);
        Assert.True(copied.PeakKvBytes > on.PeakKvBytes);
        GenerationStatistics alone = _model.Engine.Generate([Prompts.Ids(shared)], Greedy);
        Assert.StartsWith("off:", alone.SharingReason, StringComparison.Ordinal);
    }

    [Fact]
    public void Log_probabilities_of_generated_tokens_equal_their_scores()
    {
        var random = new Random(6);
        int[] prompt = Prompts.Random(random, 20);
        GenerationOptions options = Greedy with { LogProbabilities = true, Sampling = new SamplingOptions { Temperature = 0.7f, TopK = 20 }, Seed = 9 };
        GenerationResult result = Flat([prompt], options)[(0, 0)];
        ScoredSequence? scored = null;
        _model.Engine.Score([[.. prompt, .. result.TokenIds]], line => scored = line);
        for (int i = 0; i < result.TokenIds.Count; i++)
            Assert.Equal(scored!.LogProbabilities[prompt.Length + i], result.LogProbabilities![i], 1e-4f);
    }

    [Fact]
    public void An_end_of_sequence_token_ends_a_completion_and_is_reported()
    {
        // Sampling at a high temperature draws the token early in some of many samples.
        GenerationOptions options = Greedy with { Sampling = new SamplingOptions { Temperature = 50 }, Seed = 3, SamplesPerPrompt = 200, MaxNewTokens = 30, IgnoreEos = false };
        Dictionary<(int, int), GenerationResult> results = Flat([[5, 6, 7]], options);
        GenerationResult[] stopped = [.. results.Values.Where(result => result.FinishReason == FinishReason.Stop)];
        Assert.NotEmpty(stopped);
        Assert.All(stopped, result => Assert.Equal(TinyModel.EosTokenId, result.TokenIds[^1]));
        Assert.All(results.Values.Except(stopped), result => Assert.Equal(30, result.TokenIds.Count));
        Assert.All(results.Values, result => Assert.DoesNotContain(TinyModel.EosTokenId, result.TokenIds.SkipLast(1)));
    }

    [Fact]
    public void Streamed_text_adds_up_to_the_result_and_stop_strings_are_cut()
    {
        GenerationOptions options = Greedy with { Sampling = new SamplingOptions(), Seed = 5, MaxNewTokens = 60 };
        GenerationResult free = Stream("some text", options, out string streamed);
        Assert.Equal(free.Text, streamed);
        Assert.Equal(_model.Tokenizer.Decode([.. free.TokenIds]), free.Text);

        int cut = free.Text!.Length / 2;
        string stop = free.Text.Substring(cut, 2);
        int first = free.Text.IndexOf(stop, StringComparison.Ordinal);
        GenerationResult stopped = Stream("some text", options with { StopStrings = ["never seen", stop] }, out streamed);
        Assert.Equal(free.Text[..first], stopped.Text);
        Assert.Equal(stopped.Text, streamed);
        Assert.Equal(FinishReason.Stop, stopped.FinishReason);
        Assert.Equal(free.TokenIds.Take(stopped.TokenIds.Count), stopped.TokenIds);
    }

    [Fact]
    public void No_attention_must_be_allowed_and_gives_something_else()
    {
        int[] prompt = Prompts.Random(new Random(8), 40);
        GenerationOptions options = Greedy with { Sharing = SharingMode.NoAttention };
        Assert.Throws<ArgumentException>(() => Flat([prompt], options));
        GenerationResult result = Flat([prompt], options with { AllowNoAttention = true })[(0, 0)];
        Assert.NotEqual(_model.GreedyWithoutCache(prompt, 12), result.TokenIds);
    }

    private Dictionary<(int, int), GenerationResult> Flat(int[][] prompts, GenerationOptions options) => Prompts.Collect(onResult =>
        _model.Engine.Generate([.. prompts.Select(prompt => Prompts.Ids(prompt))], options, null, onResult));

    private GenerationResult Stream(string prompt, GenerationOptions options, out string streamed)
    {
        string text = "";
        GenerationResult? result = null;
        _model.Engine.Generate([prompt], options, update =>
        {
            text += update.Text;
            result ??= update.Result;
        });
        streamed = text;
        return result!;
    }
}
