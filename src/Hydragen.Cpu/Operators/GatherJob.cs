using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Widens chosen rows of a buffer to dense FP32 rows, the form in which the matrix product reads its input.</summary>
internal sealed unsafe class GatherJob : Job
{
    public ElementConverter Converter = null!;
    public ElementType Type;
    public byte* Source;
    public float* Destination;

    /// <summary>Row to read for each row to write; null means the same.</summary>
    public int* Rows;
    public int NumRows;
    public int RowLength;
    public int RowsPerItem;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(int item, int worker)
    {
        int elementSize = Type.SizeInBytes();
        int end = Math.Min(NumRows, (item + 1) * RowsPerItem);
        for (int row = item * RowsPerItem; row < end; row++)
        {
            int sourceRow = Rows == null ? row : Rows[row];
            Converter.ToSingle(Source + (nint)sourceRow * RowLength * elementSize, Type, Destination + (nint)row * RowLength, RowLength);
        }
    }
}
