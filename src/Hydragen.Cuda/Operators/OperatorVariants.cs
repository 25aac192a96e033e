using System.Numerics;
using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>The variants of the kernels that work on rows of activations: what they are compiled for.</summary>
internal static class OperatorVariants
{
    /// <summary>Threads of a block where a row's size does not decide.</summary>
    public const int NumThreads = 256;

    private const int MaxThreads = 1024, VectorLength = 8;

    /// <summary>Looks up rows of a table.</summary>
    public static KernelVariant Embedding(ElementType type, int hiddenSize) =>
        new("embedding_lookup", $"TABLE={(int)type} VECTOR={Vector(hiddenSize)} THREADS={NumThreads}", NumThreads, 0);

    /// <summary>Normalises rows; with a residual stream when <paramref name="adds"/>.</summary>
    public static KernelVariant Norm(ElementType input, ElementType output, bool adds, int hiddenSize)
    {
        int vector = Vector(hiddenSize), numVectors = hiddenSize / vector;
        int numThreads = Math.Min(MaxThreads, (numVectors + 31) / 32 * 32), items = (numVectors + numThreads - 1) / numThreads;
        return new KernelVariant(
            "rms_norm", $"INPUT={(int)input} OUTPUT={(int)output} ADD={(adds ? 1 : 0)} VECTOR={vector} ITEMS={items} THREADS={numThreads}", numThreads, 0);
    }

    /// <summary>Gates rows.</summary>
    public static KernelVariant Activation(ElementType input, ElementType output, ActivationKind activation, int intermediateSize) => new(
        "gated_activation", $"INPUT={(int)input} OUTPUT={(int)output} ACTIVATION={(int)activation} VECTOR={Vector(intermediateSize)} THREADS={NumThreads}",
        NumThreads, 0);

    /// <summary>Blocks for a row of so many results of <see cref="Activation"/>.</summary>
    public static int ActivationBlocks(int intermediateSize) => Blocks(intermediateSize / Vector(intermediateSize));

    /// <summary>Normalises, rotates and stores heads.</summary>
    public static KernelVariant RotaryAppend(int headDim, ElementType storage, ElementType input, ElementType query, bool hasNorm, bool hasRotary) => new(
        "rotary_append",
        $"{AttentionKernels.Defines(headDim, storage)} INPUT={(int)input} QUERY={(int)query} NORM={(hasNorm ? 1 : 0)} ROTARY={(hasRotary ? 1 : 0)} THREADS={NumThreads}",
        NumThreads, 0);

    /// <summary>Heads that a block of <see cref="RotaryAppend"/> has.</summary>
    public static int HeadsPerRotaryBlock(int headDim) => NumThreads / (int)BitOperations.RoundUpToPowerOf2((uint)(headDim / VectorLength));

    /// <summary>Prepares the input of a matrix product.</summary>
    /// <param name="input">Type of the input.</param>
    /// <param name="weights">Type of the weights.</param>
    public static KernelVariant LinearInput(ElementType input, ElementType weights) => new(
        "linear_input",
        $"INPUT={(int)input} OUTPUT={(int)weights} PIECES={Pieces(input, weights)} SCALED={(IsScaled(input, weights) ? 1 : 0)} THREADS={NumThreads}", NumThreads, 0);

    /// <summary>Finishes a matrix product.</summary>
    public static KernelVariant LinearOutput(ElementType output, int pieces) =>
        new("linear_output", $"OUTPUT={(int)output} PIECES={pieces} THREADS={NumThreads}", NumThreads, 0);

    /// <summary>Finds the largest number of each row.</summary>
    public static KernelVariant RowMaximum { get; } = new("row_maximum", $"THREADS={MaxThreads}", MaxThreads, 0);

    /// <summary>Draws from each row.</summary>
    public static KernelVariant RowSample { get; } = new("row_sample", $"THREADS={MaxThreads}", MaxThreads, 0);

    /// <summary>Log-probabilities of a token of each row.</summary>
    public static KernelVariant RowLogProbability { get; } = new("row_log_probability", $"THREADS={MaxThreads}", MaxThreads, 0);

    /// <summary>Blocks that cover so many items.</summary>
    public static int Blocks(int numItems) => (numItems + NumThreads - 1) / NumThreads;

    /// <summary>How many numbers of the type of the weights add up to one of the input: 24 bits are three times 8, or 11 + 11 + 2.</summary>
    public static int Pieces(ElementType input, ElementType weights) => (input, weights) switch
    {
        (ElementType.Float32, not ElementType.Float32) => 3,
        (ElementType.Float16, ElementType.BFloat16) => 2,
        _ => 1,
    };

    /// <summary>Whether rows are scaled into the range of the weights' type.</summary>
    public static bool IsScaled(ElementType input, ElementType weights) => weights == ElementType.Float16 && input != ElementType.Float16;

    private static int Vector(int size) => size % VectorLength == 0 ? VectorLength : 1;
}
