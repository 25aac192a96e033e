namespace Hydragen.Cli.Bench;

/// <summary>One point of a sweep: so many sequences with a common prefix and so many tokens of their own, the queries' included.</summary>
internal readonly record struct AttentionCell(int Batch, int Prefix, int Suffix);
