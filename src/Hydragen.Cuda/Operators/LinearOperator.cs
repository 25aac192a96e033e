using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>
/// Linear layers of any combination of types. Where input, weights and output suit cuBLASLt, that is one product; else the input is
/// prepared before it, or FP32 products are finished behind it, or both.
/// </summary>
internal sealed class LinearOperator(CudaDevice device, OperatorKernels kernels, KernelCache cache) : IDisposable
{
    // What cuBLASLt is told to expect of addresses.
    private const int Alignment = 256;

    private readonly DeviceScratch _rows = new(device), _pieces = new(device), _products = new(device), _scales = new(device);
    private MatrixMultiplier? _multiplier;

    /// <summary>Opens cuBLASLt, so that what is missing shows before anything is loaded.</summary>
    /// <exception cref="PlatformNotSupportedException">It is missing.</exception>
    public void Open() => _multiplier ??= new MatrixMultiplier(device, kernels, cache);

    /// <summary>output[i] = cap(factor · input[rows[i]] · matrixᵀ + bias).</summary>
    /// <param name="input">Has the rows.</param>
    /// <param name="rows">Which rows; empty for the first <paramref name="numRows"/>.</param>
    /// <param name="numRows">How many.</param>
    /// <param name="matrix">Weights and bias.</param>
    /// <param name="factor">Factor on the product; 1 when there is a bias.</param>
    /// <param name="softCap">Cap of the results, or null.</param>
    /// <param name="output">Receives them.</param>
    public void Multiply(CudaBuffer input, ReadOnlySpan<int> rows, int numRows, CudaMatrix matrix, float factor, float? softCap, CudaBuffer output)
    {
        if (numRows == 0) return;
        Open();
        device.MakeCurrent();
        int firstRow = 0;
        bool gathers = !rows.IsEmpty && !AreConsecutive(rows, out firstRow);
        nint source = input.Address + (nint)((long)firstRow * matrix.InputSize * input.ElementType.SizeInBytes());
        bool isInputDirect = !gathers && input.ElementType == matrix.Type && matrix.Pitch == matrix.InputSize && source % Alignment == 0;
        int pieces = OperatorVariants.Pieces(input.ElementType, matrix.Type);
        bool isScaled = OperatorVariants.IsScaled(input.ElementType, matrix.Type);
        bool isOutputDirect = pieces == 1 && !isScaled && matrix.PaddedOutputSize == matrix.OutputSize
            && (output.ElementType == ElementType.Float32 || output.ElementType == matrix.Type && softCap is null)
            && (!matrix.HasBias || matrix.BiasOf(output.ElementType) != 0);

        int computedRows = MatmulShape.RoundRows(numRows);
        if ((isInputDirect && input.Length / matrix.InputSize - firstRow < computedRows) || (isOutputDirect && output.Length / matrix.OutputSize < computedRows))
            computedRows = numRows;
        nint scales = isScaled ? _scales.Reserve((long)computedRows * sizeof(float)) : 0;
        if (!isInputDirect) source = Prepare(input, gathers ? rows : default, source, numRows, computedRows, matrix, scales);

        nint products = isOutputDirect ? output.Address : _products.Reserve((long)pieces * computedRows * matrix.PaddedOutputSize * sizeof(float));
        bool hasBias = isOutputDirect && matrix.HasBias;
        var shape = new MatmulShape(
            matrix.PaddedOutputSize, matrix.Pitch, pieces * computedRows, matrix.Type, isOutputDirect ? output.ElementType : ElementType.Float32, hasBias);
        _multiplier!.Multiply(shape, matrix.Weights, source, hasBias ? matrix.BiasOf(output.ElementType) : 0, factor, products);
        if (isOutputDirect && softCap is null) return;

        int blocksPerRow = OperatorVariants.Blocks(matrix.OutputSize);
        kernels.LinearOutput(output.ElementType, pieces).Launch((long)numRows * blocksPerRow, 1, new LinearOutputParameters
        {
            Products = products,
            Scales = scales,
            Bias = isOutputDirect ? 0 : matrix.Bias,
            Output = output.Address,
            OutputSize = matrix.OutputSize,
            Pitch = matrix.PaddedOutputSize,
            NumProductRows = computedRows,
            BlocksPerRow = blocksPerRow,
            SoftCap = softCap ?? 0,
        }, startsEarly: true);
    }

    public void Dispose()
    {
        _multiplier?.Dispose();
        _rows.Dispose();
        _pieces.Dispose();
        _products.Dispose();
        _scales.Dispose();
    }

    private static bool AreConsecutive(ReadOnlySpan<int> rows, out int first)
    {
        first = rows[0];
        for (int i = 1; i < rows.Length; i++)
        {
            if (rows[i] != first + i) return false;
        }
        return true;
    }

    private nint Prepare(CudaBuffer input, ReadOnlySpan<int> rows, nint source, int numRows, int computedRows, CudaMatrix matrix, nint scales)
    {
        int pieces = OperatorVariants.Pieces(input.ElementType, matrix.Type);
        nint chosen = 0;
        if (!rows.IsEmpty)
        {
            chosen = _rows.Reserve(rows.Length * sizeof(int));
            device.Upload(chosen, rows);
        }
        nint prepared = _pieces.Reserve((long)pieces * computedRows * matrix.Pitch * matrix.Type.SizeInBytes());
        kernels.LinearInput(input.ElementType, matrix.Type).Launch(numRows, 1, new LinearInputParameters
        {
            Input = rows.IsEmpty ? source : input.Address,
            Rows = chosen,
            Output = prepared,
            Scales = scales,
            InputSize = matrix.InputSize,
            Pitch = matrix.Pitch,
            NumOutputRows = computedRows,
        }, startsEarly: true);
        return prepared;
    }
}
