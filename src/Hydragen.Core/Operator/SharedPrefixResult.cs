namespace Hydragen.Core;

/// <summary>What attention yields for one sequence.</summary>
/// <param name="Output">FP32 <c>[queryLength, numHeads, headDim]</c>.</param>
/// <param name="LogSumExp">FP32 <c>[queryLength, numHeads]</c>, natural log; −∞ where a query sees no key.</param>
public sealed record SharedPrefixResult(float[] Output, float[] LogSumExp);
