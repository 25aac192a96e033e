namespace Hydragen.Models;

/// <summary>The parameters of a model's rotary position embedding.</summary>
public sealed record RotaryParameters
{
    /// <summary>Kind of scaling.</summary>
    public RotaryScaling Scaling { get; init; }

    /// <summary>Elements of a head that are rotated: even, at most headDim.</summary>
    public required int RotaryDim { get; init; }

    /// <summary>The base: pair i turns by position · theta^(−2i / rotaryDim).</summary>
    public double Theta { get; init; } = 10_000;

    /// <summary>How much longer the context became.</summary>
    public double Factor { get; init; } = 1;

    /// <summary>Tokens of the context that the model was trained on before scaling.</summary>
    public int OriginalMaxPositions { get; init; } = 1;

    /// <summary>Llama 3: wavelengths above original / this are divided by the factor.</summary>
    public double LowFrequencyFactor { get; init; } = 1;

    /// <summary>Llama 3: wavelengths below original / this are kept.</summary>
    public double HighFrequencyFactor { get; init; } = 4;

    /// <summary>YaRN: rotations within the original context at which the ramp begins.</summary>
    public double BetaFast { get; init; } = 32;

    /// <summary>YaRN: rotations within the original context at which the ramp ends.</summary>
    public double BetaSlow { get; init; } = 1;

    /// <summary>YaRN: whether the ramp's ends are rounded outwards to whole dimensions.</summary>
    public bool IsRampTruncated { get; init; } = true;

    /// <summary>YaRN: factor on cosine and sine; 1 otherwise.</summary>
    public double Magnitude { get; init; } = 1;
}
