namespace Hydragen.Core;

/// <summary>
/// The rotation angles of rotary position embedding (arXiv 2104.09864): the first <see cref="RotaryDim"/> elements of a head
/// are rotated in pairs (i, i + RotaryDim / 2) by an angle that depends on the absolute position.
/// </summary>
public abstract class RotaryEmbedding
{
    /// <summary>Rotated elements of a head: even, at most headDim; the others pass unchanged.</summary>
    public abstract int RotaryDim { get; }

    /// <summary>Computes the factors of one position, magnitude scaling included.</summary>
    /// <param name="position">Absolute position, 0 or more.</param>
    /// <param name="cos">Receives <c>[rotaryDim / 2]</c>.</param>
    /// <param name="sin">Receives <c>[rotaryDim / 2]</c>.</param>
    public abstract void GetFactors(int position, Span<float> cos, Span<float> sin);
}
