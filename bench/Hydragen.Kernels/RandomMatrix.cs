using System.Runtime.InteropServices;
using Hydragen.Core;

namespace Hydragen.Kernels;

/// <summary>BF16 weights between −0.5 and 0.5; each row is a piece of one random sequence.</summary>
internal sealed class RandomMatrix : MatrixSource
{
    private const int NumPlaces = 4099;

    private readonly ushort[] _numbers;
    private readonly Random _random;

    public RandomMatrix(int outputSize, int inputSize, int seed = 1)
    {
        OutputSize = outputSize;
        InputSize = inputSize;
        _random = new Random(seed);
        _numbers = new ushort[inputSize + NumPlaces];
        for (int i = 0; i < _numbers.Length; i++) _numbers[i] = BFloat16Bits.FromSingle(_random.NextSingle() - 0.5f);
    }

    public override int OutputSize { get; }

    public override int InputSize { get; }

    public override ElementType ElementType => ElementType.BFloat16;

    public override ReadOnlyMemory<float> Bias => default;

    public override void ReadRows(int firstRow, Span<byte> rows)
    {
        Span<ushort> elements = MemoryMarshal.Cast<byte, ushort>(rows);
        for (int start = 0; start < elements.Length; start += InputSize)
            _numbers.AsSpan(_random.Next(NumPlaces), InputSize).CopyTo(elements[start..]);
    }
}
