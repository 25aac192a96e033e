using Hydragen.Core;

namespace Hydragen.Models;

/// <summary>A rectangle of a stored matrix, or a range of a stored vector, whose elements count as rows of one column.</summary>
/// <param name="Tensor">The whole tensor.</param>
/// <param name="FirstRow">First row of the part.</param>
/// <param name="NumRows">Rows of the part.</param>
/// <param name="FirstColumn">First column of the part.</param>
/// <param name="NumColumns">Columns of the part.</param>
internal readonly record struct TensorPart(WeightTensor Tensor, int FirstRow, int NumRows, int FirstColumn, int NumColumns)
{
    /// <summary>How an element is stored.</summary>
    public ElementType Type => TypeOf(Tensor);

    /// <summary>Bytes of the part in its file.</summary>
    public long StoredBytes => (long)NumRows * NumColumns * Type.SizeInBytes();

    /// <summary>Whether the rows of the part lie in the file one behind the other.</summary>
    public bool HasWholeRows => NumColumns == StoredColumns;

    private int StoredColumns => Tensor.Tensor.Shape.Length == 1 ? 1 : (int)Tensor.Tensor.Shape[1];

    /// <summary>All of a matrix or vector.</summary>
    public static TensorPart Whole(WeightTensor tensor) =>
        new(tensor, 0, (int)tensor.Tensor.Shape[0], 0, tensor.Tensor.Shape.Length == 1 ? 1 : (int)tensor.Tensor.Shape[1]);

    /// <summary>How the elements of a tensor are stored; its type was checked.</summary>
    public static ElementType TypeOf(WeightTensor tensor)
    {
        tensor.Tensor.Dtype.TryGetElementType(out ElementType type);
        return type;
    }

    /// <summary>Bytes from the start of the tensor to a row of the part.</summary>
    public long OffsetOf(int row) => ((long)(FirstRow + row) * StoredColumns + FirstColumn) * Type.SizeInBytes();
}
