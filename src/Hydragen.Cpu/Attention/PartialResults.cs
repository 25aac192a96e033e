namespace Hydragen.Cpu;

/// <summary>
/// Partial results as the softmax leaves them: not divided yet, with the maximum and the sum of weights apart, so that a merge
/// loses nothing that an unsplit row would keep. A part without keys has zeros and a maximum of −∞.
/// </summary>
internal readonly unsafe struct PartialResults(float* sums, float* weights, float* maxBase2)
{
    /// <summary>FP32 <c>[numSlots, headDim]</c>: Σ 2^(logit − max) · value.</summary>
    public readonly float* Sums = sums;

    /// <summary>FP32 <c>[numSlots]</c>: Σ 2^(logit − max).</summary>
    public readonly float* Weights = weights;

    /// <summary>FP32 <c>[numSlots]</c>: the largest logit, in base 2; the merge overwrites it.</summary>
    public readonly float* MaxBase2 = maxBase2;
}
