using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// Weights in strips of 16 rows, <c>[ceil(outputSize / 16)][inputSize][16]</c>, in their stored type; rows past the last are
/// zeros. For instruction sets with dot products of pairs, BF16 weights lie as <c>[ceil(outputSize / 16)][paddedInputSize / 2][16][2]</c>,
/// with zeros behind the input: a kilobyte is a tile of the tile unit. INT8 weights lie as
/// <c>[ceil(outputSize / 16)][paddedInputSize / 4][16][4]</c> for every instruction set, with zeros behind the input.
/// </summary>
internal sealed unsafe class CpuMatrix : PackedMatrix
{
    private const int ChunkBytes = 1 << 20;
    private const int PairDepthUnit = 32;

    private readonly NativeBlock _weights;
    private readonly NativeBlock? _scales, _sums, _bias;

    public CpuMatrix(NativeAllocator allocator, MatrixSource source, WeightType weightType, OperatorSet operators)
        : base(source.OutputSize, source.InputSize, weightType)
    {
        ElementType = source.ElementType;
        NumStrips = (OutputSize + TileShape.StripWidth - 1) / TileShape.StripWidth;
        IsPaired = !IsQuantized && operators.PairsBFloat16 && ElementType == ElementType.BFloat16;
        int unit = IsQuantized ? QuadKernel.DepthUnit : IsPaired ? PairDepthUnit : 1;
        PaddedInputSize = ((nint)InputSize + unit - 1) / unit * unit;
        StripSize = PaddedInputSize * TileShape.StripWidth;
        try
        {
            _weights = allocator.Allocate(
                checked((nuint)NumStrips * (nuint)StripSize * (nuint)(IsQuantized ? 1 : ElementType.SizeInBytes())), zeroed: true);
            if (IsQuantized)
            {
                nuint paddedOutputSize = (nuint)NumStrips * TileShape.StripWidth;
                _scales = allocator.Allocate(paddedOutputSize * sizeof(float), zeroed: true);
                _sums = allocator.Allocate(paddedOutputSize * sizeof(int), zeroed: true);
            }
            if (!source.Bias.IsEmpty)
            {
                _bias = allocator.Allocate((nuint)OutputSize * sizeof(float), zeroed: false);
                source.Bias.Span.CopyTo(new Span<float>(_bias.Pointer, OutputSize));
            }
            Pack(source, operators.Quantizer);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>How the source stores a weight and, but for INT8 weights, the strips do.</summary>
    public ElementType ElementType { get; }

    /// <summary>Whether the weights are INT8, in quads.</summary>
    public bool IsQuantized => WeightType == WeightType.Int8;

    /// <summary>Strips of 16 rows.</summary>
    public int NumStrips { get; }

    /// <summary>The input with what fills up its last pair, or its last 64 quantised elements.</summary>
    public nint PaddedInputSize { get; }

    /// <summary>Elements of a strip.</summary>
    public nint StripSize { get; }

    /// <summary>Whether pairs of neighbours along the input lie together.</summary>
    public bool IsPaired { get; }

    /// <summary>The strips.</summary>
    /// <exception cref="ObjectDisposedException">The matrix was freed.</exception>
    public byte* Weights => _weights.Pointer;

    /// <summary>FP32 <c>[16 · numStrips]</c>: the scale of each row of quantised weights, 0 past the last; null for others.</summary>
    public float* Scales => _scales is null ? null : (float*)_scales.Pointer;

    /// <summary>INT32 <c>[16 · numStrips]</c>: the sum of each row of quantised weights; null for others.</summary>
    public int* Sums => _sums is null ? null : (int*)_sums.Pointer;

    /// <summary>FP32 <c>[outputSize]</c>, or null.</summary>
    public float* Bias => _bias is null ? null : (float*)_bias.Pointer;

    /// <inheritdoc/>
    public override long SizeInBytes => (long)(_weights.Size + (_scales?.Size ?? 0) + (_sums?.Size ?? 0) + (_bias?.Size ?? 0));

    protected override void Dispose(bool disposing)
    {
        if (!disposing) return;
        _weights?.Dispose();
        _scales?.Dispose();
        _sums?.Dispose();
        _bias?.Dispose();
    }

    private void Pack(MatrixSource source, RowQuantizer quantizer)
    {
        int elementSize = ElementType.SizeInBytes();
        int rowBytes = checked(InputSize * elementSize);
        int rowsPerChunk = Math.Clamp(ChunkBytes / rowBytes, 1, OutputSize);
        byte[] chunk = new byte[checked(rowsPerChunk * rowBytes)];
        byte[] quantized = IsQuantized ? new byte[PaddedInputSize] : [];
        for (int first = 0; first < OutputSize; first += rowsPerChunk)
        {
            int numRows = Math.Min(rowsPerChunk, OutputSize - first);
            source.ReadRows(first, chunk.AsSpan(0, numRows * rowBytes));
            fixed (byte* rows = chunk, levels = quantized)
            {
                for (int row = 0; row < numRows; row++)
                {
                    byte* values = rows + row * rowBytes;
                    if (IsQuantized) PackQuads(quantizer, values, levels, first + row);
                    else if (IsPaired) PackPairs((ushort*)values, first + row);
                    else if (elementSize == sizeof(float)) PackGroups((uint*)values, InputSize, first + row);
                    else PackGroups((ushort*)values, InputSize, first + row);
                }
            }
        }
    }

    private void PackQuads(RowQuantizer quantizer, byte* row, byte* levels, int index)
    {
        Scales[index] = quantizer.Quantize(row, ElementType, InputSize, isUnsigned: false, levels);
        int sum = 0;
        for (nint k = 0; k < InputSize; k++) sum += (sbyte)levels[k];
        Sums[index] = sum;
        PackGroups((uint*)levels, PaddedInputSize / QuadKernel.QuadSize, index);
    }

    private void PackPairs(ushort* row, int index)
    {
        nint numPairs = InputSize / 2;
        PackGroups((uint*)row, numPairs, index);
        if (InputSize % 2 != 0) Destination<uint>(index)[numPairs * TileShape.StripWidth] = row[InputSize - 1];
    }

    /// <summary>Stores the groups of a row, which lie together, with those of the other rows of its strip in between.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void PackGroups<E>(E* row, nint numGroups, int index)
        where E : unmanaged
    {
        E* destination = Destination<E>(index);
        for (nint group = 0; group < numGroups; group++) destination[group * TileShape.StripWidth] = row[group];
    }

    /// <summary>Where the first group of a row lies.</summary>
    private E* Destination<E>(int index)
        where E : unmanaged =>
        (E*)(_weights.Pointer + (nint)(index / TileShape.StripWidth) * (nint)(_weights.Size / (nuint)NumStrips)) + index % TileShape.StripWidth;
}
