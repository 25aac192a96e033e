namespace Hydragen.Core;

/// <summary>Which keys of a segment a row of it may see.</summary>
public enum AttentionMask
{
    /// <summary>All of them: a rectangle.</summary>
    Full,

    /// <summary>Those whose absolute position is not after the row's: a triangle.</summary>
    Causal,
}
