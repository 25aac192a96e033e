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
            OperatorConformance.Linear(backend, numRows: 1 + size % 7, outputSize: size, inputSize: 71 - size, type, ElementType.Float32, ElementType.Float32, hasBias: size % 2 == 0);
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Sizes_around_every_tile_agree_with_a_sum_in_FP64(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (int numRows in (int[])[1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 95, 96, 97])
            OperatorConformance.Linear(backend, numRows, 65, 33, ElementType.Float32, ElementType.Float32, ElementType.Float32, hasBias: true);
        foreach (int inputSize in (int[])[255, 256, 257, 511, 512, 513, 1000])
        {
            OperatorConformance.Linear(backend, 7, 48, inputSize, ElementType.BFloat16, ElementType.Float32, ElementType.Float32, hasBias: false);
            OperatorConformance.Linear(backend, 7, 48, inputSize, ElementType.BFloat16, ElementType.BFloat16, ElementType.Float32, hasBias: false);
        }
        foreach (int inputSize in (int[])[127, 128, 129, 384])
            OperatorConformance.Linear(backend, 7, 80, inputSize, ElementType.Float32, ElementType.Float32, ElementType.Float32, hasBias: false);
        foreach (int numRows in (int[])[1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 95, 96, 97])
            OperatorConformance.Linear(backend, numRows, 65, 33, ElementType.BFloat16, ElementType.BFloat16, ElementType.BFloat16, hasBias: true);
        foreach (int outputSize in (int[])[63, 64, 65, 127, 128, 129, 200])
            OperatorConformance.Linear(backend, 3, outputSize, 40, ElementType.Float16, ElementType.Float32, ElementType.Float32, hasBias: true);
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Every_combination_of_element_types_agrees_with_a_sum_in_FP64(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        foreach (ElementType weights in ElementTypes.Dense)
        {
            foreach (ElementType input in ElementTypes.Dense)
            {
                foreach (ElementType output in ElementTypes.Dense) OperatorConformance.Linear(backend, 9, 37, 50, weights, input, output, hasBias: true);
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
        foreach (ElementType type in ElementTypes.Dense)
        {
            float[] all = OperatorConformance.Multiply(three, matrix, rows, 13, type, ElementType.Float32);
            for (int row = 0; row < 13; row++)
            {
                float[] alone = OperatorConformance.Multiply(one, matrix, rows[(row * 300)..((row + 1) * 300)], 1, type, ElementType.Float32);
                Assert.Equal(alone, all[(row * 150)..((row + 1) * 150)]);
            }
        }
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Logits_gather_rows_scale_and_cap(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        OperatorConformance.Logits(backend);
    }

    [Theory]
    [ClassData(typeof(InstructionSets))]
    public void Embeddings_are_the_stored_rows_times_the_scale(string instructionSet)
    {
        using CpuBackend backend = InstructionSets.Backend(instructionSet);
        OperatorConformance.Embeddings(backend);
    }

    [Fact]
    public void Draws_fall_where_the_sums_of_weights_say()
    {
        using var backend = new CpuBackend(new CpuOptions { NumThreads = 1 });
        TokenConformance.Sample(backend);
    }

    [Fact]
    public void The_largest_number_of_a_row_is_found()
    {
        using var backend = new CpuBackend(new CpuOptions { NumThreads = 1 });
        TokenConformance.Greedy(backend);
    }

    [Fact]
    public void Ranks_keep_the_lowest_of_equal_tokens()
    {
        using var backend = new CpuBackend(new CpuOptions { NumThreads = 1 });
        TokenConformance.Ranks(backend);
    }

    [Fact]
    public void Log_probabilities_are_those_of_the_model()
    {
        using var backend = new CpuBackend(new CpuOptions { NumThreads = 1 });
        TokenConformance.LogProbabilities(backend);
    }

    [Fact]
    public void Chosen_tokens_can_be_looked_up_before_anybody_has_seen_them()
    {
        using var backend = new CpuBackend(new CpuOptions { NumThreads = 1 });
        TokenConformance.ChosenEmbeddings(backend);
    }
}
