namespace Hydragen.Models;

/// <summary>When the query, key, value and output projections have biases.</summary>
internal enum BiasRule
{
    /// <summary>Never.</summary>
    None,

    /// <summary>Queries, keys and values always, the output never.</summary>
    QueryKeyValue,

    /// <summary>All four when <c>attention_bias</c> is true.</summary>
    AttentionBiasKey,
}

/// <summary>Which layers use <c>sliding_window</c>.</summary>
internal enum WindowRule
{
    /// <summary>None; the key is not known.</summary>
    None,

    /// <summary>All, when it is set.</summary>
    AllLayers,

    /// <summary>From <c>max_window_layers</c> on, when <c>use_sliding_window</c> is true.</summary>
    UpperLayers,

    /// <summary>Those with even index.</summary>
    EvenLayers,
}

/// <summary>
/// One supported architecture: which options of the decoder it uses, and the values that its missing configuration keys stand
/// for. To add an architecture, add a row to <see cref="All"/>.
/// </summary>
internal sealed record Architecture(string Name, string ModelType)
{
    /// <summary>The table of supported architectures.</summary>
    public static IReadOnlyList<Architecture> All { get; } =
    [
        // Llama 1, 2, 3 and later, CodeLlama, Yi, and their descendants.
        new("LlamaForCausalLM", "llama") { Biases = BiasRule.AttentionBiasKey, HasMlpBiasKey = true, MaxPositions = 2048 },
        new("MistralForCausalLM", "mistral") { NumKvHeads = 8, Windows = WindowRule.AllLayers, SlidingWindow = 4096, MaxPositions = 131_072 },
        new("Qwen2ForCausalLM", "qwen2") { NumKvHeads = 32, Biases = BiasRule.QueryKeyValue, Windows = WindowRule.UpperLayers, SlidingWindow = 4096, MaxPositions = 32_768 },
        new("Qwen3ForCausalLM", "qwen3")
        {
            NumKvHeads = 32, HeadDim = 128, Biases = BiasRule.AttentionBiasKey, HasQueryKeyNorm = true,
            Windows = WindowRule.UpperLayers, SlidingWindow = 4096, MaxPositions = 32_768,
        },
        new("Phi3ForCausalLM", "phi3")
        {
            HasFusedProjections = true, HasPartialRotary = true, Windows = WindowRule.AllLayers, NormEpsilon = 1e-5, MaxPositions = 4096,
        },
        new("Gemma2ForCausalLM", "gemma2")
        {
            NumKvHeads = 4, HeadDim = 256, Biases = BiasRule.AttentionBiasKey, HasSandwichNorms = true, HasUnitOffsetNorms = true,
            HasScaledEmbedding = true, HasQueryScalar = true, HasSoftCaps = true, ActivationKey = "hidden_activation",
            Activation = "gelu_pytorch_tanh", Windows = WindowRule.EvenLayers, SlidingWindow = 4096, MaxPositions = 8192,
            TieWordEmbeddings = true,
        },
        new("GraniteForCausalLM", "granite") { Biases = BiasRule.AttentionBiasKey, HasMlpBiasKey = true, HasMultipliers = true, MaxPositions = 2048 },
    ];

    /// <summary>Rule for attention biases.</summary>
    public BiasRule Biases { get; init; }

    /// <summary>Whether <c>mlp_bias</c> gives the feed-forward projections biases.</summary>
    public bool HasMlpBiasKey { get; init; }

    /// <summary>Whether the files hold <c>qkv_proj</c> and <c>gate_up_proj</c> instead of their parts.</summary>
    public bool HasFusedProjections { get; init; }

    /// <summary>Whether query and key heads are normalised.</summary>
    public bool HasQueryKeyNorm { get; init; }

    /// <summary>Whether attention and feed-forward results are normalised before they are added to the residual stream.</summary>
    public bool HasSandwichNorms { get; init; }

    /// <summary>Whether norm weights are stored minus one.</summary>
    public bool HasUnitOffsetNorms { get; init; }

    /// <summary>Whether embeddings are multiplied by sqrt(hiddenSize).</summary>
    public bool HasScaledEmbedding { get; init; }

    /// <summary>Whether <c>query_pre_attn_scalar</c> sets the attention scale.</summary>
    public bool HasQueryScalar { get; init; }

    /// <summary>Whether <c>attn_logit_softcapping</c> and <c>final_logit_softcapping</c> are known.</summary>
    public bool HasSoftCaps { get; init; }

    /// <summary>Whether the embedding, attention, residual and logits multipliers are known.</summary>
    public bool HasMultipliers { get; init; }

    /// <summary>Whether <c>partial_rotary_factor</c> is known.</summary>
    public bool HasPartialRotary { get; init; }

    /// <summary>Rule for sliding windows.</summary>
    public WindowRule Windows { get; init; }

    /// <summary>The key of the activation.</summary>
    public string ActivationKey { get; init; } = "hidden_act";

    /// <summary>The activation when its key is missing.</summary>
    public string Activation { get; init; } = "silu";

    /// <summary>Key/value heads when the key is missing; null means as many as query heads.</summary>
    public int? NumKvHeads { get; init; }

    /// <summary>Head size when the key is missing; null means hiddenSize / numHeads.</summary>
    public int? HeadDim { get; init; }

    /// <summary>Window when the key is missing.</summary>
    public int? SlidingWindow { get; init; }

    /// <summary>Context when the key is missing.</summary>
    public required int MaxPositions { get; init; }

    /// <summary>Norm epsilon when the key is missing.</summary>
    public double NormEpsilon { get; init; } = 1e-6;

    /// <summary>Tying when the key is missing.</summary>
    public bool TieWordEmbeddings { get; init; }

    /// <summary>Finds the row of a configuration.</summary>
    public static Architecture Find(JsonFields config)
    {
        string[]? names = config.Texts("architectures", 16);
        string? modelType = config.Text("model_type");
        if (names is { Length: > 1 }) throw config.Error("architectures", $"must name one architecture, but names {names.Length}");
        string? name = names is { Length: 1 } ? names[0] : null;
        if (name is null && modelType is null) throw config.Error("architectures", "is missing");
        foreach (Architecture architecture in All)
        {
            if ((name ?? architecture.Name) != architecture.Name) continue;
            if (modelType is null || modelType == architecture.ModelType) return architecture;
            if (name is not null) throw config.Error("model_type", $"is '{modelType}', but architecture {name} is '{architecture.ModelType}'");
        }
        string supported = string.Join(", ", All.Select(static a => a.Name));
        throw name is not null
            ? config.Error("architectures", $"names {name}, which is not supported; supported are {supported}")
            : config.Error("model_type", $"is '{modelType}', which is not supported; supported are {supported}");
    }
}
