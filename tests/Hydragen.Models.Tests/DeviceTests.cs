using Hydragen.Core;
using Hydragen.Cpu;
using Hydragen.Cuda;

namespace Hydragen.Models.Tests;

/// <summary>The golden models in every compute type, on the processor and on a GPU where there is one.</summary>
[Collection(nameof(DeviceTests))]
public sealed class DeviceTests
{
    [CollectionDefinition(nameof(DeviceTests), DisableParallelization = true)]
    public sealed class OneAtATime;

    public static TheoryData<string> Names => [.. GoldenModel.Names()];

    /// <summary>Every golden model with both 16-bit types.</summary>
    public static TheoryData<string, ElementType> RoundedNames
    {
        get
        {
            var names = new TheoryData<string, ElementType>();
            foreach (string name in GoldenModel.Names())
            {
                names.Add(name, ElementType.BFloat16);
                names.Add(name, ElementType.Float16);
            }
            return names;
        }
    }

    [Theory]
    [MemberData(nameof(RoundedNames))]
    public void Rounded_activations_move_logits_within_the_bound_on_the_processor(string name, ElementType type)
    {
        using var backend = new CpuBackend(new CpuOptions { NumThreads = 2 });
        AssertRounded(name, backend, type);
    }

    [Theory]
    [MemberData(nameof(RoundedNames))]
    public void Rounded_activations_move_logits_within_the_bound_on_a_gpu(string name, ElementType type)
    {
        using CudaBackend backend = OpenGpu();
        AssertRounded(name, backend, type);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_gpu_yields_the_logits_of_transformers(string name)
    {
        using CudaBackend backend = OpenGpu();
        using var golden = new GoldenModel(name);
        using DecoderModel model = Load(golden, backend, ElementType.Float32);
        for (int s = 0; s < golden.NumSequences; s++)
        {
            int[] ids = golden.TokenIds(s);
            foreach (int pieceLength in new[] { ids.Length, 1, 7 })
                Tolerance.AssertClose(golden.Logits(s), GoldenModel.Run(model, ids, pieceLength), Tolerance.GoldenLogit);
        }
    }

    [Theory]
    [InlineData("llama-bf16-sharded", ElementType.BFloat16)]
    [InlineData("llama-fp16", ElementType.Float16)]
    [InlineData("llama", ElementType.Float32)]
    public void A_gpu_computes_in_the_type_of_the_weights_and_the_processor_in_FP32(string name, ElementType type)
    {
        using var golden = new GoldenModel(name);
        using var processor = new CpuBackend(new CpuOptions { NumThreads = 1 });
        using (DecoderModel model = Load(golden, processor, null)) Assert.Equal(ElementType.Float32, model.KvCacheShape.ElementType);
        using CudaBackend gpu = OpenGpu();
        using (DecoderModel model = Load(golden, gpu, null)) Assert.Equal(type, model.KvCacheShape.ElementType);
    }

    [Fact]
    public void A_model_that_does_not_fit_is_refused_with_the_numbers()
    {
        using CudaBackend backend = OpenGpu();
        using var folder = new TemporaryFolder();
        if (!TinyLlama.TryWriteTooLarge(folder)) Assert.Skip("this file system has no sparse files of this size");
        InsufficientMemoryException exception = Assert.Throws<InsufficientMemoryException>(
            () => DecoderModel.Load(folder.Path, backend, ct: TestContext.Current.CancellationToken));
        Assert.Contains("MiB are available", exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("llama", ElementType.Float32)]
    [InlineData("llama-bf16-sharded", ElementType.BFloat16)]
    [InlineData("llama-fp16", ElementType.Float16)]
    [InlineData("qwen3", ElementType.BFloat16)]
    public void Two_gpus_yield_the_logits_of_transformers_within_the_bound(string name, ElementType type)
    {
        if (CudaEnvironment.Probe().Devices.Count < 2) Assert.Skip("There are no two GPUs.");
        if (NcclRankGroup.Version is null) Assert.Skip(NcclRankGroup.MissingLibrary);
        using var golden = new GoldenModel(name);
        float[][][] found = ThreadGroup.Run(2, control =>
        {
            using var backend = new CudaBackend(new CudaOptions { DeviceIndex = control.Rank });
            using var group = new NcclRankGroup(backend, control);
            using DecoderModel model = DecoderModel.Load(golden.Folder, backend, new DecoderOptions { ComputeType = type, Group = group });
            float[][] logits = [.. Enumerable.Range(0, golden.NumSequences).Select(s => GoldenModel.Run(model, golden.TokenIds(s), pieceLength: 7))];
            group.Min(0);
            return logits;
        });
        for (int s = 0; s < golden.NumSequences; s++)
        {
            Assert.Equal(found[0][s], found[1][s]);
            if (type == ElementType.Float32) Tolerance.AssertClose(golden.Logits(s), found[0][s], Tolerance.GoldenLogit);
            else Tolerance.AssertRelative(golden.Logits(s), found[0][s], Tolerance.RoundedLogits(type, numLayers: 2));
        }
    }

    private static void AssertRounded(string name, IComputeBackend backend, ElementType type)
    {
        using var golden = new GoldenModel(name);
        using DecoderModel model = Load(golden, backend, type);
        double bound = Tolerance.RoundedLogits(type, model.Configuration.NumLayers);
        for (int s = 0; s < golden.NumSequences; s++)
        {
            int[] ids = golden.TokenIds(s);
            foreach (int pieceLength in new[] { ids.Length, 7 })
                Tolerance.AssertRelative(golden.Logits(s), GoldenModel.Run(model, ids, pieceLength), bound);
        }
    }

    private static DecoderModel Load(GoldenModel golden, IComputeBackend backend, ElementType? type) =>
        DecoderModel.Load(golden.Folder, backend, new DecoderOptions { ComputeType = type }, ct: TestContext.Current.CancellationToken);

    /// <summary>A backend; skips the test where there can be none.</summary>
    private static CudaBackend OpenGpu()
    {
        IReadOnlyList<string> missing = CudaEnvironment.Probe().Missing;
        if (missing.Count > 0) Assert.Skip($"CUDA cannot be used: {string.Join("; ", missing)}.");
        if (CudaEnvironment.MatrixLibraryVersion is null) Assert.Skip(CudaEnvironment.MissingMatrixLibrary);
        return new CudaBackend();
    }
}
