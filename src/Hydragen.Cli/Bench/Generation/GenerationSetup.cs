using Hydragen.Core;
using Hydragen.Models;

namespace Hydragen.Cli.Bench;

/// <summary>What a run of the generation benchmark measures.</summary>
/// <param name="ModelName">What was given as the model.</param>
/// <param name="ComputeType">Type of activations.</param>
/// <param name="KvType">Type of KV memory.</param>
/// <param name="WeightType">How the weights of the matrix products are kept.</param>
/// <param name="Cells">The points to measure, in order.</param>
/// <param name="Modes">The modes that are measured side by side.</param>
/// <param name="Repeats">Interleaved rounds.</param>
/// <param name="MaxKvBytes">The most KV memory.</param>
internal sealed record GenerationSetup(
    string ModelName, ElementType ComputeType, ElementType KvType, WeightType WeightType, IReadOnlyList<GenerationCell> Cells, IReadOnlyList<SharingMode> Modes,
    int Repeats, long MaxKvBytes)
{
    /// <summary>Tokens of the longest sequence.</summary>
    public int ContextLength => Cells.Max(cell => cell.Length);

    /// <summary>
    /// Floating-point operations of decoding a cell, the first token of each sequence excluded: two for each weight of the matrix
    /// products, and four for each element of query and key that meet.
    /// </summary>
    public static double DecodeFlops(ModelConfiguration model, GenerationCell cell, SharingMode mode)
    {
        AttentionShape heads = model.Heads;
        double weights = (double)model.VocabularySize * model.HiddenSize + model.NumLayers * (double)model.HiddenSize
            * (2.0 * heads.HeadDim * (heads.NumHeads + heads.NumKvHeads) + 3.0 * model.IntermediateSize);
        double meanLength = cell.Length - cell.NewTokens / 2.0;
        double attention = mode == SharingMode.NoAttention ? 0 : 4.0 * model.NumLayers * heads.NumHeads * heads.HeadDim * meanLength;
        return cell.Batch * (cell.NewTokens - 1.0) * (2 * weights + attention);
    }
}
