using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

public sealed class LinearTests
{
    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Every_small_size_agrees_with_a_sum_in_FP64(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        for (int size = 1; size <= 70; size++)
        {
            var type = (ElementType)(size % 3);
            Verify(backend, numRows: 1 + size % 7, outputSize: size, inputSize: 71 - size, type, ElementType.Float32, ElementType.Float32, hasBias: size % 2 == 0);
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Sizes_around_every_tile_agree_with_a_sum_in_FP64(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (int numRows in (int[])[1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 95, 96, 97])
            Verify(backend, numRows, 65, 33, ElementType.Float32, ElementType.Float32, ElementType.Float32, hasBias: true);
        foreach (int inputSize in (int[])[255, 256, 257, 511, 512, 513, 1000])
        {
            Verify(backend, 7, 48, inputSize, ElementType.BFloat16, ElementType.Float32, ElementType.Float32, hasBias: false);
            Verify(backend, 7, 48, inputSize, ElementType.BFloat16, ElementType.BFloat16, ElementType.Float32, hasBias: false);
        }
        foreach (int inputSize in (int[])[127, 128, 129, 384])
            Verify(backend, 7, 80, inputSize, ElementType.Float32, ElementType.Float32, ElementType.Float32, hasBias: false);
        foreach (int numRows in (int[])[1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 95, 96, 97])
            Verify(backend, numRows, 65, 33, ElementType.BFloat16, ElementType.BFloat16, ElementType.BFloat16, hasBias: true);
        foreach (int outputSize in (int[])[63, 64, 65, 127, 128, 129, 200])
            Verify(backend, 3, outputSize, 40, ElementType.Float16, ElementType.Float32, ElementType.Float32, hasBias: true);
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Every_combination_of_element_types_agrees_with_a_sum_in_FP64(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (ElementType weights in Enum.GetValues<ElementType>())
        {
            foreach (ElementType input in Enum.GetValues<ElementType>())
            {
                foreach (ElementType output in Enum.GetValues<ElementType>()) Verify(backend, 9, 37, 50, weights, input, output, hasBias: true);
            }
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void A_row_does_not_depend_on_the_other_rows_nor_on_the_threads(string instructionSet)
    {
        using CpuBackend one = InstructionSets.Backend(instructionSet, 1), three = InstructionSets.Backend(instructionSet, 3);
        var random = new Random(1);
        var matrix = new TestMatrix(random, 150, 300, ElementType.BFloat16, true);
        float[] rows = RandomTensors.Normal(random, 13 * 300);
        foreach (ElementType type in Enum.GetValues<ElementType>())
        {
            float[] all = Multiply(three, matrix, rows, 13, type, ElementType.Float32);
            for (int row = 0; row < 13; row++)
            {
                float[] alone = Multiply(one, matrix, rows[(row * 300)..((row + 1) * 300)], 1, type, ElementType.Float32);
                Assert.Equal(alone, all[(row * 150)..((row + 1) * 150)]);
            }
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Logits_gather_rows_scale_and_cap(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        VerifyLogits(backend);
    }

    internal static void VerifyLogits(CpuBackend backend)
    {
        var random = new Random(2);
        foreach (ElementType type in Enum.GetValues<ElementType>())
        {
            foreach (float? cap in (float?[])[null, 7f])
            {
                var matrix = new TestMatrix(random, 131, 48, type, false);
                float[] hidden = RandomTensors.Round(RandomTensors.Normal(random, 10 * 48), type);
                int[] rows = [9, 0, 3, 3];
                using PackedMatrix packed = backend.PackMatrix(matrix);
                using DeviceBuffer input = backend.Allocate(type, hidden.Length), output = backend.Allocate(ElementType.Float32, rows.Length * 131);
                input.Upload(hidden);
                backend.Logits(input, rows, packed, 0.5f, cap, output);
                var logits = new float[rows.Length * 131];
                output.Download(logits);
                for (int i = 0; i < logits.Length; i++)
                {
                    (double expected, double tolerance) = matrix.Dot(hidden.AsSpan(rows[i / 131] * 48, 48), i % 131);
                    expected *= 0.5;
                    if (cap is not null) expected = cap.Value * Math.Tanh(expected / cap.Value);
                    Assert.Equal(expected, logits[i], tolerance);
                }
            }
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Embeddings_are_the_stored_rows_times_the_scale(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        VerifyEmbeddings(backend);
    }

    internal static void VerifyEmbeddings(CpuBackend backend)
    {
        var random = new Random(3);
        foreach (ElementType type in Enum.GetValues<ElementType>())
        {
            var matrix = new TestMatrix(random, 77, 39, type, false);
            int[] ids = [76, 0, 15, 16, 17, 76, 33];
            using PackedMatrix packed = backend.PackMatrix(matrix);
            using DeviceBuffer output = backend.Allocate(ElementType.Float32, ids.Length * 39);
            backend.EmbeddingLookup(packed, ids, 3f, output);
            var rows = new float[ids.Length * 39];
            output.Download(rows);
            for (int i = 0; i < rows.Length; i++) Assert.Equal(matrix.Weights[ids[i / 39] * 39 + i % 39] * 3f, rows[i]);
        }
    }

    internal static void Verify(
        CpuBackend backend, int numRows, int outputSize, int inputSize, ElementType weights, ElementType input, ElementType output, bool hasBias)
    {
        var random = new Random(numRows * 1000 + outputSize + inputSize);
        var matrix = new TestMatrix(random, outputSize, inputSize, weights, hasBias);
        float[] rows = RandomTensors.Round(RandomTensors.Normal(random, numRows * inputSize), input);
        float[] actual = Multiply(backend, matrix, rows, numRows, input, output);
        for (int i = 0; i < actual.Length; i++)
        {
            (double expected, double tolerance) = matrix.Dot(rows.AsSpan(i / outputSize * inputSize, inputSize), i % outputSize);
            Assert.Equal(expected, actual[i], tolerance + Tolerance.Rounding(expected, output));
        }
    }

    private static float[] Multiply(CpuBackend backend, TestMatrix matrix, float[] rows, int numRows, ElementType inputType, ElementType outputType)
    {
        using PackedMatrix packed = backend.PackMatrix(matrix);
        using DeviceBuffer input = backend.Allocate(inputType, rows.Length), output = backend.Allocate(outputType, numRows * matrix.OutputSize);
        input.Upload(rows);
        backend.Linear(input, numRows, packed, output);
        var result = new float[numRows * matrix.OutputSize];
        output.Download(result);
        return result;
    }
}
