using System.Globalization;
using System.Text;
using Hydragen.Core;
using Hydragen.Cpu;
using Hydragen.Models;
using Hydragen.Text;

namespace Hydragen.Engine.Tests;

/// <summary>A small random Llama with a byte tokenizer, written to a temporary folder and loaded like any model.</summary>
internal sealed class TinyModel : IDisposable
{
    public const int VocabularySize = 257;
    public const int EosTokenId = 256;
    private const int HiddenSize = 48, IntermediateSize = 80, NumLayers = 2, NumHeads = 6, NumKvHeads = 2;
    private readonly IComputeBackend _backend;
    private DecoderModel? _whole;

    public TinyModel(long? maxKvBytes = null, int maxBatchRows = 128, int contextLength = 512, int maxBatchSize = 4096, bool? runsAhead = null,
        IComputeBackend? backend = null, ElementType type = ElementType.Float32, int headDim = 8, ElementType? kvType = null, ElementType? prefixKvType = null,
        KvScaling kvScaling = KvScaling.None, float headFactor = 1)
    {
        _backend = backend ?? new CpuBackend();
        Folder = WriteFolder(contextLength, headDim, headFactor);
        Model = DecoderModel.Load(
            Folder, _backend, new DecoderOptions { MaxBatchRows = maxBatchRows, ComputeType = type, KvType = kvType, PrefixKvType = prefixKvType, KvScaling = kvScaling });
        Tokenizer = Tokenizer.Load(Folder);
        Engine = new InferenceEngine(Model, Tokenizer, new InferenceEngineOptions { MaxKvBytes = maxKvBytes, MaxBatchSize = maxBatchSize, RunsAhead = runsAhead });
    }

    public string Folder { get; }

    public DecoderModel Model { get; }

    public Tokenizer Tokenizer { get; }

    public InferenceEngine Engine { get; }

    public long BytesPerPage => BytesOf(PageKind.Suffix);

    public long BytesOf(PageKind kind)
    {
        using KvCache cache = Model.CreateKvCache(0);
        return cache.BytesOf(kind);
    }

    /// <summary>Greedy tokens by the plainest way: the whole sequence again for each of them.</summary>
    public int[] GreedyWithoutCache(IReadOnlyList<int> prompt, int numNewTokens)
    {
        List<int> tokenIds = [.. prompt];
        for (int i = 0; i < numNewTokens; i++)
        {
            float[] logits = LastLogits(tokenIds);
            tokenIds.Add(Array.IndexOf(logits, logits.Max()));
        }
        return [.. tokenIds[prompt.Count..]];
    }

    public void Dispose()
    {
        Engine.Dispose();
        Model.Dispose();
        _whole?.Dispose();
        _backend.Dispose();
        Directory.Delete(Folder, recursive: true);
    }

    private float[] LastLogits(List<int> tokenIds)
    {
        _whole ??= DecoderModel.Load(Folder, _backend);
        using KvCache cache = _whole.CreateKvCache(8);
        int[] pages = [0, 1, 2, 3, 4, 5, 6, 7];
        var builder = new AttentionPlanBuilder();
        builder.AddRows(0, tokenIds.Count);
        builder.AddSegment(0, tokenIds.Count, pages, 0, tokenIds.Count, 0, AttentionMask.Causal);
        var logits = new float[VocabularySize];
        _whole.Forward([.. tokenIds], [.. Enumerable.Range(0, tokenIds.Count)], builder.Build(), [tokenIds.Count - 1], cache, logits);
        return logits;
    }

