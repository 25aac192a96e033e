namespace Hydragen.Core;

/// <summary>The function that gates a feed-forward layer.</summary>
public enum ActivationKind
{
    /// <summary>x / (1 + e^−x).</summary>
    Silu,

    /// <summary>x · Φ(x) with the exact error function.</summary>
    Gelu,

    /// <summary>The tanh approximation of <see cref="Gelu"/>.</summary>
    GeluTanh,
}
