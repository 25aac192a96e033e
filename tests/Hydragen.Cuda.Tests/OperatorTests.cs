using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cuda.Tests;

/// <summary>The operators of a model on the GPU, against FP64.</summary>
[Collection(nameof(ConformanceTests))]
public sealed class OperatorTests
{
    // One element, less and more than a vector, less and more than a warp, a block, and all threads that a block can have.
    private static readonly int[] Sizes = [1, 7, 8, 9, 31, 33, 40, 64, 70, 257, 768, 1025, 5120, 8200];

    private static readonly ElementType[] Types = [.. ElementTypes.Dense];

    [Fact]
    public void Norms_agree_with_FP64()
    {
        using CudaBackend backend = Gpu.OpenForModels();
        Gpu.Compile(Sizes.SelectMany(size => (KernelVariant[])
        [
            OperatorVariants.Norm((ElementType)(size % 3), (ElementType)(size / 3 % 3), false, size),
            OperatorVariants.Norm((ElementType)(size % 3), (ElementType)(size / 3 % 3), true, size),
        ]));
        foreach (int size in Sizes) OperatorConformance.Norms(backend, size);
    }

    [Fact]
    public void A_norm_in_place_gives_the_same_bits()
    {
        using CudaBackend backend = Gpu.OpenForModels();
        float[] input = RandomTensors.Normal(new Random(1), 3 * 1600), weight = RandomTensors.Normal(new Random(2), 1600, 1);
        using DeviceBuffer inputs = backend.Allocate(ElementType.BFloat16, input.Length), weights = backend.Allocate(ElementType.Float32, weight.Length);
        using DeviceBuffer outputs = backend.Allocate(ElementType.BFloat16, input.Length);
        inputs.Upload(input);
        weights.Upload(weight);
        backend.RmsNorm(inputs, 3, weights, 1e-6f, outputs);
        backend.RmsNorm(inputs, 3, weights, 1e-6f, inputs);
        float[] apart = new float[input.Length], inPlace = new float[input.Length];
        outputs.Download(apart);
        inputs.Download(inPlace);
        Assert.Equal(apart, inPlace);
    }

    [Fact]
    public void Gated_activations_agree_with_FP64()
    {
        using CudaBackend backend = Gpu.OpenForModels();
        ActivationKind[] kinds = Enum.GetValues<ActivationKind>();
        Gpu.Compile(Sizes.SelectMany(size => kinds.Select(kind => OperatorVariants.Activation((ElementType)(size % 3), (ElementType)(size / 3 % 3), kind, size))));
        foreach (ActivationKind kind in kinds)
        {
            foreach (int size in Sizes) OperatorConformance.Activation(backend, size, kind);
        }
        OperatorConformance.ExtremeActivations(backend);
    }

    [Fact]
    public void Queries_and_keys_are_normalised_rotated_and_stored()
    {
        using CudaBackend backend = Gpu.OpenForModels();
        Gpu.Compile(OperatorConformance.RotaryCases.SelectMany(c => ((ElementType[])[c.CacheType, c.PrefixType ?? c.CacheType]).Select(
            type => OperatorVariants.RotaryAppend(c.HeadDim, type, c.Type, c.Type, c.HasNorm, c.RotaryDim > 0))));
        foreach (RotaryCase c in OperatorConformance.RotaryCases)
        {
            var read = new PageReader();
            OperatorConformance.RotaryAppend(backend, read.Element, c);
        }
    }

