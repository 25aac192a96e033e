namespace Hydragen.Core;

/// <summary>The slopes of attention with linear biases (ALiBi, arXiv 2108.12409, section 3).</summary>
public static class AlibiSlopes
{
    /// <summary>
    /// For a power of two n: 2^(−8/n), 2^(−16/n), … For other counts the slopes of the power of two below, followed by every
    /// second slope of the power of two above, as the authors do.
    /// </summary>
    /// <returns>Slopes <c>[numHeads]</c>.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="numHeads"/> is less than 1.</exception>
    public static float[] ForHeads(int numHeads)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(numHeads, 1);
        int powerOfTwo = 1 << int.Log2(numHeads);
        var slopes = new float[numHeads];
        for (int head = 0; head < powerOfTwo; head++) slopes[head] = (float)Math.Pow(2, -8.0 * (head + 1) / powerOfTwo);
        for (int head = powerOfTwo; head < numHeads; head++)
            slopes[head] = (float)Math.Pow(2, -4.0 * (2 * (head - powerOfTwo) + 1) / powerOfTwo);
        return slopes;
    }
}
