using Hydragen.Core;
using Hydragen.Engine;
using Hydragen.Models;

namespace Hydragen.Cli.Bench;

/// <summary>What a model costs: floating-point operations, and the fewest bytes that must be read from memory.</summary>
/// <param name="LayerWeights">Weights of the matrix products of all layers.</param>
/// <param name="HeadWeights">Weights of the output layer.</param>
/// <param name="FlopsPerKey">Operations for each key that a token sees, in all layers.</param>
/// <param name="WeightBytes">Bytes of the weights that a step reads, on all ranks together.</param>
/// <param name="KvBytes">Bytes of one cached token of a sequence, on all ranks together.</param>
internal sealed record ModelWork(double LayerWeights, double HeadWeights, double FlopsPerKey, double WeightBytes, double KvBytes)
{
    /// <summary>Bytes of one cached token of a prefix.</summary>
    public double PrefixKvBytes { get; init; } = KvBytes;

    /// <summary>That of a model and the cache it needs.</summary>
    public static ModelWork Of(DecoderModel model)
    {
        using KvCache cache = model.CreateKvCache(0);
        int numRanks = model.Group?.Size ?? 1;
        return Of(model.Configuration, model.WeightBytesPerStep, (double)cache.BytesPerPage / KvCache.PageSize * numRanks) with
        {
            PrefixKvBytes = (double)cache.BytesOf(PageKind.Prefix) / KvCache.PageSize * numRanks,
        };
    }

    /// <inheritdoc cref="Of(DecoderModel)"/>
    public static ModelWork Of(ModelConfiguration model, double weightBytes, double kvBytes)
    {
        AttentionShape heads = model.Heads;
        double layers = model.NumLayers * (double)model.HiddenSize * (2.0 * heads.HeadDim * (heads.NumHeads + heads.NumKvHeads) + 3.0 * model.IntermediateSize);
        return new ModelWork(
            layers, (double)model.VocabularySize * model.HiddenSize, 4.0 * model.NumLayers * heads.NumHeads * heads.HeadDim, weightBytes, kvBytes);
    }

    /// <summary>
    /// Operations of decoding a cell, the first token of each sequence excluded: two for each weight of the matrix products, and four
    /// for each element of query and key that meet.
    /// </summary>
    public double DecodeFlops(GenerationCell cell, SharingMode mode)
    {
        double meanLength = cell.Length - cell.NewTokens / 2.0;
        double attention = mode == SharingMode.NoAttention ? 0 : FlopsPerKey * meanLength;
        return cell.Batch * (cell.NewTokens - 1.0) * (2 * (LayerWeights + HeadWeights) + attention);
    }

    /// <summary>
    /// Bytes that decoding a cell reads, the first token of each sequence excluded: the weights once a step; keys and values of the
    /// shared prompt once a step, or once for each sequence; and those of the sequences.
    /// </summary>
    /// <param name="cell">The cell.</param>
    /// <param name="mode">The mode.</param>
    /// <param name="ownsPrompt">Whether the one sequence has the prompt for itself.</param>
    public double DecodeBytes(GenerationCell cell, SharingMode mode, bool ownsPrompt = false)
    {
        double own = cell.Batch * (cell.Suffix + cell.NewTokens / 2.0);
        double prefix = cell.Prefix * (mode == SharingMode.Hydragen ? 1.0 : cell.Batch) * (ownsPrompt ? KvBytes : PrefixKvBytes);
        double keys = mode == SharingMode.NoAttention ? 0 : prefix + own * KvBytes;
        return (cell.NewTokens - 1.0) * (WeightBytes + keys);
    }

    /// <summary>Operations of computing prompt tokens; logits are left out, which few of them need.</summary>
    /// <param name="firstPosition">Position of the first.</param>
    /// <param name="numTokens">How many.</param>
    /// <param name="mode">Whether there is attention.</param>
    public double PrefillFlops(double firstPosition, double numTokens, SharingMode mode) =>
        numTokens * (2 * LayerWeights + (mode == SharingMode.NoAttention ? 0 : FlopsPerKey * (firstPosition + (numTokens + 1) / 2)));
}