    [Theory]
    [InlineData(ElementType.Int8)]
    [InlineData(ElementType.Float8E4M3)]
    [InlineData(ElementType.Float8E5M2)]
    public void What_a_step_appends_to_bytes_is_what_is_written(ElementType type)
    {
        using CudaBackend backend = Gpu.OpenForModels();
        foreach (int headDim in (int[])[8, 24, 64, 128, 200, 256])
        {
            var shape = new AttentionShape(6, 3, headDim);
            int[] slots = [130, 2, 63, 64, 65, 17, 0];
            int rowSize = 12 * headDim, tokenSize = 3 * headDim;
            float[] rows = RandomTensors.Normal(new Random(headDim), slots.Length * rowSize, 0, 100);
            // Beyond what FP8 holds, subnormal, zeros, and a NaN.
            rows.AsSpan(6 * headDim, headDim).Fill(1e9f);
            rows.AsSpan(7 * headDim, headDim).Fill(1e-5f);
            rows.AsSpan(8 * headDim, headDim).Clear();
            rows[9 * headDim] = float.NaN;
            using DeviceBuffer input = backend.Allocate(ElementType.Float32, rows.Length), query = backend.Allocate(ElementType.BFloat16, slots.Length * 6 * headDim);
            input.Upload(rows);
            using KvCache appended = backend.CreateKvCache(new KvCacheShape(1, 3, headDim, type), 3), written = backend.CreateKvCache(appended.Shape, 3);
            if (type.IsFloat8())
            {
                KvScale[] scales = [new(16, 2), KvScale.One, new(1, 1 << 20)];
                appended.SetScales(PageKind.Suffix, scales);
                written.SetScales(PageKind.Suffix, scales);
            }
            backend.RotaryAppend(input, shape, null, null, slots, slots, appended, 0, query);
            float[] Part(int first) => [.. Enumerable.Range(0, slots.Length).SelectMany(row => rows.AsSpan(row * rowSize + first * headDim, tokenSize).ToArray())];
            written.Write(0, slots, Part(6), Part(9));
            for (int page = 0; page < 3; page++) Assert.Equal(Bytes(written, page), Bytes(appended, page));
        }

        static byte[] Bytes(KvCache cache, int page)
        {
            var bytes = new byte[cache.BytesPerPage];
            using var device = new CudaDevice(0);
            device.Download<byte>(bytes, ((CudaKvCache)cache).PageAddress(page));
            return bytes;
        }
    }

    [Fact]
    public void Every_small_size_agrees_with_a_sum_in_FP64()
    {
        using CudaBackend backend = Gpu.OpenForModels();
        for (int size = 1; size <= 70; size++)
        {
            var type = (ElementType)(size % 3);
            OperatorConformance.Linear(backend, 1 + size % 7, size, 71 - size, type, ElementType.Float32, ElementType.Float32, hasBias: size % 2 == 0);
        }
    }

    [Fact]
    public void Every_combination_of_element_types_agrees_with_a_sum_in_FP64()
    {
        using CudaBackend backend = Gpu.OpenForModels();
        foreach (ElementType weights in Types)
        {
            foreach (ElementType input in Types)
            {
                foreach (ElementType output in Types)
                {
                    foreach ((int outputSize, int inputSize) in ((int, int)[])[(37, 50), (64, 96)])
                    {
                        OperatorConformance.Linear(backend, 9, outputSize, inputSize, weights, input, output, hasBias: true);
                        OperatorConformance.Linear(backend, 9, outputSize, inputSize, weights, input, output, hasBias: true, isBiasStored: true);
                        OperatorConformance.Linear(backend, 70, outputSize, inputSize, weights, input, output, hasBias: false);
                    }
                }
            }
        }
    }

