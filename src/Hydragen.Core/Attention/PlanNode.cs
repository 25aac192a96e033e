namespace Hydragen.Core;

/// <summary>A stretch of cached tokens that several sequences may share: one node of a prefix tree.</summary>
/// <param name="Parent">Index of the node that it continues, less than its own index; −1 for a root.</param>
/// <param name="FirstPosition">Absolute position of its first token.</param>
/// <param name="NumKeys">Its tokens, 0 allowed.</param>
/// <param name="Pages">Page ids; the first token lies in slot 0 of the first.</param>
public readonly record struct PlanNode(int Parent, int FirstPosition, int NumKeys, ReadOnlyMemory<int> Pages);
