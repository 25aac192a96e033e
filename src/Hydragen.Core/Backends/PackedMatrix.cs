namespace Hydragen.Core;

/// <summary>
/// A weight matrix <c>[outputSize, inputSize]</c>, optionally with a bias, stored as the backend's matrix product wants to read
/// it. Immutable and thread-safe.
/// </summary>
public abstract class PackedMatrix : IDisposable
{
    /// <summary>Creates a matrix description.</summary>
    protected PackedMatrix(int outputSize, int inputSize, WeightType weightType)
    {
        OutputSize = outputSize;
        InputSize = inputSize;
        WeightType = weightType;
    }

    /// <summary>Rows: elements of one result.</summary>
    public int OutputSize { get; }

    /// <summary>Columns: elements of one input.</summary>
    public int InputSize { get; }

    /// <summary>How the weights are kept.</summary>
    public WeightType WeightType { get; }

    /// <summary>Bytes that weights, scales and bias really occupy, padding included.</summary>
    public abstract long SizeInBytes { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees the memory.</summary>
    protected abstract void Dispose(bool disposing);
}
