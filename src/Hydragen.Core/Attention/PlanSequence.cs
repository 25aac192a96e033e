namespace Hydragen.Core;

/// <summary>One sequence of a step: its queries and the cached tokens that it shares with nobody.</summary>
/// <param name="Node">The deepest node whose tokens it continues; −1 when it shares nothing.</param>
/// <param name="NumQueries">
/// Query rows. They are the sequence's last <c>NumQueries</c> own tokens; when it has no own tokens, they stand at the positions
/// from <paramref name="FirstPosition"/> on.
/// </param>
/// <param name="FirstPosition">Absolute position of its first own token.</param>
/// <param name="NumKeys">Own tokens: 0, or at least <paramref name="NumQueries"/>.</param>
/// <param name="Pages">Page ids of the own tokens; the first lies in slot 0 of the first page.</param>
public readonly record struct PlanSequence(int Node, int NumQueries, int FirstPosition, int NumKeys, ReadOnlyMemory<int> Pages);
