using Hydragen.Core;

namespace Hydragen.Engine.Tests;

public sealed class ResourceTests
{
    private static readonly GenerationOptions Greedy = new() { MaxNewTokens = 40, Sampling = SamplingOptions.Greedy, IgnoreEos = true };

    [Theory]
    [InlineData(SharingMode.Hydragen)]
    [InlineData(SharingMode.Copied)]
    public void Little_memory_makes_sequences_wait_and_changes_nothing_else(SharingMode mode)
    {
        using var roomy = new TinyModel();
        using var tight = new TinyModel(maxKvBytes: roomy.BytesPerPage * 9);
        using var narrow = new TinyModel(maxBatchRows: 7, maxBatchSize: 5);
        var random = new Random(11);
        int[] shared = Prompts.Random(random, 130);
        PromptNode[] prompts = [.. Enumerable.Range(0, 12).Select(i => Prompts.Ids([.. shared, .. Prompts.Random(random, 1 + 3 * i)]))];
        var expected = Prompts.Collect(onResult => roomy.Engine.Generate(prompts, Greedy, null, onResult));
        foreach (TinyModel model in (TinyModel[])[tight, narrow])
        {
            var results = Prompts.Collect(onResult => model.Engine.Generate(prompts, Greedy with { Sharing = mode }, null, onResult));
            foreach (((int, int) key, GenerationResult result) in expected) Assert.Equal(result.TokenIds, results[key].TokenIds);
            model.Engine.CheckIntegrity();
            Assert.Equal(0, model.Engine.KvBytesInUse);
        }
    }

    [Fact]
    public void What_can_never_fit_is_refused_and_leaves_the_engine_usable()
    {
        using var probe = new TinyModel();
        using var model = new TinyModel(maxKvBytes: probe.BytesPerPage * 3);
        int[] longPrompt = Prompts.Random(new Random(12), 200);
        Assert.Throws<OutOfKvMemoryException>(() => model.Engine.Generate([Prompts.Ids(longPrompt)], Greedy));
        Assert.Throws<OutOfKvMemoryException>(() => model.Engine.CreatePrefix(Prompts.Ids(longPrompt)));
        Assert.Equal(0, model.Engine.KvBytesInUse);
        model.Engine.CheckIntegrity();
        Assert.Equal(1, model.Engine.Generate([Prompts.Ids(longPrompt[..50])], Greedy).Completions);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(9)]
    public void Cancelling_between_any_steps_frees_everything_but_kept_prefixes(int stepsBefore)
    {
        using var model = new TinyModel(maxBatchRows: 32);
        using PrefixHandle prefix = model.Engine.CreatePrefix(Prompts.Ids(Prompts.Random(new Random(13), 100)));
        long bytes = model.Engine.KvBytesInUse;
        using var source = new CancellationTokenSource();
        int steps = 0;
        if (stepsBefore == 0) source.Cancel();
        GenerationOptions options = Greedy with { Progress = new Report(_ => { if (++steps == stepsBefore) source.Cancel(); }) };
        PromptNode[] prompts = [.. Enumerable.Range(0, 4).Select(i => Prompts.Ids(Prompts.Random(new Random(i), 25)))];
        Assert.ThrowsAny<OperationCanceledException>(() => model.Engine.Generate(prompts, options, null, null, prefix, source.Token));
        Assert.Equal(bytes, model.Engine.KvBytesInUse);
        model.Engine.CheckIntegrity();
        Assert.Equal(4, model.Engine.Generate(prompts, Greedy, null, null, prefix).Completions);
    }

    [Fact]
    public void A_mistake_in_one_prompt_is_reported_before_anything_runs_and_leaks_nothing()
    {
        using var model = new TinyModel();
        PrefixHandle prefix = model.Engine.CreatePrefix(Prompts.Ids(1, 2, 3));
        void Check(string part, params PromptNode[] prompts)
        {
            ArgumentException flat = Assert.ThrowsAny<ArgumentException>(() => model.Engine.Generate(prompts, Greedy, null, null, prefix));
            ArgumentException tree = Assert.ThrowsAny<ArgumentException>(() => model.Engine.GenerateTree(prompts, Greedy, null, null, prefix));
            Assert.Contains(part, flat.Message, StringComparison.Ordinal);
            Assert.Contains(part, tree.Message, StringComparison.Ordinal);
        }
        Check("token id 257", Prompts.Ids(1), Prompts.Ids(4, 257));
        Check("token id -1", Prompts.Ids(1), Prompts.Ids(-1));
        Check("context", Prompts.Ids(1), Prompts.Ids(new int[509]));
        Check("neither text nor token ids", Prompts.Ids(1), new PromptNode());
        Check("samples", Prompts.Ids(1), Prompts.Ids(1) with { Samples = 0 });
        Assert.Contains("empty", Assert.ThrowsAny<ArgumentException>(() => model.Engine.Generate([Prompts.Ids()], Greedy)).Message, StringComparison.Ordinal);
        prefix.Dispose();
        Assert.Equal(0, model.Engine.KvBytesInUse);
    }

    [Fact]
    public void A_completion_ends_where_the_context_ends()
    {
        using var model = new TinyModel(contextLength: 64);
        var results = Prompts.Collect(onResult => model.Engine.Generate([Prompts.Ids(Prompts.Random(new Random(14), 60))], Greedy, null, onResult));
        Assert.Equal((4, FinishReason.Length), (results[(0, 0)].TokenIds.Count, results[(0, 0)].FinishReason));
    }

    [Theory]
    [InlineData(null)]
    [InlineData(ElementType.Int8)]
    public void Decode_steps_allocate_nothing(ElementType? prefixKvType)
    {
        using var model = new TinyModel(prefixKvType: prefixKvType);
        PromptNode prompt = Prompts.Ids(Prompts.Random(new Random(15), 100)) with { Samples = 32 };
        var allocated = new long[512];
        int steps = 0;
        var options = new GenerationOptions
        {
            MaxNewTokens = 100,
            Sampling = new SamplingOptions { Temperature = 0.9f, TopK = 40, TopP = 0.9f, MinP = 0.01f },
            IgnoreEos = true,
            Progress = new Report(_ => allocated[steps++] = GC.GetAllocatedBytesForCurrentThread()),
        };
        // The first run grows scratch memory; the last step of a run hands out results.
        model.Engine.GenerateTree([prompt], options);
        steps = 0;
        model.Engine.GenerateTree([prompt], options);
        Assert.Equal(99 + 1, steps);
        for (int step = 2; step < steps - 1; step++) Assert.Equal(0, allocated[step] - allocated[step - 1]);
    }

    private sealed class Report(Action<GenerationProgress> handle) : IProgress<GenerationProgress>
    {
        void IProgress<GenerationProgress>.Report(GenerationProgress value) => handle(value);
    }
}
