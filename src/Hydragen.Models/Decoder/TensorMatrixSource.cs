using System.Runtime.InteropServices;
using Hydragen.Core;

namespace Hydragen.Models;

/// <summary>
/// The rows of one or more matrices, or of rectangles of them, with the same number of columns, one after the other, and of their biases.
/// Keeps the stored element type; parts of different types are widened to FP32. Numbers that are NaN or infinite are refused. Only what
/// belongs to a part is read.
/// </summary>
internal sealed class TensorMatrixSource : MatrixSource
{
    private const int ChunkBytes = 1 << 20;
    private readonly TensorPart[] _parts;
    private readonly TensorPart[] _biases;
    private readonly LoadProgress _progress;
    private float[]? _bias;

    public TensorMatrixSource(TensorPart[] parts, TensorPart[] biases, LoadProgress progress)
    {
        _parts = parts;
        _biases = biases;
        _progress = progress;
        InputSize = parts[0].NumColumns;
        OutputSize = parts.Sum(static part => part.NumRows);
        ElementType = parts.All(part => part.Type == parts[0].Type) ? parts[0].Type : ElementType.Float32;
    }

    public override int OutputSize { get; }

    public override int InputSize { get; }

    public override ElementType ElementType { get; }

    /// <summary>Bytes of the parts in their files.</summary>
    public long StoredBytes => _parts.Sum(static part => part.StoredBytes);

    public override ReadOnlyMemory<float> Bias
    {
        get
        {
            if (_biases.Length == 0) return default;
            return _bias ??= [.. _biases.SelectMany(bias => ReadVector(bias, _progress))];
        }
    }

    /// <summary>Reads a part of a vector, widened to FP32.</summary>
    public static float[] ReadVector(TensorPart vector, LoadProgress progress)
    {
        var bytes = new byte[vector.StoredBytes];
        ReadChecked(vector.Tensor, (long)vector.FirstRow * vector.Type.SizeInBytes(), bytes, progress);
        var values = new float[vector.NumRows];
        WeightNumbers.Widen(vector.Type, bytes, values);
        return values;
    }

    public override void ReadRows(int firstRow, Span<byte> rows)
    {
        int rowBytes = InputSize * ElementType.SizeInBytes();
        int numRows = rows.Length / rowBytes;
        if (firstRow < 0 || numRows * (long)rowBytes != rows.Length || firstRow > OutputSize - numRows)
            throw new ArgumentOutOfRangeException(nameof(firstRow), firstRow, $"The matrix has {OutputSize} rows of {rowBytes} bytes; {rows.Length} bytes from there on do not fit.");
        foreach (TensorPart part in _parts)
        {
            int count = Math.Min(part.NumRows - firstRow, numRows);
            if (count > 0)
            {
                ReadPart(part, firstRow, rows[..(count * rowBytes)]);
                rows = rows[(count * rowBytes)..];
                numRows -= count;
                firstRow += count;
            }
            if (numRows == 0) return;
            firstRow -= part.NumRows;
        }
    }

    private void ReadPart(TensorPart part, int firstRow, Span<byte> rows)
    {
        if (part.Type == ElementType && part.HasWholeRows)
        {
            ReadChecked(part.Tensor, part.OffsetOf(firstRow), rows, _progress);
            return;
        }
        int rowBytes = InputSize * ElementType.SizeInBytes();
        byte[] row = part.Type == ElementType ? [] : new byte[InputSize * part.Type.SizeInBytes()];
        for (int i = 0; i * rowBytes < rows.Length; i++)
        {
            Span<byte> destination = rows.Slice(i * rowBytes, rowBytes);
            ReadChecked(part.Tensor, part.OffsetOf(firstRow + i), row.Length == 0 ? destination : row, _progress);
            if (row.Length > 0) WeightNumbers.Widen(part.Type, row, MemoryMarshal.Cast<byte, float>(destination));
        }
    }

    private static void ReadChecked(WeightTensor tensor, long byteOffset, Span<byte> destination, LoadProgress progress)
    {
        tensor.File.Read(tensor.Tensor, byteOffset, destination);
        progress.Advance(destination.Length);
        if (WeightNumbers.IndexOfNonFinite(TensorPart.TypeOf(tensor), destination) >= 0) throw NonFinite(tensor);
    }

    private static ModelFormatException NonFinite(WeightTensor tensor)
    {
        ElementType type = TensorPart.TypeOf(tensor);
        long count = 0, first = -1;
        var chunk = new byte[ChunkBytes];
        for (long offset = 0; offset < tensor.Tensor.ByteLength; offset += ChunkBytes)
        {
            Span<byte> rest = chunk.AsSpan(0, (int)Math.Min(ChunkBytes, tensor.Tensor.ByteLength - offset));
            tensor.File.Read(tensor.Tensor, offset, rest);
            for (int index; (index = WeightNumbers.IndexOfNonFinite(type, rest)) >= 0; rest = rest[((index + 1) * type.SizeInBytes())..])
            {
                count++;
                if (first < 0) first = offset / type.SizeInBytes() + index;
            }
        }
        return new ModelFormatException(tensor.File.Path, $"tensor '{tensor.Tensor.Name}' holds {count} numbers that are NaN or infinite, the first at element {first}");
    }
}
