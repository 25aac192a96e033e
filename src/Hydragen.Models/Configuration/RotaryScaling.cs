namespace Hydragen.Models;

/// <summary>How the rotation angles of rotary position embedding are stretched to longer contexts.</summary>
public enum RotaryScaling
{
    /// <summary>Not at all.</summary>
    None,

    /// <summary>All frequencies are divided by the factor (position interpolation, arXiv 2306.15595).</summary>
    Linear,

    /// <summary>
    /// Positions beyond the trained length use a base that grows with the position (dynamic NTK). A position's angles depend
    /// on that position alone, as if the sequence had been decoded token by token, so that a cached key never has to change.
    /// </summary>
    Dynamic,

    /// <summary>Low frequencies are divided by the factor, high ones kept, those between blended (Llama 3.1).</summary>
    Llama3,

    /// <summary>Like <see cref="Llama3"/> with a ramp over dimensions, and a factor on the magnitude (arXiv 2309.00071).</summary>
    Yarn,
}
