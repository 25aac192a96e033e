namespace Hydragen.Core;

/// <summary>One sequence: its queries and the keys and values that belong to it alone.</summary>
/// <param name="Node">The node that it continues; −1 when it shares nothing.</param>
/// <param name="QueryLength">
/// Queries, 0 allowed. They are the sequence's last own tokens and attend causally; with a suffix of length 0 they own no key,
/// stand after all shared keys and see them all.
/// </param>
/// <param name="SuffixLength">Own tokens: 0, or at least <paramref name="QueryLength"/>.</param>
/// <param name="Query">FP32 <c>[queryLength, numHeads, headDim]</c>.</param>
/// <param name="Key">FP32 <c>[suffixLength, numKvHeads, headDim]</c>.</param>
/// <param name="Value">FP32 <c>[suffixLength, numKvHeads, headDim]</c>.</param>
public sealed record SharedPrefixSequence(
    int Node, int QueryLength, int SuffixLength, ReadOnlyMemory<float> Query, ReadOnlyMemory<float> Key, ReadOnlyMemory<float> Value);
