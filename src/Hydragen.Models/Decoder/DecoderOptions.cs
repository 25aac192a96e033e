using Hydragen.Core;

namespace Hydragen.Models;

/// <summary>Choices made when a model is loaded. Immutable.</summary>
public sealed record DecoderOptions
{
    private readonly ElementType _computeType = ElementType.Float32;
    private readonly int _maxBatchRows = 512;

    /// <summary>
    /// Element type of activations and of cached keys and values: FP32 or BF16. Arithmetic accumulates in FP32, the residual
    /// stream is FP32, and weights keep their stored type either way.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is another type.</exception>
    public ElementType ComputeType
    {
        get => _computeType;
        init => _computeType = value is ElementType.Float32 or ElementType.BFloat16 ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "The compute type must be Float32 or BFloat16.");
    }

    /// <summary>The most rows of one forward pass; sets the memory for activations.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not from 1 to 65,536.</exception>
    public int MaxBatchRows
    {
        get => _maxBatchRows;
        init => _maxBatchRows = value is >= 1 and <= 65_536 ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A forward pass must have room for 1 to 65,536 rows.");
    }
}
