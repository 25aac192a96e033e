using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

/// <summary>Products with INT8 weights: exact in integers, the same bits everywhere, bounded by the two roundings to INT8.</summary>
public sealed class Int8LinearTests
{
    private static readonly ElementType[] Types = [.. ElementTypes.Dense];

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Every_size_up_to_257_gives_the_exact_integer_product_times_the_scales(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        for (int size = 1; size <= 257; size++) Verify(backend, 1 + size % 13, outputSize: size % 83 + 1, inputSize: size, Types[size % 3], Types[size / 3 % 3], size % 2 == 0);
        foreach (int outputSize in (int[])[255, 256, 257]) Verify(backend, 2, outputSize, 65, ElementType.BFloat16, ElementType.Float32, true);
        foreach (int numRows in (int[])[95, 96, 97, 193]) Verify(backend, numRows, 33, 130, ElementType.Float32, ElementType.Float32, false);
        foreach (int inputSize in (int[])[511, 512, 513, 1100]) Verify(backend, 8, 70, inputSize, ElementType.BFloat16, ElementType.BFloat16, false);
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void The_error_against_FP64_stays_within_the_roundings_to_INT8(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        var random = new Random(4);
        foreach (int inputSize in (int[])[1, 7, 64, 1000])
        {
            const int numRows = 5, outputSize = 40;
            var matrix = new TestMatrix(random, outputSize, inputSize, ElementType.Float32, true);
            float[] rows = RandomTensors.Normal(random, numRows * inputSize, 0.3f);
            float[] actual = Multiply(backend, matrix, rows, numRows, ElementType.Float32);
            for (int i = 0; i < actual.Length; i++)
            {
                ReadOnlySpan<float> row = rows.AsSpan(i / outputSize * inputSize, inputSize);
                ReadOnlySpan<float> weights = matrix.Weights.AsSpan(i % outputSize * inputSize, inputSize);
                (double expected, double tolerance) = matrix.Dot(row, i % outputSize);
                Assert.Equal(expected, actual[i], tolerance + Tolerance.Int8Product(row, weights));
            }
        }
    }

    [Fact]
    public void All_instruction_sets_give_the_same_bits_whatever_the_batch_and_the_threads()
    {
        var random = new Random(5);
        foreach (ElementType type in Types)
        {
            foreach (int inputSize in (int[])[37, 300, 1030])
            {
                const int numRows = 101, outputSize = 150;
                var matrix = new TestMatrix(random, outputSize, inputSize, ElementType.BFloat16, true);
                float[] rows = RandomTensors.Round(RandomTensors.Normal(random, numRows * inputSize), type);
                float[]? first = null;
                foreach (string name in InstructionSets.Names)
                {
                    using CpuBackend one = InstructionSets.Backend(name, 1), three = InstructionSets.Backend(name, 3);
                    float[] all = Multiply(three, matrix, rows, numRows, type);
                    first ??= all;
                    Assert.Equal(first, all);
                    foreach ((int start, int count) in ((int, int)[])[(0, 1), (100, 1), (50, 2), (3, 4), (17, 7), (1, 98)])
                    {
                        float[] some = Multiply(one, matrix, rows[(start * inputSize)..((start + count) * inputSize)], count, type);
                        Assert.Equal(first[(start * outputSize)..((start + count) * outputSize)], some);
                    }
                }
            }
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void A_row_that_is_not_finite_yields_NaN_in_its_whole_row_and_nowhere_else(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        var random = new Random(6);
        foreach (ElementType type in Types)
        {
            foreach (int inputSize in (int[])[1, 16, 33, 130])
            {
                const int numRows = 8, outputSize = 21;
                var matrix = new TestMatrix(random, outputSize, inputSize, ElementType.BFloat16, true);
                float[] rows = RandomTensors.Round(RandomTensors.Normal(random, numRows * inputSize), type);
                float[] expected = Multiply(backend, matrix, rows, numRows, type);
                rows[1 * inputSize + inputSize - 1] = float.NaN;
                rows[4 * inputSize] = float.PositiveInfinity;
                rows[6 * inputSize + inputSize / 2] = float.NegativeInfinity;
                float[] actual = Multiply(backend, matrix, rows, numRows, type);
                for (int i = 0; i < actual.Length; i++)
                    Assert.Equal(i / outputSize is 1 or 4 or 6 ? float.NaN : expected[i], actual[i]);
            }
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Rows_and_channels_of_zeros_give_the_bias(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        var matrix = new TestMatrix(new Random(7), 20, 50, ElementType.Float32, true);
        matrix.Weights.AsSpan(3 * 50, 50).Clear();
        float[] bias = matrix.Bias.ToArray();
        var rows = new float[2 * 50];
        rows.AsSpan(50).Fill(1);
        float[] actual = Multiply(backend, matrix, rows, 2, ElementType.Float32);
        Assert.Equal(bias, actual[..20]);
        Assert.Equal(bias[3], actual[20 + 3]);
        Assert.NotEqual(bias[4], actual[20 + 4]);
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Absurd_magnitudes_keep_their_scale(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        var matrix = new TestMatrix(new Random(8), 17, 70, ElementType.Float32, false);
        float[] row = RandomTensors.Normal(new Random(9), 70);
        float[] plain = Multiply(backend, matrix, row, 1, ElementType.Float32);
        // Powers of two change nothing but the exponent, up to where products leave the range of FP32.
        foreach (int exponent in (int[])[-95, -60, 60, 120])
        {
            float factor = MathF.ScaleB(1, exponent);
            Assert.Equal(plain.Select(value => value * factor), Multiply(backend, matrix, [.. row.Select(value => value * factor)], 1, ElementType.Float32));
        }
        // Below 2^−100 a row counts as zeros, whether normal or subnormal.
        foreach (float tiny in (float[])[MathF.ScaleB(1, -101), 1e-38f, float.Epsilon])
            Assert.All(Multiply(backend, matrix, [.. Enumerable.Repeat(tiny, 70)], 1, ElementType.Float32), value => Assert.Equal(0, value));
        // The largest finite number neither becomes infinite on the way nor loses its row.
        var largest = new float[70];
        largest[5] = float.MaxValue;
        float[] column = Multiply(backend, new TestMatrix(new Random(8), 17, 70, ElementType.BFloat16, false), largest, 1, ElementType.Float32);
        Assert.All(column, value => Assert.False(float.IsNaN(value)));
        float[] small = [.. matrix.Weights.Select(value => value * 1e-30f)];
        small.CopyTo(matrix.Weights, 0);
        Assert.All(Multiply(backend, matrix, largest, 1, ElementType.Float32), value => Assert.InRange(Math.Abs(value), 0, 1e10f));
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void A_channel_that_is_not_finite_yields_NaN_for_itself(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        var matrix = new TestMatrix(new Random(10), 20, 50, ElementType.Float32, false);
        matrix.Weights[7 * 50 + 49] = float.NaN;
        float[] actual = Multiply(backend, matrix, RandomTensors.Normal(new Random(11), 3 * 50), 3, ElementType.Float32);
        for (int i = 0; i < actual.Length; i++) Assert.Equal(i % 20 == 7, float.IsNaN(actual[i]));
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Logits_gather_rows_scale_and_cap(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        VerifyLogits(backend);
    }

    [Fact]
    public void Weights_take_a_byte_each_and_look_ups_and_long_rows_are_refused()
    {
        using CpuBackend backend = new();
        using PackedMatrix stored = backend.PackMatrix(new TestMatrix(new Random(1), 64, 128, ElementType.BFloat16, false));
        using PackedMatrix packed = backend.PackMatrix(new TestMatrix(new Random(1), 64, 128, ElementType.BFloat16, false), WeightType.Int8);
        Assert.Equal(64 * 128 * 2, stored.SizeInBytes);
        Assert.Equal(64 * 128 + 64 * (sizeof(float) + sizeof(int)), packed.SizeInBytes);
        using DeviceBuffer output = backend.Allocate(ElementType.Float32, 128);
        ArgumentException refused = Assert.Throws<ArgumentException>(() => backend.EmbeddingLookup(packed, [1], 1, output));
        Assert.Contains("int8", refused.Message, StringComparison.Ordinal);
        refused = Assert.Throws<ArgumentException>(() => backend.PackMatrix(new TestMatrix(new Random(1), 1, 133_145, ElementType.BFloat16, false), WeightType.Int8));
        Assert.Contains("133144", refused.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => backend.PackMatrix(new TestMatrix(new Random(1), 1, 1, ElementType.BFloat16, false), (WeightType)7));
    }

    [Fact]
    public void A_matrix_is_read_by_every_instruction_set()
    {
        using CpuBackend packer = InstructionSets.Backend(InstructionSets.Names.First());
        var random = new Random(12);
        using PackedMatrix matrix = packer.PackMatrix(new TestMatrix(random, 40, 90, ElementType.BFloat16, true), WeightType.Int8);
        float[] rows = RandomTensors.Normal(random, 3 * 90);
        float[] expected = Multiply(packer, matrix, rows, 3, ElementType.Float32, ElementType.Float32);
        foreach (string name in InstructionSets.Names)
        {
            using CpuBackend backend = InstructionSets.Backend(name);
            Assert.Equal(expected, Multiply(backend, matrix, rows, 3, ElementType.Float32, ElementType.Float32));
        }
    }

    internal static void Verify(CpuBackend backend, int numRows, int outputSize, int inputSize, ElementType weights, ElementType input, bool hasBias)
    {
        var random = new Random(numRows * 1000 + outputSize + inputSize);
        var matrix = new TestMatrix(random, outputSize, inputSize, weights, hasBias);
        float[] rows = RandomTensors.Round(RandomTensors.Normal(random, numRows * inputSize), input);
        float[] bias = matrix.Bias.ToArray();
        foreach (ElementType output in Types)
        {
            using PackedMatrix packed = backend.PackMatrix(matrix, WeightType.Int8);
            float[] actual = Multiply(backend, packed, rows, numRows, input, output);
            for (int row = 0; row < numRows; row++)
            {
                (int[] levels, float scale) = Quantize(rows.AsSpan(row * inputSize, inputSize));
                for (int channel = 0; channel < outputSize; channel++)
                {
                    (int[] weightLevels, float weightScale) = Quantize(matrix.Weights.AsSpan(channel * inputSize, inputSize));
                    int sum = 0;
                    for (int k = 0; k < inputSize; k++) sum += levels[k] * weightLevels[k];
                    float expected = sum * (scale * weightScale);
                    if (hasBias) expected += bias[channel];
                    Assert.Equal(RandomTensors.Round(expected, output), actual[row * outputSize + channel]);
                }
            }
        }
    }

    internal static void VerifyLogits(CpuBackend backend)
    {
        var random = new Random(2);
        foreach (float? cap in (float?[])[null, 7f])
        {
            var matrix = new TestMatrix(random, 131, 48, ElementType.BFloat16, false);
            float[] hidden = RandomTensors.Normal(random, 10 * 48);
            int[] rows = [9, 0, 3, 3];
            using PackedMatrix packed = backend.PackMatrix(matrix, WeightType.Int8);
            using DeviceBuffer input = backend.Allocate(ElementType.Float32, hidden.Length), output = backend.Allocate(ElementType.Float32, rows.Length * 131);
            input.Upload(hidden);
            backend.Logits(input, rows, packed, 0.5f, cap, output);
            var logits = new float[rows.Length * 131];
            output.Download(logits);
            float[] products = Multiply(backend, packed, hidden, 10, ElementType.Float32, ElementType.Float32);
            for (int i = 0; i < logits.Length; i++)
            {
                double expected = products[rows[i / 131] * 131 + i % 131] * 0.5;
                if (cap is not null) expected = cap.Value * Math.Tanh(expected / cap.Value);
                Assert.Equal(expected, logits[i], Tolerance.Elementwise * (1 + Math.Abs(expected)));
            }
        }
    }

    /// <summary>The definition: symmetric, to nearest, ties to even.</summary>
    private static (int[] Levels, float Scale) Quantize(ReadOnlySpan<float> row)
    {
        float largest = 0;
        foreach (float value in row) largest = Math.Max(largest, Math.Abs(value));
        float factor = 127 / largest;
        var levels = new int[row.Length];
        for (int i = 0; i < levels.Length; i++) levels[i] = (int)MathF.Round(row[i] * factor, MidpointRounding.ToEven);
        return (levels, largest / 127);
    }

    private static float[] Multiply(CpuBackend backend, TestMatrix matrix, float[] rows, int numRows, ElementType inputType)
    {
        using PackedMatrix packed = backend.PackMatrix(matrix, WeightType.Int8);
        return Multiply(backend, packed, rows, numRows, inputType, ElementType.Float32);
    }

    private static float[] Multiply(CpuBackend backend, PackedMatrix packed, float[] rows, int numRows, ElementType inputType, ElementType outputType)
    {
        using DeviceBuffer input = backend.Allocate(inputType, rows.Length), output = backend.Allocate(outputType, numRows * packed.OutputSize);
        input.Upload(rows);
        backend.Linear(input, numRows, packed, output);
        var result = new float[numRows * packed.OutputSize];
        output.Download(result);
        return result;
    }
}
