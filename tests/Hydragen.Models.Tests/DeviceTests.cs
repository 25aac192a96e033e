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
        RequireTwoGpus();
        using var golden = new GoldenModel(name);
        float[][][] found = RunOnTwoGpus((backend, group) =>
        {
            using DecoderModel model = DecoderModel.Load(golden.Folder, backend, new DecoderOptions { ComputeType = type, Group = group });
            return (float[][])[.. Enumerable.Range(0, golden.NumSequences).Select(s => GoldenModel.Run(model, golden.TokenIds(s), pieceLength: 7))];
        });
        for (int s = 0; s < golden.NumSequences; s++)
        {
            Assert.Equal(found[0][s], found[1][s]);
            if (type == ElementType.Float32) Tolerance.AssertClose(golden.Logits(s), found[0][s], Tolerance.GoldenLogit);
            else Tolerance.AssertRelative(golden.Logits(s), found[0][s], Tolerance.RoundedLogits(type, numLayers: 2));
        }
    }

    [Theory]
    [InlineData(ElementType.Float32)]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Float16)]
    public void Two_gpus_add_up_to_equal_bits_within_one_rounding(ElementType type)
    {
        RequireTwoGpus();
        // Those that are no multiple of 8, and the last, are too odd or too long to be added up in each other's memory.
        int[] lengths = [8, 4096, 5120, 3, 1024, 37 * 5120, 512 * 5120, 40, 100_003, (33 << 20) / type.SizeInBytes()];
        float[][][] addends = [.. Enumerable.Range(0, 2).Select(rank => lengths.Select((length, i) => Addends(rank, i, length, type)).ToArray())];
        float[][][] sums = RunOnTwoGpus((backend, group) => lengths.Select((length, i) =>
        {
            using DeviceBuffer buffer = backend.Allocate(type, length);
            buffer.Upload(addends[group.Rank][i]);
            group.AllReduce(buffer, length);
            var sum = new float[length];
            buffer.Download(sum);
            return sum;
        }).ToArray());
        double rounding = type switch { ElementType.Float32 => Math.Pow(2, -24), ElementType.Float16 => Math.Pow(2, -11), _ => Math.Pow(2, -8) } * 1.001;
        for (int i = 0; i < lengths.Length; i++)
        {
            Assert.True(sums[0][i].AsSpan().SequenceEqual(sums[1][i]), $"The ranks differ in the sums of {lengths[i]} numbers.");
            for (int k = 0; k < lengths[i]; k++)
            {
                double exact = (double)addends[0][i][k] + addends[1][i][k];
                if (!(Math.Abs(sums[0][i][k] - exact) <= rounding * Math.Abs(exact) + 1e-8)) Assert.Fail($"{exact} is {sums[0][i][k]} at {k} of {lengths[i]}.");
            }
        }
    }

    [Theory]
    [InlineData(ElementType.Float32, ElementType.Float32, 5120)]
    [InlineData(ElementType.BFloat16, ElementType.BFloat16, 5120)]
    [InlineData(ElementType.Float16, ElementType.Float16, 1000)]
    [InlineData(ElementType.BFloat16, ElementType.Float32, 45)]
    public void Two_gpus_normalise_sums_as_one_normalises_what_they_add_up_to(ElementType type, ElementType output, int hiddenSize)
    {
        RequireTwoGpus();
        const float Scale = 0.75f, Epsilon = 1e-5f;
        int[] rowCounts = [1, 7, 600, 2];
        (float[] Residual, float[] Output, float[] OtherResidual, float[] OtherOutput)[][] found = RunOnTwoGpus((backend, group) => rowCounts.Select((numRows, i) =>
        {
            int length = numRows * hiddenSize;
            using DeviceBuffer delta = backend.Allocate(type, length), residual = backend.Allocate(ElementType.Float32, length);
            using DeviceBuffer weight = backend.Allocate(ElementType.Float32, hiddenSize), normed = backend.Allocate(output, length);
            weight.Upload(Addends(2, i, hiddenSize, ElementType.Float32));
            float[][] results = [new float[length], new float[length], new float[length], new float[length]];
            for (int way = 0; way < 2; way++)
            {
                delta.Upload(Addends(group.Rank + 4, i, length, type));
                residual.Upload(Addends(3, i, length, ElementType.Float32));
                if (way == 0) group.AddRmsNorm(backend, residual, delta, Scale, numRows, weight, Epsilon, normed);
                else
                {
                    group.AllReduce(delta, length);
                    backend.AddRmsNorm(residual, delta, Scale, numRows, weight, Epsilon, normed);
                }
                residual.Download(results[2 * way]);
                normed.Download(results[2 * way + 1]);
            }
            return (results[0], results[1], results[2], results[3]);
        }).ToArray());
        double rounding = output switch { ElementType.Float32 => Math.Pow(2, -20), ElementType.Float16 => Math.Pow(2, -10), _ => Math.Pow(2, -7) };
        for (int i = 0; i < rowCounts.Length; i++)
        {
            Assert.Equal(found[0][i].Residual, found[1][i].Residual);
            Assert.Equal(found[0][i].Output, found[1][i].Output);
            Assert.Equal(found[0][i].OtherResidual, found[0][i].Residual);
            for (int k = 0; k < found[0][i].Output.Length; k++)
            {
                float expected = found[0][i].OtherOutput[k];
                Assert.InRange(found[0][i].Output[k], expected - rounding * Math.Abs(expected) - 1e-7, expected + rounding * Math.Abs(expected) + 1e-7);
            }
        }
    }

    /// <summary>Numbers that a rank has, rounded to a type; without NaN.</summary>
    private static float[] Addends(int rank, int seed, int length, ElementType type)
    {
        var random = new Random(1000 * rank + seed);
        var numbers = new float[length];
        for (int i = 0; i < length; i++)
        {
            float number = (random.NextSingle() - 0.5f) * 8;
            numbers[i] = type switch
            {
                ElementType.BFloat16 => BFloat16Bits.ToSingle(BFloat16Bits.FromSingle(number)),
                ElementType.Float16 => (float)(Half)number,
                _ => number,
            };
        }
        return numbers;
    }

    private static void RequireTwoGpus()
    {
        if (CudaEnvironment.Probe().Devices.Count < 2) Assert.Skip("There are no two GPUs.");
        if (NcclRankGroup.Version is null) Assert.Skip(NcclRankGroup.MissingLibrary);
    }

    private static T[] RunOnTwoGpus<T>(Func<CudaBackend, IRankGroup, T> run) => ThreadGroup.Run(2, control =>
    {
        using var backend = new CudaBackend(new CudaOptions { DeviceIndex = control.Rank });
        using var group = new NcclRankGroup(backend, control);
        T result = run(backend, group);
        group.Min(0);
        return result;
    });

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
