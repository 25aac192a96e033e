namespace Hydragen.Engine;

/// <summary>One scored sequence.</summary>
/// <param name="InputIndex">Its index in the list given.</param>
/// <param name="TokenIds">Its tokens.</param>
/// <param name="LogProbabilities">
/// Natural-log probability of each token given those before it, <c>[numTokens]</c>; NaN for the first, which has none before it.
/// </param>
/// <param name="Logits">FP32 <c>[numTokens, vocabularySize]</c>, when asked for.</param>
public sealed record ScoredSequence(int InputIndex, IReadOnlyList<int> TokenIds, float[] LogProbabilities, float[]? Logits);
