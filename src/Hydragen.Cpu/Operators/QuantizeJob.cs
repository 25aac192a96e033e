using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Rounds rows of a buffer to INT8 with a scale each: the form in which the product with INT8 weights reads its input.</summary>
internal sealed unsafe class QuantizeJob : Job
{
    public RowQuantizer Quantizer = null!;
    public ElementType Type;
    public byte* Source;

    /// <summary>Row to read for each row to write; null means the same.</summary>
    public int* Rows;
    public int NumRows;
    public int RowLength;

    /// <summary>Bytes from one row of <see cref="Destination"/> to the next; what lies behind a row is never written.</summary>
    public nint DestinationStride;
    public bool IsUnsigned;
    public byte* Destination;

    /// <summary>FP32 <c>[numRows]</c>.</summary>
    public float* Scales;
    public int RowsPerItem;

    public override void Execute(int item, int worker)
    {
        int end = Math.Min(NumRows, (item + 1) * RowsPerItem);
        for (int row = item * RowsPerItem; row < end; row++)
        {
            byte* source = Source + (nint)(Rows == null ? row : Rows[row]) * RowLength * Type.SizeInBytes();
            Scales[row] = Quantizer.Quantize(source, Type, RowLength, IsUnsigned, Destination + row * DestinationStride);
        }
    }
}
