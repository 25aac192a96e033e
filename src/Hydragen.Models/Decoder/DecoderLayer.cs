using Hydragen.Core;

namespace Hydragen.Models;

/// <summary>The weights of one decoder layer. Optional ones are null where the architecture has none.</summary>
internal sealed class DecoderLayer
{
    /// <summary>[hiddenSize], before attention.</summary>
    public required DeviceBuffer InputNorm { get; init; }

    /// <summary>[(numHeads + 2 · numKvHeads) · headDim, hiddenSize], with bias.</summary>
    public required PackedMatrix QueryKeyValue { get; init; }

    /// <summary>[headDim] each.</summary>
    public required QueryKeyNorm? QueryKeyNorm { get; init; }

    /// <summary>Scale, window and cap of this layer's attention.</summary>
    public required AttentionOptions Attention { get; init; }

    /// <summary>[hiddenSize, numHeads · headDim], with bias.</summary>
    public required PackedMatrix Output { get; init; }

    /// <summary>[hiddenSize], on what attention yields.</summary>
    public required DeviceBuffer? PostAttentionNorm { get; init; }

    /// <summary>[hiddenSize], before the feed-forward layer.</summary>
    public required DeviceBuffer FeedForwardNorm { get; init; }

    /// <summary>[2 · intermediateSize, hiddenSize], with bias.</summary>
    public required PackedMatrix GateUp { get; init; }

    /// <summary>[hiddenSize, intermediateSize], with bias.</summary>
    public required PackedMatrix Down { get; init; }

    /// <summary>[hiddenSize], on what the feed-forward layer yields.</summary>
    public required DeviceBuffer? PostFeedForwardNorm { get; init; }
}
