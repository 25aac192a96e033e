namespace Hydragen.Cli.Bench;

/// <summary>Pages of KV memory.</summary>
/// <param name="Prefix">Pages of prefixes.</param>
/// <param name="Own">Pages of sequences.</param>
internal readonly record struct PageCount(long Prefix, long Own);
