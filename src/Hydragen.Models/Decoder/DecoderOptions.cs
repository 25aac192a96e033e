using Hydragen.Core;

namespace Hydragen.Models;

/// <summary>Choices made when a model is loaded. Immutable.</summary>
public sealed record DecoderOptions
{
    private readonly ElementType? _computeType, _kvType, _prefixKvType;
    private readonly WeightType _weightType = WeightType.Model;
    private readonly int? _maxBatchRows;
    private readonly KvScaling _kvScaling;

    /// <summary>
    /// Element type of activations; null for what the backend thinks best for the type of the weights. Arithmetic
    /// accumulates in FP32, the residual stream is FP32, and weights do not depend on it. FP16 holds numbers up to 65,504 only; it is for
    /// models that were made for it.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is undefined.</exception>
    public ElementType? ComputeType
    {
        get => _computeType;
        init => _computeType = value is null or ElementType.Float32 or ElementType.BFloat16 or ElementType.Float16 ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "The compute type must be Float32, BFloat16 or Float16.");
    }

    /// <summary>
    /// Element type of cached keys and values; null for that of the activations. Each is rounded once, when it is appended. Bytes take half of
    /// the memory of BF16 and move the logits; FP8 saturates at 448 (E4M3) or 57,344 (E5M2) unless <see cref="KvScaling"/> says otherwise.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is undefined.</exception>
    public ElementType? KvType
    {
        get => _kvType;
        init => _kvType = Checked(value);
    }

    /// <summary>
    /// Element type of the cached keys and values of prefixes, which several sequences may read; null for that of all others. Which tokens
    /// are a prefix, whoever uses the model decides when it makes their pages (<see cref="PageKind"/>).
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is undefined.</exception>
    public ElementType? PrefixKvType
    {
        get => _prefixKvType;
        init => _prefixKvType = Checked(value);
    }

    /// <summary>
    /// Where the scales of FP8 keys and values come from. Whoever uses the model sets them before the first step: <see cref="DecoderModel.FindLargest"/>
    /// gives what they follow from.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is undefined.</exception>
    public KvScaling KvScaling
    {
        get => _kvScaling;
        init => _kvScaling = value is KvScaling.None or KvScaling.Calibrated ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "The scaling must be None or Calibrated.");
    }

    /// <summary>
    /// How the weights of all matrix products are kept, those of the logits included. Norms stay FP32, and the embedding table keeps
    /// its stored type; when the model ties the output layer to it, INT8 makes a copy of the table for the logits.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is undefined.</exception>
    public WeightType WeightType
    {
        get => _weightType;
        init => _weightType = value is WeightType.Model or WeightType.Int8 ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "The weight type must be Model or Int8.");
    }

    /// <summary>
    /// The ranks that compute the model together, each with a share of its heads and inner elements; null for this process alone. Every
    /// rank loads the same folder with the same options and then makes the same calls. It must outlive the model.
    /// </summary>
    public IRankGroup? Group { get; init; }

    /// <summary>The most rows of one forward pass, which sets the memory for activations; null for what the backend prefers.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not from 1 to 65,536.</exception>
    public int? MaxBatchRows
    {
        get => _maxBatchRows;
        init => _maxBatchRows = value is null or (>= 1 and <= 65_536) ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A forward pass must have room for 1 to 65,536 rows.");
    }

    private static ElementType? Checked(ElementType? value) => value is null || ElementTypes.All.Contains(value.Value) ? value
        : throw new ArgumentOutOfRangeException(nameof(value), value, "The type of keys and values must be a defined element type.");
}
