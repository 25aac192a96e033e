using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// Weights in strips of 16 rows, <c>[ceil(outputSize / 16)][inputSize][16]</c>, in their stored type; rows past the last are
/// zeros. The same for every instruction set.
/// </summary>
internal sealed unsafe class CpuMatrix : PackedMatrix
{
    private const int ChunkBytes = 1 << 20;

    private readonly NativeBlock _weights;
    private readonly NativeBlock? _bias;

    public CpuMatrix(NativeAllocator allocator, MatrixSource source)
        : base(source.OutputSize, source.InputSize, source.ElementType)
    {
        int elementSize = ElementType.SizeInBytes();
        NumStrips = (OutputSize + TileShape.StripWidth - 1) / TileShape.StripWidth;
        _weights = allocator.Allocate(checked((nuint)NumStrips * (nuint)InputSize * TileShape.StripWidth * (nuint)elementSize), zeroed: true);
        if (!source.Bias.IsEmpty)
        {
            _bias = allocator.Allocate((nuint)OutputSize * sizeof(float), zeroed: false);
            source.Bias.Span.CopyTo(new Span<float>(_bias.Pointer, OutputSize));
        }
        try
        {
            Pack(source, elementSize);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Strips of 16 rows.</summary>
    public int NumStrips { get; }

    /// <summary>The strips.</summary>
    /// <exception cref="ObjectDisposedException">The matrix was freed.</exception>
    public byte* Weights => _weights.Pointer;

    /// <summary>FP32 <c>[outputSize]</c>, or null.</summary>
    public float* Bias => _bias is null ? null : (float*)_bias.Pointer;

    protected override void Dispose(bool disposing)
    {
        if (!disposing) return;
        _weights.Dispose();
        _bias?.Dispose();
    }

    private void Pack(MatrixSource source, int elementSize)
    {
        int rowBytes = checked(InputSize * elementSize);
        int rowsPerChunk = Math.Clamp(ChunkBytes / rowBytes, 1, OutputSize);
        byte[] chunk = new byte[checked(rowsPerChunk * rowBytes)];
        for (int first = 0; first < OutputSize; first += rowsPerChunk)
        {
            int numRows = Math.Min(rowsPerChunk, OutputSize - first);
            source.ReadRows(first, chunk.AsSpan(0, numRows * rowBytes));
            fixed (byte* rows = chunk)
            {
                for (int row = 0; row < numRows; row++)
                {
                    if (elementSize == sizeof(float)) PackRow((uint*)(rows + row * rowBytes), (uint*)_weights.Pointer, first + row);
                    else PackRow((ushort*)(rows + row * rowBytes), (ushort*)_weights.Pointer, first + row);
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void PackRow<E>(E* row, E* strips, int index)
        where E : unmanaged
    {
        E* destination = strips + (nint)(index / TileShape.StripWidth) * InputSize * TileShape.StripWidth + index % TileShape.StripWidth;
        for (nint k = 0; k < InputSize; k++) destination[k * TileShape.StripWidth] = row[k];
    }
}
