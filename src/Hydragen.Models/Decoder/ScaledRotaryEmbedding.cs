using Hydragen.Core;

namespace Hydragen.Models;

/// <summary>The rotation angles of a model, computed in FP64. Immutable and thread-safe.</summary>
public sealed class ScaledRotaryEmbedding : RotaryEmbedding
{
    private readonly RotaryParameters _parameters;
    private readonly double[] _frequencies;

    /// <summary>Computes the frequencies.</summary>
    public ScaledRotaryEmbedding(RotaryParameters parameters)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        _parameters = parameters;
        _frequencies = new double[parameters.RotaryDim / 2];
        for (int i = 0; i < _frequencies.Length; i++) _frequencies[i] = Frequency(parameters.Theta, i);
        switch (parameters.Scaling)
        {
            case RotaryScaling.Linear:
                for (int i = 0; i < _frequencies.Length; i++) _frequencies[i] /= parameters.Factor;
                break;
            case RotaryScaling.Llama3:
                for (int i = 0; i < _frequencies.Length; i++) _frequencies[i] *= LlamaFactor(_frequencies[i]);
                break;
            case RotaryScaling.Yarn:
                ScaleByRamp();
                break;
        }
    }

    /// <inheritdoc/>
    public override int RotaryDim => _parameters.RotaryDim;

    /// <inheritdoc/>
    public override void GetFactors(int position, Span<float> cos, Span<float> sin)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(position);
        bool isBeyond = _parameters.Scaling == RotaryScaling.Dynamic && position >= _parameters.OriginalMaxPositions;
        double theta = isBeyond ? DynamicTheta(position + 1.0) : 0;
        for (int i = 0; i < _frequencies.Length; i++)
        {
            (double sine, double cosine) = Math.SinCos(position * (isBeyond ? Frequency(theta, i) : _frequencies[i]));
            cos[i] = (float)(cosine * _parameters.Magnitude);
            sin[i] = (float)(sine * _parameters.Magnitude);
        }
    }

    private double Frequency(double theta, int pair) => Math.Pow(theta, -2.0 * pair / RotaryDim);

    private double DynamicTheta(double length) => _parameters.Theta * Math.Pow(
        _parameters.Factor * length / _parameters.OriginalMaxPositions - (_parameters.Factor - 1), RotaryDim / (RotaryDim - 2.0));

    private double LlamaFactor(double frequency)
    {
        double rotations = _parameters.OriginalMaxPositions * frequency / (2 * Math.PI);
        double kept = Math.Clamp(
            (rotations - _parameters.LowFrequencyFactor) / (_parameters.HighFrequencyFactor - _parameters.LowFrequencyFactor), 0, 1);
        return kept + (1 - kept) / _parameters.Factor;
    }

    private void ScaleByRamp()
    {
        double low = DimensionOf(_parameters.BetaFast), high = DimensionOf(_parameters.BetaSlow);
        if (_parameters.IsRampTruncated) (low, high) = (Math.Floor(low), Math.Ceiling(high));
        low = Math.Max(low, 0);
        high = Math.Min(high, RotaryDim - 1);
        if (low == high) high += 0.001;
        for (int i = 0; i < _frequencies.Length; i++)
        {
            double interpolated = Math.Clamp((i - low) / (high - low), 0, 1);
            _frequencies[i] *= 1 - interpolated + interpolated / _parameters.Factor;
        }
    }

    /// <summary>The pair, as a fraction, that turns so many times within the original context.</summary>
    private double DimensionOf(double rotations) =>
        RotaryDim * Math.Log(_parameters.OriginalMaxPositions / (rotations * 2 * Math.PI)) / (2 * Math.Log(_parameters.Theta));
}
