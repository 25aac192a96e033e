namespace Hydragen.Cli.Bench;

/// <summary>Slots of a cache that follow one another, and the tokens that go there: equal streams and tokens get equal numbers.</summary>
/// <param name="FirstSlot">First slot id.</param>
/// <param name="NumTokens">Slots, and tokens.</param>
/// <param name="Stream">What the tokens are part of: a sequence (0 and more) or a node of the prefix tree (less than 0).</param>
/// <param name="FirstToken">Index of the first token in its stream.</param>
internal readonly record struct TokenRun(int FirstSlot, int NumTokens, int Stream, int FirstToken);
