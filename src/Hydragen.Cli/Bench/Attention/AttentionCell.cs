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

    /// <summary>Query rows of each sequence: its last tokens.</summary>
    public int QueryLength { get; init; } = 1;

    /// <summary>So many sequences, the first ones, have one query row whatever <see cref="QueryLength"/> says: they decode.</summary>
    public int NumDecoding { get; init; }

    /// <summary>Query rows of the batch.</summary>
    public long NumRows => NumDecoding + (long)(Batch - NumDecoding) * QueryLength;

    /// <summary>Tokens of all nodes.</summary>
    public long NodeTokens => Levels.Sum(level => (long)level.NumNodes * level.Length);

    /// <summary>Whether both differ in nothing but their suffix.</summary>
    public bool IsBeside(AttentionCell other) =>
        Shape == other.Shape && Batch == other.Batch && QueryLength == other.QueryLength && NumDecoding == other.NumDecoding && Levels.SequenceEqual(other.Levels) && Configuration == other.Configuration;

    /// <summary>Query rows of a sequence.</summary>
    public int QueriesOf(int sequence) => sequence < NumDecoding ? 1 : QueryLength;

    /// <summary>Floating-point operations of a mode's step: two products of headDim elements for each query head and key that it sees.</summary>
    public double Flops(AttentionMode mode)
    {
        double pairs = NumDecoding * KeysOf(1) + (Batch - NumDecoding) * (double)QueryLength * KeysOf(QueryLength);
        return 4.0 * Shape.NumHeads * Shape.HeadDim * pairs;

        double KeysOf(int queryLength)
        {
            double hidden = (queryLength - 1) / 2.0; // causal: the mean row does not see half of the query's own tokens
            double own = Suffix == 0 ? 0 : Suffix - hidden;
            return mode switch
            {
                AttentionMode.Nodes => Prefix,
                AttentionMode.Sequences => own,
                _ => Prefix + own,
            };
        }
    }
}
