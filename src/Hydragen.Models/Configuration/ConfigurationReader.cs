using Hydragen.Core;

namespace Hydragen.Models;

/// <summary>Turns <c>config.json</c>, as any version of transformers since 4.37 writes it, into a <see cref="ModelConfiguration"/>.</summary>
internal static class ConfigurationReader
{
    private const int MaxFileBytes = 1 << 20;
    private const int MaxLayers = 4096;

    public static ModelConfiguration Load(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        string configPath = Path.Combine(folder, "config.json");
        string generationPath = Path.Combine(folder, "generation_config.json");
        if (!Directory.Exists(folder)) throw new DirectoryNotFoundException($"{folder}: there is no such folder.");
        JsonFields config = JsonFields.ReadFile(configPath, MaxFileBytes);
        JsonFields? generation = File.Exists(generationPath) ? JsonFields.ReadFile(generationPath, MaxFileBytes) : null;
        return Read(config, generation);
    }

    private static ModelConfiguration Read(JsonFields config, JsonFields? generation)
    {
        if (config.Has("quantization_config")) throw config.Error("quantization_config", "is set, but quantized weights are not supported");
        Architecture architecture = Architecture.Find(config);
        int hiddenSize = config.RequiredInteger("hidden_size", 1, 1 << 20);
        int numLayers = config.RequiredInteger("num_hidden_layers", 1, MaxLayers);
        AttentionShape heads = ReadHeads(config, architecture, hiddenSize);
        int maxPositions = config.Integer("max_position_embeddings", 1, 1 << 30) ?? architecture.MaxPositions;
        RotaryParameters rotary = RotaryReader.Read(config, architecture, heads.HeadDim, maxPositions);
        bool hasAttentionBias = architecture.Biases == BiasRule.AttentionBiasKey && (config.Boolean("attention_bias") ?? false);

        var result = new ModelConfiguration
        {
            Architecture = architecture.Name,
            VocabularySize = config.RequiredInteger("vocab_size", 1, 1 << 24),
            HiddenSize = hiddenSize,
            IntermediateSize = config.RequiredInteger("intermediate_size", 1, 1 << 22),
            NumLayers = numLayers,
            Heads = heads,
            MaxContextLength = RotaryReader.ContextLength(rotary, maxPositions),
            Rotary = rotary,
            SlidingWindows = ReadWindows(config, architecture, numLayers),
            NormEpsilon = (float)(config.PositiveNumber("rms_norm_eps") ?? architecture.NormEpsilon),
            Activation = ReadActivation(config, architecture),
            TieWordEmbeddings = config.Boolean("tie_word_embeddings") ?? architecture.TieWordEmbeddings,
            EosTokenIds = ReadTokenIds(config, generation, "eos_token_id") ?? [],
            BosTokenId = ReadTokenIds(config, generation, "bos_token_id") is [int bos, ..] ? bos : null,
            HasQueryKeyValueBias = hasAttentionBias || architecture.Biases == BiasRule.QueryKeyValue,
            HasOutputBias = hasAttentionBias,
            HasMlpBias = architecture.HasMlpBiasKey && (config.Boolean("mlp_bias") ?? false),
            HasFusedProjections = architecture.HasFusedProjections,
            HasQueryKeyNorm = architecture.HasQueryKeyNorm,
            HasSandwichNorms = architecture.HasSandwichNorms,
            HasUnitOffsetNorms = architecture.HasUnitOffsetNorms,
            EmbeddingScale = architecture.HasScaledEmbedding ? (float)Math.Sqrt(hiddenSize) : 1,
        };
        if (architecture.HasQueryScalar)
            result = result with { AttentionScale = (float)(1 / Math.Sqrt(config.PositiveNumber("query_pre_attn_scalar") ?? 256)) };
        if (architecture.HasSoftCaps)
        {
            result = result with
            {
                AttentionLogitSoftCap = ReadSoftCap(config, "attn_logit_softcapping", 50),
                FinalLogitSoftCap = ReadSoftCap(config, "final_logit_softcapping", 30),
            };
        }
        if (architecture.HasMultipliers)
        {
            result = result with
            {
                EmbeddingScale = (float)(config.Number("embedding_multiplier") ?? 1),
                AttentionScale = (float)(config.Number("attention_multiplier") ?? 1),
                ResidualScale = (float)(config.Number("residual_multiplier") ?? 1),
                LogitScale = (float)(1 / (config.PositiveNumber("logits_scaling") ?? 1)),
            };
        }
        HarmlessKeys.RefuseOthers(config);
        return result;
    }

