using System.Runtime.InteropServices;
using Hydragen.Core;

namespace Hydragen.Models;

/// <summary>
/// The rows of one or more matrices with the same number of columns, one after the other, and of their biases. Keeps the stored
/// element type; parts of different types are widened to FP32. Numbers that are NaN or infinite are refused.
/// </summary>
internal sealed class TensorMatrixSource : MatrixSource
{
    private const int ChunkBytes = 1 << 20;
    private readonly WeightTensor[] _parts;
    private readonly WeightTensor[] _biases;
    private readonly LoadProgress _progress;
    private float[]? _bias;

    public TensorMatrixSource(WeightTensor[] parts, WeightTensor[] biases, LoadProgress progress)
    {
        _parts = parts;
        _biases = biases;
        _progress = progress;
        InputSize = (int)parts[0].Tensor.Shape[1];
        OutputSize = (int)parts.Sum(static part => part.Tensor.Shape[0]);
        ElementType = parts.All(part => TypeOf(part) == TypeOf(parts[0])) ? TypeOf(parts[0]) : ElementType.Float32;
    }

    public override int OutputSize { get; }

    public override int InputSize { get; }

    public override ElementType ElementType { get; }

    /// <summary>Bytes of the matrices in their files.</summary>
    public long StoredBytes => _parts.Sum(static part => part.Tensor.ByteLength);

    public override ReadOnlyMemory<float> Bias
    {
        get
        {
            if (_biases.Length == 0) return default;
            return _bias ??= [.. _biases.SelectMany(bias => ReadVector(bias, _progress))];
        }
    }

    /// <summary>Reads a whole vector, widened to FP32.</summary>
    public static float[] ReadVector(WeightTensor vector, LoadProgress progress)
    {
        var bytes = new byte[vector.Tensor.ByteLength];
        ReadChecked(vector, 0, bytes, progress);
        var values = new float[vector.Tensor.Shape[0]];
        WeightNumbers.Widen(TypeOf(vector), bytes, values);
        return values;
    }

    public override void ReadRows(int firstRow, Span<byte> rows)
    {
        int rowBytes = InputSize * ElementType.SizeInBytes();
        int numRows = rows.Length / rowBytes;
        if (firstRow < 0 || numRows * (long)rowBytes != rows.Length || firstRow > OutputSize - numRows)
            throw new ArgumentOutOfRangeException(nameof(firstRow), firstRow, $"The matrix has {OutputSize} rows of {rowBytes} bytes; {rows.Length} bytes from there on do not fit.");
        foreach (WeightTensor part in _parts)
        {
            int partRows = (int)part.Tensor.Shape[0];
            int count = Math.Min(partRows - firstRow, numRows);
            if (count > 0)
            {
                ReadPart(part, firstRow, rows[..(count * rowBytes)]);
                rows = rows[(count * rowBytes)..];
                numRows -= count;
                firstRow += count;
            }
            if (numRows == 0) return;
            firstRow -= partRows;
        }
    }

    private void ReadPart(WeightTensor part, int firstRow, Span<byte> rows)
    {
        ElementType stored = TypeOf(part);
        long storedRowBytes = (long)InputSize * stored.SizeInBytes();
        if (stored == ElementType)
        {
            ReadChecked(part, firstRow * storedRowBytes, rows, _progress);
            return;
        }
        Span<float> destination = MemoryMarshal.Cast<byte, float>(rows);
        var row = new byte[storedRowBytes];
        for (int i = 0; i * InputSize < destination.Length; i++)
        {
            ReadChecked(part, (firstRow + i) * storedRowBytes, row, _progress);
            WeightNumbers.Widen(stored, row, destination.Slice(i * InputSize, InputSize));
        }
    }

    private static ElementType TypeOf(WeightTensor tensor)
    {
        tensor.Tensor.Dtype.TryGetElementType(out ElementType type);
        return type;
    }

    private static void ReadChecked(WeightTensor tensor, long byteOffset, Span<byte> destination, LoadProgress progress)
    {
        tensor.File.Read(tensor.Tensor, byteOffset, destination);
        progress.Advance(destination.Length);
        if (WeightNumbers.IndexOfNonFinite(TypeOf(tensor), destination) >= 0) throw NonFinite(tensor);
    }

    private static ModelFormatException NonFinite(WeightTensor tensor)
    {
        ElementType type = TypeOf(tensor);
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