    /// <param name="contextLength">Of the model.</param>
    /// <param name="headDim">Of the model.</param>
    /// <param name="headFactor">A power of two. Keys and values of the last head are so many times as large, and what reads them so much smaller: the model is the same.</param>
    private static string WriteFolder(int contextLength, int headDim, float headFactor)
    {
        string folder = Directory.CreateTempSubdirectory("hydragen-test-").FullName;
        File.WriteAllText(Path.Combine(folder, "config.json"), string.Create(CultureInfo.InvariantCulture, $$"""
            {
              "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": {{VocabularySize}}, "hidden_size": {{HiddenSize}},
              "intermediate_size": {{IntermediateSize}}, "num_hidden_layers": {{NumLayers}}, "num_attention_heads": {{NumHeads}},
              "num_key_value_heads": {{NumKvHeads}}, "head_dim": {{headDim}}, "max_position_embeddings": {{contextLength}}, "rms_norm_eps": 1e-5,
              "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": false, "eos_token_id": {{EosTokenId}}, "torch_dtype": "float32"
            }
            """));
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), TokenizerJson());
        var random = new Random(7);
        var entries = new List<SafetensorsEntry>();
        void Add(string name, float deviation, params long[] shape) => AddScaled(name, deviation, _ => 1, shape);
        void AddScaled(string name, float deviation, Func<int, float> factor, params long[] shape)
        {
            var values = new float[shape.Aggregate(1L, (a, b) => a * b)];
            for (int i = 0; i < values.Length; i++) values[i] = (deviation == 0 ? 1 : deviation * (float)(random.NextDouble() * 2 - 1)) * factor(i);
            entries.Add(SafetensorsEntry.FromSingles(name, shape, values));
        }
        Add("model.embed_tokens.weight", 1, VocabularySize, HiddenSize);
        for (int layer = 0; layer < NumLayers; layer++)
        {
            string prefix = $"model.layers.{layer}.";
            Add(prefix + "input_layernorm.weight", 0, HiddenSize);
            Add(prefix + "post_attention_layernorm.weight", 0, HiddenSize);
            const int lastHead = NumKvHeads - 1, groupSize = NumHeads / NumKvHeads;
            float Smaller(int element) => element / headDim / groupSize == lastHead ? 1 / headFactor : 1;
            float Larger(int i) => i / HiddenSize / headDim == lastHead ? headFactor : 1;
            AddScaled(prefix + "self_attn.q_proj.weight", 0.5f, i => Smaller(i / HiddenSize), NumHeads * headDim, HiddenSize);
            AddScaled(prefix + "self_attn.k_proj.weight", 0.5f, Larger, NumKvHeads * headDim, HiddenSize);
            AddScaled(prefix + "self_attn.v_proj.weight", 0.5f, Larger, NumKvHeads * headDim, HiddenSize);
            AddScaled(prefix + "self_attn.o_proj.weight", 0.5f, i => Smaller(i % (NumHeads * headDim)), HiddenSize, NumHeads * headDim);
            Add(prefix + "mlp.gate_proj.weight", 0.3f, IntermediateSize, HiddenSize);
            Add(prefix + "mlp.up_proj.weight", 0.3f, IntermediateSize, HiddenSize);
            Add(prefix + "mlp.down_proj.weight", 0.3f, HiddenSize, IntermediateSize);
        }
        Add("model.norm.weight", 0, HiddenSize);
        Add("lm_head.weight", 0.5f, VocabularySize, HiddenSize);
        SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), entries);
        return folder;
    }

    /// <summary>Byte-level BPE without merges: one token a byte.</summary>
    private static string TokenizerJson()
    {
        var vocabulary = new StringBuilder();
        int next = 256;
        for (int value = 0; value < 256; value++)
        {
            bool isPrintable = value is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE;
            int codePoint = isPrintable ? value : next++;
            vocabulary.Append(CultureInfo.InvariantCulture, $"{(value == 0 ? "" : ",")}\"\\u{codePoint:x4}\":{value}");
        }
        return $$$"""
            {"version":"1.0","added_tokens":[{"id":256,"content":"<end>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
             "normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},
             "post_processor":null,"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
             "model":{"type":"BPE","vocab":{{{{vocabulary}}}},"merges":[]}}
            """;
    }
}
