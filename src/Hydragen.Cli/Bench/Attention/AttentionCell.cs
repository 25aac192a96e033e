using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>One point of a sweep.</summary>
/// <param name="Shape">Heads.</param>
/// <param name="Batch">Sequences.</param>
/// <param name="Prefix">Tokens before the own ones of each sequence.</param>
/// <param name="Suffix">Tokens of its own of each sequence, the queries' included.</param>
internal sealed record AttentionCell(AttentionShape Shape, int Batch, int Prefix, int Suffix)
{
    /// <summary>The tree that the prefix is a path of, from the root down; one node for all sequences unless it says otherwise.</summary>
    public IReadOnlyList<TreeLevel> Levels { get; init; } = Prefix > 0 ? [new TreeLevel(1, Prefix)] : [];

    /// <summary>Whether the parts of a step are worth their own times here; of cells that differ in little else, only one has to be.</summary>
    public bool HasParts { get; init; } = true;

    /// <summary>The published configuration that the point belongs to, or null.</summary>
    public PublishedConfiguration? Configuration { get; init; }

    /// <summary>Tokens of all nodes.</summary>
    public long NodeTokens => Levels.Sum(level => (long)level.NumNodes * level.Length);

    /// <summary>Whether both differ in nothing but their suffix.</summary>
    public bool IsBeside(AttentionCell other) =>
        Shape == other.Shape && Batch == other.Batch && Levels.SequenceEqual(other.Levels) && Configuration == other.Configuration;
}
