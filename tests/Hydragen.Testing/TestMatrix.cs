using Hydragen.Core;

namespace Hydragen.Testing;

/// <summary>A random weight matrix, handed out in whatever pieces the backend asks for.</summary>
public sealed class TestMatrix : MatrixSource
{
    private readonly float[] _bias;

    /// <param name="random">Where weights and bias come from.</param>
    /// <param name="outputSize">Rows.</param>
    /// <param name="inputSize">Columns.</param>
    /// <param name="type">How the weights are stored.</param>
    /// <param name="hasBias">Whether there is a bias.</param>
    /// <param name="isBiasStored">Whether the bias is rounded to that type, too.</param>
    public TestMatrix(Random random, int outputSize, int inputSize, ElementType type, bool hasBias, bool isBiasStored = false)
    {
        OutputSize = outputSize;
        InputSize = inputSize;
        ElementType = type;
        Weights = RandomTensors.Round(RandomTensors.Normal(random, outputSize * inputSize), type);
        _bias = hasBias ? RandomTensors.Normal(random, outputSize) : [];
        if (isBiasStored) RandomTensors.Round(_bias, type);
    }

    /// <summary>Row-major, rounded to the type.</summary>
    public float[] Weights { get; }

    /// <inheritdoc/>
    public override int OutputSize { get; }

    /// <inheritdoc/>
    public override int InputSize { get; }

    /// <inheritdoc/>
    public override ElementType ElementType { get; }

    /// <inheritdoc/>
    public override ReadOnlyMemory<float> Bias => _bias;

    /// <inheritdoc/>
    public override void ReadRows(int firstRow, Span<byte> rows)
    {
        int elementSize = ElementType.SizeInBytes();
        Assert.Equal(0, rows.Length % (InputSize * elementSize));
        for (int i = 0; i < rows.Length / elementSize; i++)
        {
            float value = Weights[firstRow * InputSize + i];
            Span<byte> element = rows.Slice(i * elementSize, elementSize);
            switch (ElementType)
            {
                case ElementType.Float32: BitConverter.TryWriteBytes(element, value); break;
                case ElementType.BFloat16: BitConverter.TryWriteBytes(element, BFloat16Bits.FromSingle(value)); break;
                default: BitConverter.TryWriteBytes(element, (Half)value); break;
            }
        }
    }

    /// <summary>row · weightsᵀ + bias in FP64, and the bound of its FP32 error.</summary>
    /// <param name="row">The row.</param>
    /// <param name="output">Which row of the matrix.</param>
    /// <param name="truncates">Whether sums may be cut off instead of rounded, as tensor cores do.</param>
    public (double Value, double Tolerance) Dot(ReadOnlySpan<float> row, int output, bool truncates = false)
    {
        double sum = 0, squares = 0;
        for (int k = 0; k < InputSize; k++)
        {
            double term = (double)row[k] * Weights[output * InputSize + k];
            sum += term;
            squares += term * term;
        }
        double truncated = truncates ? Tolerance.TruncatedSum(sum, squares, InputSize) : 0;
        if (_bias.Length > 0) sum += _bias[output];
        return (sum, Tolerance.DotProduct(squares, InputSize) + Tolerance.Elementwise * Math.Abs(sum) + truncated);
    }
}
