using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>
/// The descriptors of a matrix product and its algorithm. cuBLASLt counts columns first, so what is <c>[rows, columns]</c> here is its
/// transpose there: weights are its A, transposed, the input its B, the result its D.
/// </summary>
internal sealed unsafe class MatmulPlan : IDisposable
{
    private const int Compute32 = 68, Float32 = 0, Float16 = 2, BFloat16 = 14, Transposed = 1, BiasEpilogue = 4;
    private const int TransposeA = 3, Epilogue = 7, BiasPointer = 8, ClusterShape = 8;

    private readonly LibraryObject _description, _weights, _input, _output;

    public MatmulPlan(MatmulShape shape)
    {
        Shape = shape;
        MatrixStatus.Check(MatrixApi.DescriptionCreate(out nint description, Compute32, Float32), "cublasLtMatmulDescCreate");
        _description = new LibraryObject(description, MatrixApi.DescriptionDestroy);
        Set(TransposeA, Transposed);
        if (shape.HasBias) Set(Epilogue, BiasEpilogue);
        _weights = Layout(shape.Type, shape.InputSize, shape.OutputSize);
        _input = Layout(shape.Type, shape.InputSize, shape.NumRows);
        _output = Layout(shape.OutputType, shape.OutputSize, shape.NumRows);
    }

    public MatmulShape Shape { get; }

    /// <summary>What <see cref="Multiply"/> runs.</summary>
    public MatmulAlgorithm Algorithm { get; set; }

    /// <summary>Algorithms that the library thinks good, the best first.</summary>
    /// <param name="handle">The library.</param>
    /// <param name="preference">Their bounds.</param>
    /// <param name="candidates">Receives them.</param>
    /// <returns>How many.</returns>
    public int Propose(LibraryObject handle, LibraryObject preference, Span<MatmulCandidate> candidates)
    {
        fixed (MatmulCandidate* pointer = candidates)
        {
            MatrixStatus.Check(
                MatrixApi.GetHeuristic(
                    handle.Value, _description.Value, _weights.Value, _input.Value, _output.Value, _output.Value, preference.Value,
                    candidates.Length, pointer, out int numFound),
                "cublasLtMatmulAlgoGetHeuristic", Shape.ToString());
            return numFound;
        }
    }

    /// <summary>Whether <see cref="Algorithm"/> can compute this with a workspace of so many bytes.</summary>
    public bool IsPossible(LibraryObject handle, long workspaceBytes)
    {
        MatmulAlgorithm algorithm = Algorithm;
        int status = MatrixApi.CheckAlgorithm(
            handle.Value, _description.Value, _weights.Value, _input.Value, _output.Value, _output.Value, &algorithm, out MatmulCandidate result);
        return status == 0 && result.Status == 0 && result.WorkspaceBytes <= (nuint)workspaceBytes;
    }

    /// <summary>Makes <see cref="Algorithm"/> another one that differs in the shape of its clusters of blocks.</summary>
    /// <param name="algorithm">The one to start from.</param>
    /// <param name="shape">The library's number of the shape.</param>
    /// <returns>Whether the algorithm has such a setting.</returns>
    public bool TryTakeClusters(MatmulAlgorithm algorithm, ushort shape)
    {
        int status = MatrixApi.AlgorithmSet(&algorithm, ClusterShape, &shape, sizeof(ushort));
        Algorithm = algorithm;
        return status == 0;
    }

    /// <summary>Puts output = factor · input · weightsᵀ + bias into a stream.</summary>
    /// <returns>The library's status.</returns>
    public int Multiply(
        LibraryObject handle, nint weights, nint input, nint bias, float factor, nint output, DeviceMemory workspace, CudaStream stream)
    {
        if (Shape.HasBias) MatrixStatus.Check(MatrixApi.DescriptionSet(_description.Value, BiasPointer, &bias, (nuint)sizeof(nint)), "cublasLtMatmulDescSetAttribute");
        float zero = 0;
        MatmulAlgorithm algorithm = Algorithm;
        return MatrixApi.Multiply(
            handle.Value, _description.Value, &factor, weights, _weights.Value, input, _input.Value, &zero, output, _output.Value, output,
            _output.Value, &algorithm, workspace.Value, (nuint)workspace.Bytes, stream.Value);
    }

    public void Dispose()
    {
        _description.Dispose();
        _weights.Dispose();
        _input.Dispose();
        _output.Dispose();
    }

    private static LibraryObject Layout(ElementType type, int rows, int columns)
    {
        int code = type switch { ElementType.BFloat16 => BFloat16, ElementType.Float16 => Float16, _ => Float32 };
        MatrixStatus.Check(MatrixApi.LayoutCreate(out nint layout, code, (ulong)rows, (ulong)columns, rows), "cublasLtMatrixLayoutCreate");
        return new LibraryObject(layout, MatrixApi.LayoutDestroy);
    }

    private void Set(int attribute, int value) =>
        MatrixStatus.Check(MatrixApi.DescriptionSet(_description.Value, attribute, &value, sizeof(int)), "cublasLtMatmulDescSetAttribute");
}
