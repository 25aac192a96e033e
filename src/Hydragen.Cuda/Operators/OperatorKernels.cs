using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>The kernels of <see cref="OperatorVariants"/>, found by numbers so that a launch makes no text.</summary>
internal sealed class OperatorKernels(KernelLibrary kernels)
{
    private readonly Dictionary<(Operator Operator, ElementType Input, ElementType Output, int Choice, int Size), CudaKernel> _found = [];

    private enum Operator
    {
        Embedding,
        Norm,
        Activation,
        RotaryAppend,
        LinearInput,
        LinearOutput,
        RowMaximum,
        RowSample,
        RowLogProbability,
        MemoryRead,
    }

    /// <summary>Looks up rows of a table.</summary>
    public CudaKernel Embedding(ElementType type, int hiddenSize) =>
        TryFind(Operator.Embedding, type, default, 0, hiddenSize) ?? Add(OperatorVariants.Embedding(type, hiddenSize), Operator.Embedding, type, default, 0, hiddenSize);

    /// <summary>Normalises rows.</summary>
    public CudaKernel Norm(ElementType input, ElementType output, bool adds, int hiddenSize) =>
        TryFind(Operator.Norm, input, output, adds ? 1 : 0, hiddenSize)
        ?? Add(OperatorVariants.Norm(input, output, adds, hiddenSize), Operator.Norm, input, output, adds ? 1 : 0, hiddenSize);

    /// <summary>Gates rows.</summary>
    public CudaKernel Activation(ElementType input, ElementType output, ActivationKind activation, int intermediateSize) =>
        TryFind(Operator.Activation, input, output, (int)activation, intermediateSize)
        ?? Add(OperatorVariants.Activation(input, output, activation, intermediateSize), Operator.Activation, input, output, (int)activation, intermediateSize);

    /// <summary>Normalises, rotates and stores heads.</summary>
    public CudaKernel RotaryAppend(int headDim, ElementType storage, ElementType input, ElementType query, bool hasNorm, bool hasRotary)
    {
        int choice = ((int)storage << 2) + (hasNorm ? 2 : 0) + (hasRotary ? 1 : 0);
        return TryFind(Operator.RotaryAppend, input, query, choice, headDim)
            ?? Add(OperatorVariants.RotaryAppend(headDim, storage, input, query, hasNorm, hasRotary), Operator.RotaryAppend, input, query, choice, headDim);
    }

    /// <summary>Prepares the input of a matrix product.</summary>
    public CudaKernel LinearInput(ElementType input, ElementType weights) =>
        TryFind(Operator.LinearInput, input, weights, 0, 0) ?? Add(OperatorVariants.LinearInput(input, weights), Operator.LinearInput, input, weights, 0, 0);

    /// <summary>Finishes a matrix product.</summary>
    public CudaKernel LinearOutput(ElementType output, int pieces) =>
        TryFind(Operator.LinearOutput, default, output, pieces, 0) ?? Add(OperatorVariants.LinearOutput(output, pieces), Operator.LinearOutput, default, output, pieces, 0);

    /// <summary>Finds the largest number of each row.</summary>
    public CudaKernel RowMaximum() =>
        TryFind(Operator.RowMaximum, default, default, 0, 0) ?? Add(OperatorVariants.RowMaximum, Operator.RowMaximum, default, default, 0, 0);

    /// <summary>Draws from each row.</summary>
    public CudaKernel RowSample() =>
        TryFind(Operator.RowSample, default, default, 0, 0) ?? Add(OperatorVariants.RowSample, Operator.RowSample, default, default, 0, 0);

    /// <summary>Computes log-probabilities.</summary>
    public CudaKernel RowLogProbability() =>
        TryFind(Operator.RowLogProbability, default, default, 0, 0)
        ?? Add(OperatorVariants.RowLogProbability, Operator.RowLogProbability, default, default, 0, 0);

    /// <summary>Reads memory, so that the last cache holds nothing else.</summary>
    public CudaKernel MemoryRead() =>
        TryFind(Operator.MemoryRead, default, default, 0, 0) ?? Add(CudaMeter.ReadKernel, Operator.MemoryRead, default, default, 0, 0);

    private CudaKernel? TryFind(Operator op, ElementType input, ElementType output, int choice, int size) =>
        _found.GetValueOrDefault((op, input, output, choice, size));

    private CudaKernel Add(KernelVariant variant, Operator op, ElementType input, ElementType output, int choice, int size) =>
        _found[(op, input, output, choice, size)] = kernels.Get(variant);
}
