using Hydragen.Core;

namespace Hydragen.Models;

/// <summary>
/// What one rank of a group keeps and computes of a model (tensor parallelism as in arXiv 1909.08053): whole heads of the attention with
/// their keys and values, and a range of the feed-forward layer's inner elements. Projections into these are split by rows of their
/// matrices, those out of them by columns, so that each half of a layer ends with a sum over the ranks. Embedding, norms and the residual
/// stream are the same everywhere; logits are computed by rank 0 alone.
/// </summary>
internal sealed class ModelShare
{
    private readonly ModelConfiguration _config;
    private readonly int _rank, _size;

    /// <param name="config">The whole model.</param>
    /// <param name="rank">Which rank.</param>
    /// <param name="size">Of how many; 1 for the whole model.</param>
    /// <exception cref="ArgumentException">The model cannot be split so; the message says what does not divide.</exception>
    public ModelShare(ModelConfiguration config, int rank, int size)
    {
        _config = config;
        _rank = rank;
        _size = size;
        AttentionShape heads = config.Heads;
        Refuse(heads.NumHeads, "query heads");
        Refuse(heads.NumKvHeads, "key/value heads");
        Refuse(config.IntermediateSize, "inner elements of the feed-forward layers");
        Heads = new AttentionShape(heads.NumHeads / size, heads.NumKvHeads / size, heads.HeadDim);
        IntermediateSize = config.IntermediateSize / size;
    }

    /// <summary>Heads of this rank; query heads stay with the key/value head that they read.</summary>
    public AttentionShape Heads { get; }

    /// <summary>Inner elements of the feed-forward layers of this rank.</summary>
    public int IntermediateSize { get; }

    /// <summary>Elements of the queries.</summary>
    public ShareRange Query => new(_rank * Heads.NumHeads * Heads.HeadDim, Heads.NumHeads * Heads.HeadDim);

    /// <summary>Elements of the keys, and of the values.</summary>
    public ShareRange KeyValue => new(_rank * Heads.NumKvHeads * Heads.HeadDim, Heads.NumKvHeads * Heads.HeadDim);

    /// <summary>Elements of gate and of up.</summary>
    public ShareRange Inner => new(_rank * IntermediateSize, IntermediateSize);

    /// <summary>Whether this rank adds what must be added once, and computes logits.</summary>
    public bool IsFirst => _rank == 0;

    private void Refuse(int count, string what)
    {
        if (count % _size == 0) return;
        int most = Math.Min(_config.Heads.NumKvHeads, _config.IntermediateSize);
        IEnumerable<int> possible = Enumerable.Range(1, most).Where(size =>
            _config.Heads.NumHeads % size == 0 && _config.Heads.NumKvHeads % size == 0 && _config.IntermediateSize % size == 0);
        throw new ArgumentException(
            $"The model's {count} {what} cannot be split over {_size} ranks; it can run on {string.Join(", ", possible)}.");
    }
}

/// <summary>A range of rows or columns of a matrix.</summary>
/// <param name="First">The first one.</param>
/// <param name="Count">How many.</param>
internal readonly record struct ShareRange(int First, int Count)
{
    /// <summary>The same range behind some others.</summary>
    public ShareRange Behind(int count) => this with { First = First + count };
}
