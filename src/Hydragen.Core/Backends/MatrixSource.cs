namespace Hydragen.Core;

/// <summary>Supplies the rows of a weight matrix to <see cref="IComputeBackend.PackMatrix"/> piece by piece. Thread-safe.</summary>
public abstract class MatrixSource
{
    /// <summary>Rows: elements of one result.</summary>
    public abstract int OutputSize { get; }

    /// <summary>Columns: elements of one input.</summary>
    public abstract int InputSize { get; }

    /// <summary>How the rows are stored.</summary>
    public abstract ElementType ElementType { get; }

    /// <summary>FP32 bias <c>[outputSize]</c>; empty when there is none.</summary>
    public virtual ReadOnlyMemory<float> Bias => default;

    /// <summary>Reads whole rows, little-endian, dense.</summary>
    /// <param name="firstRow">First row.</param>
    /// <param name="rows">Receives as many rows as fit exactly: a multiple of <c>inputSize · elementSize</c> bytes.</param>
    public abstract void ReadRows(int firstRow, Span<byte> rows);
}
