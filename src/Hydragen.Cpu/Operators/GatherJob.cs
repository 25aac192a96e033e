using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Gathers rows of a buffer, as they are or widened to FP32: the form in which the matrix product reads its input.</summary>
internal sealed unsafe class GatherJob : Job
{
    public ElementConverter Converter = null!;
    public ElementType Type;
    public byte* Source;
    public byte* Destination;

    /// <summary>FP32, or the same as <see cref="Type"/>.</summary>
    public ElementType DestinationType;

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
            byte* source = Source + (nint)sourceRow * RowLength * elementSize;
            if (Type == DestinationType) Unsafe.CopyBlockUnaligned(Destination + (nint)row * RowLength * elementSize, source, (uint)(RowLength * elementSize));
            else Converter.ToSingle(source, Type, (float*)Destination + (nint)row * RowLength, RowLength);
        }
    }
}
