using Hydragen.Core;

namespace Hydragen.Testing;

/// <summary>Rotary embedding with base 10000.</summary>
public sealed class PlainRotary(int rotaryDim) : RotaryEmbedding
{
    /// <inheritdoc/>
    public override int RotaryDim => rotaryDim;

    /// <inheritdoc/>
    public override void GetFactors(int position, Span<float> cos, Span<float> sin)
    {
        for (int i = 0; i < cos.Length; i++)
        {
            double angle = position * Math.Pow(10000, -2.0 * i / rotaryDim);
            cos[i] = (float)Math.Cos(angle);
            sin[i] = (float)Math.Sin(angle);
        }
    }
}
