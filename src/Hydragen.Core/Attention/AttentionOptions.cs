namespace Hydragen.Core;

/// <summary>
/// What turns a dot product into a logit, and which keys count. For a query at position i, a key at position j and head h:
/// <c>logit = cap(scale · q·k) + slope[h] · (j − i)</c> with <c>cap(x) = softCap · tanh(x / softCap)</c>, and the key counts
/// when <c>i − window &lt; j</c> (and, in causal segments, <c>j ≤ i</c>). Immutable.
/// </summary>
public sealed record AttentionOptions
{
    private readonly float? _scale;
    private readonly int? _slidingWindow;
    private readonly float? _logitSoftCap;

    /// <summary>Plain scaled dot-product attention.</summary>
    public static AttentionOptions Default { get; } = new();

    /// <summary>Factor on q·k; null means headDim^-0.5.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is NaN or infinite.</exception>
    public float? Scale
    {
        get => _scale;
        init => _scale = value is null || float.IsFinite(value.Value) ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "The attention scale must be finite.");
    }

    /// <summary>ALiBi slope of each query head, <c>[numHeads]</c>; empty means no positional bias.</summary>
    public ReadOnlyMemory<float> AlibiSlopes { get; init; }

    /// <summary>A query sees the last so many positions, its own included; null means all.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is less than 1.</exception>
    public int? SlidingWindow
    {
        get => _slidingWindow;
        init => _slidingWindow = value is null or >= 1 ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A sliding window must hold at least one position.");
    }

    /// <summary>Bound of the soft-capped logits; null means uncapped.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not a positive finite number.</exception>
    public float? LogitSoftCap
    {
        get => _logitSoftCap;
        init => _logitSoftCap = value is null || (float.IsFinite(value.Value) && value > 0) ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A logit soft-cap must be positive and finite.");
    }

    /// <summary>The factor on q·k for a head size.</summary>
    public float ScaleFor(int headDim) => Scale ?? (float)(1.0 / Math.Sqrt(headDim));

    /// <summary>Checks that the options fit a shape.</summary>
    /// <exception cref="ArgumentException">The slopes are not one finite number a query head.</exception>
    public void Validate(AttentionShape shape)
    {
        ArgumentNullException.ThrowIfNull(shape);
        if (AlibiSlopes.IsEmpty) return;
        if (AlibiSlopes.Length != shape.NumHeads)
        {
            throw new ArgumentException(
                $"There are {AlibiSlopes.Length} ALiBi slopes for {shape.NumHeads} query heads; give one a head.");
        }
        foreach (float slope in AlibiSlopes.Span)
        {
            if (!float.IsFinite(slope)) throw new ArgumentException("ALiBi slopes must be finite.");
        }
    }
}