    [Theory]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Float16)]
    [InlineData(ElementType.Float32)]
    public void Products_whose_algorithm_is_searched_for_agree_with_a_sum_in_FP64(ElementType type)
    {
        using CudaBackend backend = Gpu.OpenForModels();
        bool truncates = type != ElementType.Float32;
        foreach (int numRows in (int[])[1, 2, 3, 65, 200])
            OperatorConformance.Linear(backend, numRows, 512, 1280, type, type, type, hasBias: true, isBiasStored: true, truncates);
        OperatorConformance.Linear(backend, 130, 1000, 1032, type, ElementType.Float32, ElementType.Float32, hasBias: false, truncates: truncates);
    }

    [Fact]
    public void A_chosen_algorithm_is_kept_and_gives_the_same_bits_later()
    {
        Gpu.OpenForModels().Dispose();
        string folder = Path.Combine(Path.GetTempPath(), $"hydragen-kernels-{Guid.NewGuid():N}");
        try
        {
            var matrix = new TestMatrix(new Random(1), 1024, 1024, ElementType.BFloat16, false);
            float[] rows = RandomTensors.Round(RandomTensors.Normal(new Random(2), 100 * 1024), ElementType.BFloat16);
            float[] Multiply()
            {
                using var backend = new CudaBackend(new CudaOptions { KernelCacheFolder = folder });
                return OperatorConformance.Multiply(backend, matrix, rows, 100, ElementType.BFloat16, ElementType.Float32);
            }
            float[] first = Multiply();
            string file = Assert.Single(Directory.GetFiles(folder, "*.matmul"));
            Assert.Equal(first, Multiply());
            // A file that was cut off is replaced.
            byte[] kept = File.ReadAllBytes(file);
            File.WriteAllBytes(file, kept[..5]);
            Multiply();
            Assert.Equal(kept.Length, File.ReadAllBytes(file).Length);
        }
        finally
        {
            if (Directory.Exists(folder)) Directory.Delete(folder, recursive: true);
        }
    }

    [Theory]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Float16)]
    public void Inputs_of_any_size_meet_16_bit_weights_without_rounding(ElementType type)
    {
        using CudaBackend backend = Gpu.OpenForModels();
        // One weight a row: the product is the input itself, to the last bit that FP32 sums of its pieces keep.
        var matrix = new TestMatrix(new Random(1), 8, 8, type, false);
        Array.Clear(matrix.Weights);
        for (int i = 0; i < 8; i++) matrix.Weights[9 * i] = 1;
        float[] input = [1 / 3f, -1e-3f, 12345.678f, 0, 1e-8f, -98765.43f, 6.1e4f, 7e-30f, 1 / 7e20f, 2 / 3e20f, -1e-22f, 0, 5e-21f, 1, -1, 3e20f];
        float[] found = OperatorConformance.Multiply(backend, matrix, input, 2, ElementType.Float32, ElementType.Float32);
        for (int i = 0; i < input.Length; i++)
        {
            double largest = input.Skip(i / 8 * 8).Take(8).Max(Math.Abs);
            double lost = type == ElementType.Float16 ? largest * Math.Pow(2, -38) : 0;
            Assert.Equal(input[i], found[i], Math.Abs(input[i]) * Math.Pow(2, -23) + lost);
        }
    }

    [Fact]
    public void Logits_gather_rows_scale_and_cap()
    {
        using CudaBackend backend = Gpu.OpenForModels();
        OperatorConformance.Logits(backend);
    }

    [Fact]
    public void Logits_of_consecutive_rows_are_those_of_gathered_rows()
    {
        using CudaBackend backend = Gpu.OpenForModels();
        var matrix = new TestMatrix(new Random(3), 96, 128, ElementType.BFloat16, false);
        using PackedMatrix head = backend.PackMatrix(matrix);
        using DeviceBuffer hidden = backend.Allocate(ElementType.BFloat16, 20 * 128), logits = backend.Allocate(ElementType.Float32, 5 * 96);
        hidden.Upload(RandomTensors.Normal(new Random(4), 20 * 128));
        float[] together = new float[5 * 96], apart = new float[5 * 96];
        backend.Logits(hidden, [3, 4, 5, 6, 7], head, 1, 5, logits);
        logits.Download(together);
        backend.Logits(hidden, [7, 6, 5, 4, 3], head, 1, 5, logits);
        logits.Download(apart);
        for (int row = 0; row < 5; row++) Assert.Equal(together.AsSpan(row * 96, 96), apart.AsSpan((4 - row) * 96, 96));
    }

    [Fact]
    public void Embeddings_are_the_stored_rows_times_the_scale()
    {
        using CudaBackend backend = Gpu.OpenForModels();
        OperatorConformance.Embeddings(backend);
    }

    [Fact]
    public void Draws_fall_where_the_sums_of_weights_say()
    {
        using CudaBackend backend = Gpu.OpenForModels();
        TokenConformance.Sample(backend);
    }

    [Fact]
    public void The_largest_number_of_a_row_is_found()
    {
        using CudaBackend backend = Gpu.OpenForModels();
        TokenConformance.Greedy(backend);
    }

    [Fact]
    public void Ranks_keep_the_lowest_of_equal_tokens()
    {
        using CudaBackend backend = Gpu.OpenForModels();
        TokenConformance.Ranks(backend);
    }

    [Fact]
    public void Log_probabilities_are_those_of_the_model()
    {
        using CudaBackend backend = Gpu.OpenForModels();
        TokenConformance.LogProbabilities(backend);
    }

    [Fact]
    public void Chosen_tokens_can_be_looked_up_before_anybody_has_seen_them()
    {
        using CudaBackend backend = Gpu.OpenForModels();
        TokenConformance.ChosenEmbeddings(backend);
    }

    [Fact]
    public void Arguments_that_do_not_fit_are_refused()
    {
        using CudaBackend backend = Gpu.OpenForModels();
        using DeviceBuffer single = backend.Allocate(ElementType.Float32, 64), half = backend.Allocate(ElementType.BFloat16, 64);
        using DeviceBuffer joint = backend.Allocate(ElementType.Float32, 64), query = backend.Allocate(ElementType.Float32, 64);
        using PackedMatrix matrix = backend.PackMatrix(new TestMatrix(new Random(1), 8, 8, ElementType.Float32, true));
        using KvCache cache = backend.CreateKvCache(new KvCacheShape(1, 1, 8, ElementType.Float32), 1);
        var shape = new AttentionShape(2, 1, 8);
        Assert.Throws<ArgumentOutOfRangeException>(() => backend.EmbeddingLookup(matrix, [8], 1, single));
        Assert.Throws<ArgumentException>(() => backend.EmbeddingLookup(matrix, [0], 1, half));
        Assert.Throws<ArgumentException>(() => backend.RmsNorm(single, 2, single, 1e-5f, half));
        Assert.Throws<ArgumentException>(() => backend.AddRmsNorm(half, half, 1, 1, single, 1e-5f, half));
        Assert.Throws<ArgumentException>(() => backend.Linear(single, 9, matrix, half));
        Assert.Throws<ArgumentException>(() => backend.Linear(single, 1, matrix, single));
        Assert.Throws<ArgumentException>(() => backend.Logits(single, [0], matrix, 1, null, half));
        Assert.Throws<ArgumentOutOfRangeException>(() => backend.Logits(single, [8], matrix, 1, null, joint));
        Assert.Throws<ArgumentOutOfRangeException>(() => backend.Logits(single, [0], matrix, 1, -1, joint));
        Assert.Throws<ArgumentException>(() => backend.GatedActivation(single, 5, 8, ActivationKind.Silu, half));
        Assert.Throws<ArgumentOutOfRangeException>(() => backend.GatedActivation(single, 1, 8, (ActivationKind)9, half));
        Assert.Throws<ArgumentException>(() => backend.RotaryAppend(joint, shape, null, null, [1], [0, 1], cache, 0, query));
        Assert.Throws<ArgumentOutOfRangeException>(() => backend.RotaryAppend(joint, shape, null, null, [-1], [0], cache, 0, query));
        Assert.Throws<ArgumentOutOfRangeException>(() => backend.RotaryAppend(joint, shape, null, null, [1], [64], cache, 0, query));
        Assert.Throws<ArgumentException>(() => backend.RotaryAppend(joint, shape, null, new PlainRotary(10), [1], [0], cache, 0, query));
        Assert.Throws<ArgumentException>(() => backend.PackMatrix(new TestMatrix(new Random(1), 8, 8, ElementType.Float32, false), WeightType.Int8));
        matrix.Dispose();
        Assert.Throws<ObjectDisposedException>(() => backend.Linear(single, 1, matrix, joint));
        backend.Dispose();
        Assert.Throws<ObjectDisposedException>(() => backend.RmsNorm(single, 1, joint, 1e-5f, half));
    }

    [Fact]
    public void Memory_that_is_taken_is_not_free()
    {
        using CudaBackend backend = Gpu.OpenForModels();
        BackendMemory before = backend.Memory;
        using DeviceBuffer buffer = backend.Allocate(ElementType.Float32, 64 << 20);
        Assert.InRange(before.AvailableBytes - backend.Memory.AvailableBytes, 128L << 20, 512L << 20);
        Assert.Equal(backend.Memory.MaxCacheBytes, backend.Memory.DefaultCacheBytes);
    }

    /// <summary>Reads pages as <c>common.cuh</c> describes them.</summary>
    private sealed class PageReader
    {
        private readonly Dictionary<int, byte[]> _pages = [];

        public float Element(KvCache cache, int layer, int kvHead, int slot, int element, bool isValue)
        {
            var pages = (CudaKvCache)cache;
            int page = slot / KvCache.PageSize, row = slot % KvCache.PageSize, headDim = cache.Shape.HeadDim;
            PageKind kind = cache.KindOf(page);
            ElementType type = cache.Shape.TypeOf(kind);
            if (!_pages.TryGetValue(page, out byte[]? bytes))
            {
                bytes = new byte[cache.BytesOf(kind)];
                using var device = new CudaDevice(0);
                device.Download<byte>(bytes, pages.PageAddress(page));
                _pages.Add(page, bytes);
            }
            long image = pages.LayerOffset(layer, kind) + kvHead * pages.HeadBytes(kind) + (isValue ? pages.HeadBytes(kind) / 2 : 0);
            if (type == ElementType.Float32) return BitConverter.ToSingle(bytes, (int)image + (row * headDim + element) * 4);
            int padded = PageLayout.PaddedHeadDim(headDim, type), full = padded / 64 * 64, half = padded % 64 / 32 * 32;
            int start = element < full ? element / 64 * 64 : element < full + half ? full : full + half;
            int width = element < full ? 64 : element < full + half ? 32 : 16;
            int offset = row * width * 2 + (element - start) * 2;
            offset = start * KvCache.PageSize * 2 + (offset ^ (((offset >> 7) & (width / 8 - 1)) << 4));
            return CudaBuffer.FromBits(BitConverter.ToUInt16(bytes, (int)image + offset), type);
        }
    }
}
