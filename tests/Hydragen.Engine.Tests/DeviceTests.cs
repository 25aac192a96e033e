using Hydragen.Core;
using Hydragen.Cuda;

namespace Hydragen.Engine.Tests;

/// <summary>Generation on a GPU: CUDA graphs, steps that run ahead, memory that is not enough. Skipped where there is none.</summary>
[Collection(nameof(DeviceTests))]
public sealed class DeviceTests
{
    private static readonly GenerationOptions Sampled = new()
    {
        MaxNewTokens = 130,
        Sampling = new SamplingOptions { Temperature = 0.9f, TopK = 60, TopP = 0.95f, MinP = 0.001f },
        Seed = 7,
        LogProbabilities = true,
    };

    [CollectionDefinition(nameof(DeviceTests), DisableParallelization = true)]
    public sealed class OneAtATime;

    [Theory]
    [InlineData(ElementType.Float32, 8, SharingMode.Hydragen)]
    [InlineData(ElementType.BFloat16, 64, SharingMode.Hydragen)]
    [InlineData(ElementType.BFloat16, 128, SharingMode.Hydragen)]
    [InlineData(ElementType.BFloat16, 128, SharingMode.Paged)]
    [InlineData(ElementType.Float16, 40, SharingMode.Copied)]
    [InlineData(ElementType.BFloat16, 64, SharingMode.NoAttention)]
    [InlineData(ElementType.BFloat16, 128, SharingMode.Hydragen, ElementType.Int8)]
    [InlineData(ElementType.Float16, 64, SharingMode.Paged, ElementType.Float8E4M3)]
    public void Graphs_change_no_bit(ElementType type, int headDim, SharingMode mode, ElementType? prefixKvType = null)
    {
        using CudaBackend with = OpenGpu(true), without = OpenGpu(false);
        using var withGraphs = new TinyModel(backend: with, type: type, headDim: headDim, maxKvBytes: 64 << 20, prefixKvType: prefixKvType);
        using var withoutGraphs = new TinyModel(backend: without, type: type, headDim: headDim, maxKvBytes: 64 << 20, prefixKvType: prefixKvType);
        // Suffixes pass the length from which another kernel computes them; sequences end one by one, and others come in.
        PromptNode[] prompts = SomePrompts(3, 150, 20);
        foreach (SamplingOptions sampling in (SamplingOptions[])[SamplingOptions.Greedy, Sampled.Sampling, new SamplingOptions { Temperature = 30 }])
        {
            foreach (bool ignoreEos in (bool[])[true, false])
            {
                GenerationOptions options = Sampled with { Sampling = sampling, Sharing = mode, AllowNoAttention = true, IgnoreEos = ignoreEos };
                Assert.Equal(Prompts.Updates(withoutGraphs, prompts, options, isExact: true), Prompts.Updates(withGraphs, prompts, options, isExact: true));
            }
        }
        GraphStatistics replayed = with.Steps.Statistics, launched = without.Steps.Statistics;
        Assert.Equal(launched.NumSteps, replayed.NumSteps);
        Assert.InRange(replayed.NumReplays, replayed.NumSteps / 2, replayed.NumSteps);
        Assert.Equal((0, 0), (launched.NumCaptures, launched.NumReplays));
    }