    private static AttentionShape ReadHeads(JsonFields config, Architecture architecture, int hiddenSize)
    {
        int numHeads = config.RequiredInteger("num_attention_heads", 1, 1 << 12);
        int numKvHeads = config.Integer("num_key_value_heads", 1, 1 << 12) ?? architecture.NumKvHeads ?? numHeads;
        int? headDim = config.Integer("head_dim", 1, 1 << 12) ?? architecture.HeadDim;
        if (headDim is null && hiddenSize % numHeads != 0)
            throw config.Error("hidden_size", $"is {hiddenSize}, which {numHeads} heads do not divide, and head_dim is missing");
        try
        {
            return new AttentionShape(numHeads, numKvHeads, headDim ?? hiddenSize / numHeads);
        }
        catch (ArgumentOutOfRangeException e)
        {
            string name = e.ParamName == "numKvHeads" ? "num_key_value_heads" : "head_dim";
            throw config.Error(name, $"gives {e.ActualValue}: {e.Message.Split(" (Parameter", 2)[0]}");
        }
    }

    private static int?[] ReadWindows(JsonFields config, Architecture architecture, int numLayers)
    {
        var windows = new int?[numLayers];
        string[]? layerTypes = config.Texts("layer_types", MaxLayers);
        if (layerTypes is not null && layerTypes.Length != numLayers)
            throw config.Error("layer_types", $"has {layerTypes.Length} entries for {numLayers} layers");
        int? window = null;
        int firstUpperLayer = 0;
        if (architecture.Windows != WindowRule.None)
        {
            // An explicit null switches the window off; a missing key stands for the architecture's default.
            window = config.Value.TryGetProperty("sliding_window", out _) ? config.Integer("sliding_window", 1, int.MaxValue) : architecture.SlidingWindow;
            if (config.Integer("sliding_window_size", 1, int.MaxValue) is int size && size != window)
                throw config.Error("sliding_window_size", $"is {size}, but sliding_window is {window}");
        }
        if (architecture.Windows == WindowRule.UpperLayers)
        {
            if (config.Boolean("use_sliding_window") != true) window = null;
            firstUpperLayer = config.Integer("max_window_layers", 0, int.MaxValue) ?? 28;
        }
        for (int layer = 0; layer < numLayers; layer++)
        {
            bool isSliding = architecture.Windows switch
            {
                WindowRule.AllLayers => window is not null,
                WindowRule.UpperLayers => window is not null && layer >= firstUpperLayer,
                WindowRule.EvenLayers => layer % 2 == 0,
                _ => false,
            };
            if (layerTypes is not null)
            {
                bool isFixed = architecture.Windows is WindowRule.None or WindowRule.AllLayers;
                bool isNamedSliding = layerTypes[layer] == "sliding_attention";
                if ((!isNamedSliding && layerTypes[layer] != "full_attention") || (isFixed && isNamedSliding != isSliding))
                    throw config.Error("layer_types", $"names '{layerTypes[layer]}' for layer {layer}, which {architecture.Name} does not support here");
                isSliding = isNamedSliding;
            }
            if (isSliding && window is null) throw config.Error("sliding_window", $"is not set, but layer {layer} uses sliding attention");
            windows[layer] = isSliding ? window : null;
        }
        return windows;
    }

    private static ActivationKind ReadActivation(JsonFields config, Architecture architecture)
    {
        if (architecture.ActivationKey != "hidden_act") config.Ignore("hidden_act");
        string name = config.Text(architecture.ActivationKey) ?? architecture.Activation;
        return name switch
        {
            "silu" or "swish" => ActivationKind.Silu,
            "gelu" => ActivationKind.Gelu,
            "gelu_pytorch_tanh" or "gelu_new" => ActivationKind.GeluTanh,
            _ => throw config.Error(architecture.ActivationKey, $"is '{name}', which is not supported; supported are silu, gelu and gelu_pytorch_tanh"),
        };
    }

    private static float? ReadSoftCap(JsonFields config, string name, double defaultValue) =>
        config.Value.TryGetProperty(name, out _) ? (float?)config.PositiveNumber(name) : (float)defaultValue;

    private static int[]? ReadTokenIds(JsonFields config, JsonFields? generation, string name)
    {
        int[]? fromConfig = config.TokenIds(name);
        return generation?.TokenIds(name) ?? fromConfig;
    }
}
