using System.Runtime.InteropServices;
using System.Text.Json.Nodes;

namespace Hydragen.Models.Tests;

/// <summary>A random Llama small enough to be written and broken hundreds of times.</summary>
internal static class TinyLlama
{
    public const int VocabularySize = 11, HiddenSize = 16, IntermediateSize = 12, NumLayers = 2, NumHeads = 2, NumKvHeads = 1, HeadDim = 8;

    public static JsonObject Config() => JsonNode.Parse($$"""
        {
          "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": {{VocabularySize}}, "hidden_size": {{HiddenSize}},
          "intermediate_size": {{IntermediateSize}}, "num_hidden_layers": {{NumLayers}}, "num_attention_heads": {{NumHeads}},
          "num_key_value_heads": {{NumKvHeads}}, "hidden_act": "silu", "max_position_embeddings": 256, "rms_norm_eps": 1e-05,
          "rope_theta": 10000.0, "rope_scaling": null, "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": 2,
          "torch_dtype": "float32"
        }
        """)!.AsObject();

    /// <summary>Name and shape of every tensor.</summary>
    public static Dictionary<string, long[]> Shapes()
    {
        var shapes = new Dictionary<string, long[]>
        {
            ["model.embed_tokens.weight"] = [VocabularySize, HiddenSize],
            ["model.norm.weight"] = [HiddenSize],
            ["lm_head.weight"] = [VocabularySize, HiddenSize],
        };
        for (int layer = 0; layer < NumLayers; layer++)
        {
            string prefix = $"model.layers.{layer}.";
            shapes[prefix + "input_layernorm.weight"] = [HiddenSize];
            shapes[prefix + "post_attention_layernorm.weight"] = [HiddenSize];
            shapes[prefix + "self_attn.q_proj.weight"] = [NumHeads * HeadDim, HiddenSize];
            shapes[prefix + "self_attn.k_proj.weight"] = [NumKvHeads * HeadDim, HiddenSize];
            shapes[prefix + "self_attn.v_proj.weight"] = [NumKvHeads * HeadDim, HiddenSize];
            shapes[prefix + "self_attn.o_proj.weight"] = [HiddenSize, NumHeads * HeadDim];
            shapes[prefix + "mlp.gate_proj.weight"] = [IntermediateSize, HiddenSize];
            shapes[prefix + "mlp.up_proj.weight"] = [IntermediateSize, HiddenSize];
            shapes[prefix + "mlp.down_proj.weight"] = [HiddenSize, IntermediateSize];
        }
        return shapes;
    }

    /// <summary>An FP32 tensor with values that its name determines.</summary>
    public static SafetensorsEntry Tensor(string name, long[] shape)
    {
        var random = new Random(name.Aggregate(17, (hash, letter) => unchecked(hash * 31 + letter)));
        var values = new float[shape.Aggregate(1L, (a, b) => a * b)];
        for (int i = 0; i < values.Length; i++) values[i] = random.NextSingle() - (name.Contains("norm", StringComparison.Ordinal) ? 0 : 0.5f);
        return SafetensorsEntry.FromSingles(name, shape, values);
    }

    /// <summary>The same tensor rounded to BF16.</summary>
    public static SafetensorsEntry BFloat16Tensor(string name, long[] shape)
    {
        SafetensorsEntry single = Tensor(name, shape);
        return new SafetensorsEntry(name, SafetensorsDtype.BF16, shape, (offset, destination) =>
        {
            var values = new float[destination.Length / 2];
            single.Fill(offset * 2, MemoryMarshal.AsBytes(values.AsSpan()));
            for (int i = 0; i < values.Length; i++) BitConverter.TryWriteBytes(destination[(2 * i)..], Core.BFloat16Bits.FromSingle(values[i]));
        });
    }

    public static void Write(TemporaryFolder folder, JsonObject? config = null, Action<Dictionary<string, SafetensorsEntry>>? change = null)
    {
        File.WriteAllText(folder.File("config.json"), (config ?? Config()).ToJsonString());
        Dictionary<string, SafetensorsEntry> tensors = Shapes().ToDictionary(pair => pair.Key, pair => Tensor(pair.Key, pair.Value));
        change?.Invoke(tensors);
        SafetensorsWriter.Write(folder.File("model.safetensors"), [.. tensors.Values]);
    }

    /// <summary>Writes a model larger than any memory, without its numbers; false where the file system cannot.</summary>
    public static bool TryWriteTooLarge(TemporaryFolder folder)
    {
        JsonObject config = Config();
        config["vocab_size"] = 1 << 18;
        config["hidden_size"] = 1 << 18;
        config["num_attention_heads"] = 1 << 12;
        config["num_key_value_heads"] = 1 << 12;
        config["num_hidden_layers"] = 1;
        var shapes = new Dictionary<string, long[]>();
        foreach ((string name, long[] shape) in Shapes())
        {
            if (name.Contains("layers.1", StringComparison.Ordinal)) continue;
            shapes[name] = [.. shape.Select(extent => extent switch { VocabularySize => 1L << 18, IntermediateSize => extent, _ => 1 << 18 })];
        }
        File.WriteAllText(folder.File("config.json"), config.ToJsonString());
        var header = new JsonObject();
        long end = 0;
        foreach ((string name, long[] shape) in shapes)
        {
            long begin = end;
            end += shape.Aggregate(4L, (a, b) => a * b);
            header[name] = new JsonObject
            {
                ["dtype"] = "F32",
                ["shape"] = new JsonArray([.. shape.Select(extent => JsonValue.Create(extent))]),
                ["data_offsets"] = new JsonArray(begin, end),
            };
        }
        byte[] bytes = RawSafetensors.Bytes(header.ToJsonString(), 0);
        using (FileStream stream = File.Create(folder.File("model.safetensors")))
        {
            stream.Write(bytes);
            try
            {
                stream.SetLength(bytes.Length + end);
            }
            catch (Exception e) when (e is IOException or ArgumentOutOfRangeException)
            {
                return false;
            }
        }
        return true;
    }
}
