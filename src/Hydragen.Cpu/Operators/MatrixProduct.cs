using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Brings rows into the form that a packed matrix is multiplied with, and multiplies.</summary>
internal sealed unsafe class MatrixProduct(OperatorSet operators, WorkerPool pool, Scratch workerScratch, NativeAllocator allocator) : IDisposable
{
    private readonly Scratch _input = new(allocator), _inputScales = new(allocator);
    private readonly PackTilesJob _packTiles = new();

    /// <summary>output = cap((input · matrixᵀ + bias) · scale).</summary>
    /// <param name="input"><c>[.., inputSize]</c>.</param>
    /// <param name="rows">Which rows of it, <c>[numRows]</c>; null for the first ones.</param>
    /// <param name="numRows">Rows.</param>
    /// <param name="matrix">The weights.</param>
    /// <param name="scale">Factor.</param>
    /// <param name="softCap">Cap, or null.</param>
    /// <param name="output">Receives <c>[numRows, outputSize]</c>.</param>
    public void Multiply(CpuBuffer input, int* rows, int numRows, CpuMatrix matrix, float scale, float? softCap, CpuBuffer output)
    {
        LinearJob job = operators.Linear;
        job.NumRows = numRows;
        job.Matrix = matrix;
        job.NumBlocks = (numRows + job.RowsPerBlock - 1) / job.RowsPerBlock;
        job.Weights = matrix.Weights;
        job.Bias = matrix.Bias;
        job.Scale = scale;
        job.SoftCap = softCap;
        job.Output = output.Pointer;
        job.OutputType = output.ElementType;
        job.Scratch = workerScratch.Floats((long)pool.NumThreads * job.ScratchPerWorker);
        if (matrix.IsQuantized) Quantize(job, input, rows);
        else Gather(job, input, rows);
        pool.Run(job, job.CountItems());
    }

    public void Dispose()
    {
        _input.Dispose();
        _inputScales.Dispose();
    }

    private void Gather(LinearJob linear, CpuBuffer input, int* rows)
    {
        linear.InputType = linear.InputTypeFor(input.ElementType, linear.Matrix);
        if (linear.PacksTiles(linear.InputType, linear.Matrix))
        {
            PackTiles(linear, input, rows);
            return;
        }
        if (rows == null && input.ElementType == linear.InputType)
        {
            linear.Input = input.Pointer;
            return;
        }
        int rowLength = linear.Matrix.InputSize;
        GatherJob job = operators.Gather;
        job.Converter = operators.Converter;
        job.Type = input.ElementType;
        job.Source = input.Pointer;
        job.Destination = linear.Input = _input.Bytes((long)linear.NumRows * rowLength * linear.InputType.SizeInBytes());
        job.DestinationType = linear.InputType;
        job.Rows = rows;
        job.NumRows = linear.NumRows;
        job.RowLength = rowLength;
        job.RowsPerItem = RowItems.RowsPerItem(rowLength);
        pool.Run(job, RowItems.Count(job.NumRows, job.RowsPerItem));
    }

    private void PackTiles(LinearJob linear, CpuBuffer input, int* rows)
    {
        _packTiles.Source = (ushort*)input.Pointer;
        _packTiles.Rows = rows;
        _packTiles.NumRows = linear.NumRows;
        _packTiles.RowLength = linear.Matrix.InputSize;
        _packTiles.Destination = linear.Input = _input.Bytes(PackTilesJob.Size(linear.NumRows, linear.Matrix.InputSize));
        pool.Run(_packTiles, PackTilesJob.CountItems(linear.NumRows));
    }

    private void Quantize(LinearJob linear, CpuBuffer input, int* rows)
    {
        CpuMatrix matrix = linear.Matrix;
        linear.Quads = operators.Quads;
        QuantizeJob job = operators.Quantize;
        job.Quantizer = operators.Quantizer;
        job.Type = input.ElementType;
        job.Source = input.Pointer;
        job.Rows = rows;
        job.NumRows = linear.NumRows;
        job.RowLength = matrix.InputSize;
        RegisterTile tile = linear.Quads.Tile!;
        job.DestinationStride = matrix.PaddedInputSize + tile.RowPaddingBytes;
        job.IsUnsigned = linear.Quads.IsUnsigned;
        job.Destination = linear.Input = _input.Bytes(((long)linear.NumRows + tile.MaxRows - 1) / tile.MaxRows * tile.MaxRows * job.DestinationStride);
        job.Scales = linear.InputScales = _inputScales.Floats(linear.NumRows);
        job.RowsPerItem = RowItems.RowsPerItem(matrix.InputSize);
        pool.Run(job, RowItems.Count(job.NumRows, job.RowsPerItem));
    }
}