    [Theory]
    [InlineData(ElementType.BFloat16, 64, ElementType.Float8E5M2, 1 << 20)]
    [InlineData(ElementType.Float16, 128, ElementType.Float8E4M3, 1 << 11)]
    public void Scales_reach_steps_with_and_without_graphs(ElementType type, int headDim, ElementType kvType, float headFactor)
    {
        using CudaBackend with = OpenGpu(true), without = OpenGpu(false);
        TinyModel Model(CudaBackend backend, ElementType kvType, KvScaling scaling, float factor) => new(
            backend: backend, type: type, headDim: headDim, maxKvBytes: 64 << 20, kvType: kvType, kvScaling: scaling, headFactor: factor);
        using TinyModel withGraphs = Model(with, kvType, KvScaling.Calibrated, headFactor), withoutGraphs = Model(without, kvType, KvScaling.Calibrated, headFactor);
        GenerationOptions options = Sampled with { IgnoreEos = true };
        Assert.Equal(Prompts.Updates(withoutGraphs, SomePrompts(3, 150, 20), options, isExact: true), Prompts.Updates(withGraphs, SomePrompts(3, 150, 20), options, isExact: true));
        Assert.Equal((4, 2), (withGraphs.Engine.Calibration!.NumHeads, withGraphs.Engine.Calibration.NumScaled));
        Assert.InRange(with.Steps.Statistics.NumReplays, with.Steps.Statistics.NumSteps / 2, with.Steps.Statistics.NumSteps);

        // As exact as the same model whose heads are all within the range; without scales far off.
        using CudaBackend other = OpenGpu(true), third = OpenGpu(true), fourth = OpenGpu(true);
        using TinyModel exact = Model(other, type, KvScaling.None, 1), inRange = Model(third, kvType, KvScaling.None, 1), saturated = Model(fourth, kvType, KvScaling.None, headFactor);
        float[] expected = KvScalingTests.Score(exact);
        double Error(TinyModel model) => KvScalingTests.Score(model).Zip(expected, (a, b) => Math.Abs(a - b)).Average();
        double error = Error(withGraphs);
        Assert.InRange(error, 0, 1.2 * Error(inRange));
        Assert.True(Error(saturated) > 2 * error, $"without scales {Error(saturated)}, with them {error}");

        InsufficientMemoryException refused = Assert.Throws<InsufficientMemoryException>(
            () => new InferenceEngine(withGraphs.Model, withGraphs.Tokenizer, new InferenceEngineOptions { MaxKvBytes = with.Memory.MaxCacheBytes }));
        Assert.Contains("calibration", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void One_graph_serves_suffixes_as_they_grow()
    {
        using CudaBackend backend = OpenGpu(true);
        using var model = new TinyModel(backend: backend, type: ElementType.BFloat16, headDim: 64, maxKvBytes: 64 << 20);
        GenerationOptions options = Sampled with { Sampling = SamplingOptions.Greedy, IgnoreEos = true, MaxNewTokens = 60, LogProbabilities = false };
        model.Engine.Generate(SomePrompts(5, 100, 16), options);
        GraphStatistics first = backend.Steps.Statistics;
        Assert.Equal((59, 1, 58), (first.NumSteps, first.NumCaptures, first.NumReplays));
        model.Engine.Generate(SomePrompts(6, 100, 16), options);
        Assert.Equal((118, 1, 117), (backend.Steps.Statistics.NumSteps, backend.Steps.Statistics.NumCaptures, backend.Steps.Statistics.NumReplays));
    }

    [Fact]
    public void Tokens_are_those_of_the_processor()
    {
        using CudaBackend backend = OpenGpu(null);
        using TinyModel gpu = new(backend: backend, maxKvBytes: 64 << 20), processor = new();
        PromptNode[] prompts = SomePrompts(4, 90, 9);
        foreach (SamplingOptions sampling in (SamplingOptions[])[
            SamplingOptions.Greedy, Sampled.Sampling, new SamplingOptions { Temperature = 3 }, new SamplingOptions { TopP = 0.5f }, new SamplingOptions { RepetitionPenalty = 1.2f }])
        {
            GenerationOptions options = Sampled with { Sampling = sampling, MaxNewTokens = 40, LogProbabilities = false };
            Dictionary<(int, int), GenerationResult> expected = Prompts.Collect(onResult => processor.Engine.Generate(prompts, options, null, onResult));
            Dictionary<(int, int), GenerationResult> found = Prompts.Collect(onResult => gpu.Engine.Generate(prompts, options, null, onResult));
            foreach (((int, int) key, GenerationResult result) in expected)
            {
                Assert.Equal(result.TokenIds, found[key].TokenIds);
                Assert.Equal(result.FinishReason, found[key].FinishReason);
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Memory_that_runs_out_in_a_batch_ends_it_and_nothing_else(bool usesGraphs)
    {
        using CudaBackend backend = OpenGpu(usesGraphs);
        using var model = new TinyModel(backend: backend, type: ElementType.BFloat16, headDim: 64, maxKvBytes: 64 << 20);
        using PrefixHandle prefix = model.Engine.CreatePrefix(Prompts.Ids(Prompts.Random(new Random(1), 70)));
        long bytes = model.Engine.KvBytesInUse;
        PromptNode[] few = SomePrompts(7, 30, 3), many = SomePrompts(8, 200, 60);
        GenerationOptions options = Sampled with { MaxNewTokens = 20, IgnoreEos = true };
        List<string> expected = Prompts.Updates(model, few, options, prefix, isExact: true);

        // A step needs larger lists than any before, when the sequences need more pages.
        int numSteps = 0;
        GenerationOptions limited = options with
        {
            MaxNewTokens = 130,
            Progress = new Report(() =>
            {
                if (++numSteps == 8) backend.Device.MaxBytes = backend.Device.AllocatedBytes;
            }),
        };
        InsufficientMemoryException exception = Assert.Throws<InsufficientMemoryException>(() => model.Engine.Generate(many, limited, prefix: prefix));
        Assert.Contains("MiB of GPU memory are needed", exception.Message, StringComparison.Ordinal);
        Assert.InRange(numSteps, 9, 140);
        Assert.Equal(bytes, model.Engine.KvBytesInUse);
        model.Engine.CheckIntegrity();
        backend.Device.MaxBytes = long.MaxValue;
        Assert.Equal(expected, Prompts.Updates(model, few, options, prefix, isExact: true));
        Assert.Equal(60, model.Engine.Generate(many, options, prefix: prefix).Completions);

        // KV memory that the GPU does not have, though the budget does.
        backend.Device.MaxBytes = backend.Device.AllocatedBytes;
        PromptNode[] huge = SomePrompts(9, 200, 400);
        Assert.Throws<InsufficientMemoryException>(() => model.Engine.Generate(huge, options with { Sharing = SharingMode.Copied }));
        Assert.Equal(bytes, model.Engine.KvBytesInUse);
        model.Engine.CheckIntegrity();
        backend.Device.MaxBytes = long.MaxValue;
        Assert.Equal(expected, Prompts.Updates(model, few, options, prefix, isExact: true));
    }

    [Fact]
    public void The_device_has_work_while_tokens_are_read()
    {
        using CudaBackend backend = OpenGpu(true);
        using var model = new TinyModel(backend: backend, type: ElementType.BFloat16, headDim: 64, maxKvBytes: 64 << 20);
        model.Engine.Generate(SomePrompts(5, 100, 16), Sampled with { MaxNewTokens = 30 });
        GraphStatistics statistics = backend.Steps.Statistics;
        Assert.True(statistics.BusySeconds > 0 && statistics.IdleSeconds > 0);
        Assert.InRange(statistics.BusyShare, 1e-6, 1);
        backend.Steps.ClearStatistics();
        Assert.Equal(new GraphStatistics(0, 0, 0, 0, 0), backend.Steps.Statistics);
    }

    private static PromptNode[] SomePrompts(int seed, int numShared, int count)
    {
        var random = new Random(seed);
        int[] shared = Prompts.Random(random, numShared);
        return [.. Enumerable.Range(0, count).Select(i => Prompts.Ids([.. shared, .. Prompts.Random(random, 1 + i % 5)]))];
    }

    /// <summary>A backend; skips the test where there can be none.</summary>
    private static CudaBackend OpenGpu(bool? usesGraphs)
    {
        IReadOnlyList<string> missing = CudaEnvironment.Probe().Missing;
        if (missing.Count > 0) Assert.Skip($"CUDA cannot be used: {string.Join("; ", missing)}.");
        if (CudaEnvironment.MatrixLibraryVersion is null) Assert.Skip(CudaEnvironment.MissingMatrixLibrary);
        return new CudaBackend(new CudaOptions { UsesGraphs = usesGraphs });
    }

    private sealed class Report(Action handle) : IProgress<GenerationProgress>
    {
        void IProgress<GenerationProgress>.Report(GenerationProgress value) => handle();
    }
}
