using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// Weights in strips of 16 rows, <c>[ceil(outputSize / 16)][inputSize][16]</c>, in their stored type; rows past the last are
/// zeros. For instruction sets with dot products of pairs, BF16 weights lie as <c>[ceil(outputSize / 16)][16 · ceil(inputSize / 32)][16][2]</c>,
/// zeros behind the last: a kilobyte is a tile of the tile unit.
/// </summary>
internal sealed unsafe class CpuMatrix : PackedMatrix
{
    private const int ChunkBytes = 1 << 20;

    private readonly NativeBlock _weights;
    private readonly NativeBlock? _bias;

    public CpuMatrix(NativeAllocator allocator, MatrixSource source, bool pairsBFloat16)
        : base(source.OutputSize, source.InputSize, source.ElementType)
    {
        int elementSize = ElementType.SizeInBytes();
        NumStrips = (OutputSize + TileShape.StripWidth - 1) / TileShape.StripWidth;
        IsPaired = pairsBFloat16 && ElementType == ElementType.BFloat16;
        StripSize = (IsPaired ? ((nint)InputSize + 31) / 32 * 32 : InputSize) * TileShape.StripWidth;
        _weights = allocator.Allocate(checked((nuint)NumStrips * (nuint)StripSize * (nuint)elementSize), zeroed: true);
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

    /// <summary>Elements of a strip.</summary>
    public nint StripSize { get; }

    /// <summary>Whether neighbours along the input lie together.</summary>
    public bool IsPaired { get; }

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
                    if (IsPaired) PackPairs((ushort*)(rows + row * rowBytes), (uint*)_weights.Pointer, first + row);
                    else if (elementSize == sizeof(float)) PackRow((uint*)(rows + row * rowBytes), (uint*)_weights.Pointer, first + row);
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

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void PackPairs(ushort* row, uint* strips, int index)
    {
        uint* destination = strips + (index / TileShape.StripWidth) * (StripSize / 2) + index % TileShape.StripWidth;
        nint numPairs = InputSize / 2;
        for (nint pair = 0; pair < numPairs; pair++) destination[pair * TileShape.StripWidth] = row[2 * pair] | (uint)row[2 * pair + 1] << 16;
        if (InputSize % 2 != 0) destination[numPairs * TileShape.StripWidth] = row[InputSize - 1];
    }
}
