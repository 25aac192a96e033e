using System.Runtime.InteropServices;

namespace Hydragen.Models.Tests;

/// <summary>Writes random weights for any supported configuration.</summary>
internal static class RandomModel
{
    public static void Write(TemporaryFolder folder, string config, SafetensorsDtype dtype, int seed)
    {
        File.WriteAllText(folder.File("config.json"), config);
        var random = new Random(seed);
        var entries = new List<SafetensorsEntry>();
        foreach ((string name, long[] shape) in Shapes(ModelConfiguration.Load(folder.Path)))
        {
            bool isNorm = name.EndsWith("norm.weight", StringComparison.Ordinal);
            double scale = shape.Length == 2 ? 1.5 / Math.Sqrt(shape[1]) : 0.5;
            var values = new float[shape.Aggregate(1L, (a, b) => a * b)];
            for (int i = 0; i < values.Length; i++) values[i] = (float)((random.NextDouble() * 2 - 1) * scale * Math.Sqrt(3) + (isNorm ? 1 : 0));
            entries.Add(Entry(name, shape, values, dtype));
        }
        SafetensorsWriter.Write(folder.File("model.safetensors"), entries);
    }

    private static SafetensorsEntry Entry(string name, long[] shape, float[] values, SafetensorsDtype dtype) => dtype switch
    {
        SafetensorsDtype.F32 => SafetensorsEntry.FromSingles(name, shape, values),
        SafetensorsDtype.BF16 => Narrow(name, shape, dtype, [.. values.Select(Core.BFloat16Bits.FromSingle)]),
        _ => Narrow(name, shape, dtype, [.. values.Select(value => BitConverter.HalfToUInt16Bits((Half)value))]),
    };

    private static SafetensorsEntry Narrow(string name, long[] shape, SafetensorsDtype dtype, ushort[] bits) => new(
        name, dtype, shape, (offset, destination) => MemoryMarshal.AsBytes(bits.AsSpan()).Slice((int)offset, destination.Length).CopyTo(destination));

    private static IEnumerable<(string Name, long[] Shape)> Shapes(ModelConfiguration config)
    {
        long hidden = config.HiddenSize, inner = config.IntermediateSize, headDim = config.Heads.HeadDim;
        long query = config.Heads.NumHeads * headDim, kv = config.Heads.NumKvHeads * headDim;
        yield return ("model.embed_tokens.weight", [config.VocabularySize, hidden]);
        yield return ("model.norm.weight", [hidden]);
        if (!config.TieWordEmbeddings) yield return ("lm_head.weight", [config.VocabularySize, hidden]);
        (string Name, long Out, long In, bool HasBias)[] linears = config.HasFusedProjections
            ? [("self_attn.qkv_proj", query + 2 * kv, hidden, config.HasQueryKeyValueBias), ("mlp.gate_up_proj", 2 * inner, hidden, config.HasMlpBias)]
            :
            [
                ("self_attn.q_proj", query, hidden, config.HasQueryKeyValueBias), ("self_attn.k_proj", kv, hidden, config.HasQueryKeyValueBias),
                ("self_attn.v_proj", kv, hidden, config.HasQueryKeyValueBias), ("mlp.gate_proj", inner, hidden, config.HasMlpBias),
                ("mlp.up_proj", inner, hidden, config.HasMlpBias),
            ];
        linears = [.. linears, ("self_attn.o_proj", hidden, query, config.HasOutputBias), ("mlp.down_proj", hidden, inner, config.HasMlpBias)];
        for (int layer = 0; layer < config.NumLayers; layer++)
        {
            string prefix = $"model.layers.{layer}.";
            yield return (prefix + "input_layernorm.weight", [hidden]);
            yield return (prefix + "post_attention_layernorm.weight", [hidden]);
            if (config.HasSandwichNorms)
            {
                yield return (prefix + "pre_feedforward_layernorm.weight", [hidden]);
                yield return (prefix + "post_feedforward_layernorm.weight", [hidden]);
            }
            if (config.HasQueryKeyNorm)
            {
                yield return (prefix + "self_attn.q_norm.weight", [headDim]);
                yield return (prefix + "self_attn.k_norm.weight", [headDim]);
            }
            foreach ((string name, long output, long input, bool hasBias) in linears)
            {
                yield return ($"{prefix}{name}.weight", [output, input]);
                if (hasBias) yield return ($"{prefix}{name}.bias", [output]);
            }
        }
    }
}
