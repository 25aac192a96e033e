namespace Hydragen.Core;

/// <summary>One node of a prefix tree with its dense keys and values.</summary>
/// <param name="Parent">Index of the node that it continues, less than its own; −1 for a root.</param>
/// <param name="Length">Tokens, 0 allowed.</param>
/// <param name="Key">FP32 <c>[length, numKvHeads, headDim]</c>.</param>
/// <param name="Value">FP32 <c>[length, numKvHeads, headDim]</c>.</param>
public sealed record SharedPrefixNode(int Parent, int Length, ReadOnlyMemory<float> Key, ReadOnlyMemory<float> Value);
