using Hydragen.Core;

namespace Hydragen.Engine.Tests;

public sealed class LanguageModelTests : IAsyncLifetime
{
    private static readonly GenerationOptions Greedy = new() { MaxNewTokens = 10, Sampling = SamplingOptions.Greedy, IgnoreEos = true };
    private readonly TinyModel _tiny = new();
    private LanguageModel _model = null!;

    public async ValueTask InitializeAsync() => _model = await LanguageModel.LoadAsync(_tiny.Folder, new LanguageModelOptions { NumThreads = 1 });

    public async ValueTask DisposeAsync()
    {
        await _model.DisposeAsync();
        _tiny.Dispose();
    }

    [Fact]
    public async Task Results_come_ordered_with_statistics()
    {
        GenerationOutput output = await _model.GenerateAsync(["zebra", "apple", "apple pie"], Greedy with { SamplesPerPrompt = 2 });
        Assert.Equal([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)], output.Results.Select(result => (result.InputIndex, result.SampleIndex)));
        Assert.Equal(6, output.Statistics.Completions);
        int[] prompt = [.. "apple"u8.ToArray().Select(value => (int)value)];
        Assert.Equal(_tiny.GreedyWithoutCache(prompt, 10), output.Results[2].TokenIds);
    }

    [Fact]
    public async Task Weights_can_be_INT8_and_sharing_changes_no_token()
    {
        await using LanguageModel model = await LanguageModel.LoadAsync(_tiny.Folder, new LanguageModelOptions { WeightType = WeightType.Int8 });
        Assert.Equal(WeightType.Int8, model.Engine.Model.WeightType);
        Assert.True(model.Engine.Model.WeightBytes < 2 * _model.Engine.Model.WeightBytes / 3);
        string[] prompts = ["one story, one end", "one story, two ends"];
        GenerationOutput shared = await model.GenerateAsync(prompts, Greedy with { MinSharedTokens = 1 });
        GenerationOutput copied = await model.GenerateAsync(prompts, Greedy with { Sharing = SharingMode.Copied, MinSharedTokens = 1 });
        Assert.True(shared.Statistics.SharedTokens > 0);
        Assert.Equal(shared.Results.Select(result => result.TokenIds), copied.Results.Select(result => result.TokenIds));
    }

    [Fact]
    public async Task A_prefix_answers_again_and_again_and_grows_by_levels()
    {
        await using SharedPrefix document = await _model.CreatePrefixAsync("Once upon a time there was a document. ");
        await using SharedPrefix chapter = await document.ExtendAsync("Chapter one. ");
        GenerationOutput whole = await _model.GenerateAsync(["Once upon a time there was a document. Chapter one. Who?"], Greedy);
        for (int round = 0; round < 2; round++)
        {
            GenerationOutput output = await chapter.GenerateAsync(["Who?", "What?"], Greedy);
            Assert.Equal(whole.Results[0].TokenIds, output.Results[0].TokenIds);
            Assert.Equal(9, output.Statistics.ComputedPromptTokens);
        }
        GenerationOutput behind = await document.GenerateAsync(Greedy with { SamplesPerPrompt = 3 });
        Assert.Equal(3, behind.Results.Count);
        Assert.Equal(0, behind.Statistics.ComputedPromptTokens);
    }

    [Fact]
    public async Task Streaming_yields_every_token_and_the_same_results()
    {
        string[] prompts = ["one", "two"];
        GenerationOutput output = await _model.GenerateAsync(prompts, Greedy);
        var tokens = new List<int>[] { [], [] };
        await foreach (GenerationUpdate update in _model.StreamAsync(prompts, Greedy))
        {
            tokens[update.InputIndex].Add(update.TokenId);
            if (update.Result is not null) Assert.Equal(tokens[update.InputIndex], update.Result.TokenIds);
        }
        Assert.Equal(output.Results[0].TokenIds, tokens[0]);
        Assert.Equal(output.Results[1].TokenIds, tokens[1]);
    }

    [Fact]
    public async Task Leaving_a_stream_early_stops_the_work_and_frees_the_memory()
    {
        await foreach (GenerationUpdate _ in _model.StreamAsync(["endless"], Greedy with { MaxNewTokens = 400 })) break;
        Assert.Equal(0, _model.Engine.KvBytesInUse);
        Assert.Single((await _model.GenerateAsync(["again"], Greedy)).Results);
    }

    [Fact]
    public async Task Cancelling_ends_both_forms_with_an_exception()
    {
        using var source = new CancellationTokenSource();
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _model.GenerateAsync(["a"], Greedy, source.Token));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (GenerationUpdate _ in _model.StreamAsync(["a"], Greedy, source.Token)) Assert.Fail("Nothing may be computed.");
        });
    }

    [Fact]
    public async Task Mistakes_arrive_as_they_are_in_both_forms()
    {
        await Assert.ThrowsAsync<ArgumentException>(() => _model.GenerateAsync([""], Greedy));
        await Assert.ThrowsAsync<ArgumentException>(async () =>
        {
            await foreach (GenerationUpdate _ in _model.StreamAsync([""], Greedy)) Assert.Fail("Nothing may be computed.");
        });
        await Assert.ThrowsAnyAsync<Exception>(() => LanguageModel.LoadAsync(Path.Combine(_tiny.Folder, "nowhere")));
    }

    [Fact]
    public async Task Concurrent_calls_wait_for_one_another()
    {
        GenerationOutput expected = await _model.GenerateAsync(["same prompt"], Greedy);
        GenerationOutput[] outputs = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => _model.GenerateAsync(["same prompt"], Greedy)));
        Assert.All(outputs, output => Assert.Equal(expected.Results[0].TokenIds, output.Results[0].TokenIds));
    }
}
