namespace Hydragen.Cli.Bench;

/// <summary>A level of a prefix tree: so many nodes, of so many tokens each, shared out evenly among the nodes above.</summary>
internal readonly record struct TreeLevel(int NumNodes, int Length);
