using Hydragen.Core;

namespace Hydragen.Models;

/// <summary>Everything that the decoder needs to know about a model, read from its folder and checked. Immutable.</summary>
public sealed record ModelConfiguration
{
    /// <summary>The architecture as the model's files name it, such as <c>LlamaForCausalLM</c>.</summary>
    public required string Architecture { get; init; }

    /// <summary>Tokens of the vocabulary.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Elements of a hidden state.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Elements of the feed-forward layer's inner state.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Decoder layers.</summary>
    public required int NumLayers { get; init; }

    /// <summary>Query heads, key/value heads and head size.</summary>
    public required AttentionShape Heads { get; init; }

    /// <summary>Tokens of the longest sequence, stretching by rotary scaling included.</summary>
    public required int MaxContextLength { get; init; }

    /// <summary>Rotary position embedding.</summary>
    public required RotaryParameters Rotary { get; init; }

    /// <summary>For each layer, the last positions that a query sees, its own included; null for all.</summary>
    public required IReadOnlyList<int?> SlidingWindows { get; init; }

    /// <summary>Added to the mean square in every norm.</summary>
    public required float NormEpsilon { get; init; }

    /// <summary>Function that gates the feed-forward layers.</summary>
    public required ActivationKind Activation { get; init; }

    /// <summary>Whether the output layer is the embedding table.</summary>
    public bool TieWordEmbeddings { get; init; }

    /// <summary>Tokens that end a sequence; may be empty.</summary>
    public IReadOnlyList<int> EosTokenIds { get; init; } = [];

    /// <summary>The token that starts a sequence, or null.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>Whether the query, key and value projections have biases.</summary>
    public bool HasQueryKeyValueBias { get; init; }

    /// <summary>Whether the attention output projection has a bias.</summary>
    public bool HasOutputBias { get; init; }

    /// <summary>Whether the feed-forward projections have biases.</summary>
    public bool HasMlpBias { get; init; }

    /// <summary>Whether the files hold query, key and value, and gate and up, as one tensor each.</summary>
    public bool HasFusedProjections { get; init; }

    /// <summary>Whether query and key heads are normalised before they are rotated.</summary>
    public bool HasQueryKeyNorm { get; init; }

    /// <summary>Whether attention and feed-forward results are normalised before they are added to the residual stream.</summary>
    public bool HasSandwichNorms { get; init; }

    /// <summary>Whether the files hold norm weights minus one.</summary>
    public bool HasUnitOffsetNorms { get; init; }

    /// <summary>Factor on embeddings.</summary>
    public float EmbeddingScale { get; init; } = 1;

    /// <summary>Factor on q·k; null means headDim^-0.5.</summary>
    public float? AttentionScale { get; init; }

    /// <summary>Factor on what each half of a layer adds to the residual stream.</summary>
    public float ResidualScale { get; init; } = 1;

    /// <summary>Factor on logits.</summary>
    public float LogitScale { get; init; } = 1;

    /// <summary>Bound of the soft-capped attention logits; null means uncapped.</summary>
    public float? AttentionLogitSoftCap { get; init; }

    /// <summary>Bound of the soft-capped output logits; null means uncapped.</summary>
    public float? FinalLogitSoftCap { get; init; }

    /// <summary>
    /// Reads <c>config.json</c> and, if there is one, <c>generation_config.json</c>, whose end and start tokens take precedence.
    /// Custom code that the files refer to is never run.
    /// </summary>
    /// <param name="folder">The model's folder.</param>
    /// <exception cref="ModelFormatException">A file is malformed or asks for something that is not supported.</exception>
    /// <exception cref="IOException">The folder has no <c>config.json</c>.</exception>
    public static ModelConfiguration Load(string folder) => ConfigurationReader.Load(folder);
}
