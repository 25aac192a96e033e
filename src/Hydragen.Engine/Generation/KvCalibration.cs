using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>What <see cref="KvScaling.Calibrated"/> found. Of several ranks, each knows the heads that it computes.</summary>
/// <param name="NumTokens">Tokens of the first prompt whose keys and values were looked at.</param>
/// <param name="NumHeads">Key/value heads of all layers, for each kind of FP8 pages.</param>
/// <param name="NumScaled">Those of them whose keys or values got a scale above 1.</param>
/// <param name="LargestScale">The largest scale.</param>
public sealed record KvCalibration(int NumTokens, int NumHeads, int NumScaled, float LargestScale)
{
    /// <summary>Sets the scales of all FP8 pages of an empty cache.</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="numTokens">Tokens that were looked at.</param>
    /// <param name="largest">Their largest magnitudes, <c>[numLayers, numKvHeads]</c>.</param>
    internal static KvCalibration Apply(KvCache cache, int numTokens, ReadOnlySpan<KvMagnitude> largest)
    {
        int numHeads = 0, numScaled = 0;
        float largestScale = 1;
        foreach (PageKind kind in cache.Kinds)
        {
            if (!cache.Shape.TypeOf(kind).IsFloat8()) continue;
            foreach (KvScale scale in cache.Calibrate(kind, largest))
            {
                numHeads++;
                if (scale.IsScaled) numScaled++;
                largestScale = Math.Max(largestScale, Math.Max(scale.Key, scale.Value));
            }
        }
        return new KvCalibration(numTokens, numHeads, numScaled, largestScale);
    }
}
