using System.Buffers.Binary;
using System.Globalization;
using Hydragen.Core;
using Hydragen.Models;

namespace Hydragen.Cli.Bench;

/// <summary>
/// A Llama of random BF16 weights that lie in no file: every matrix is the same pool of normal numbers, repeated from a place of its
/// own on, so that they cost a copy and are never alike.
/// </summary>
internal static class RandomModel
{
    private const float StandardDeviation = 0.02f;
    private const int Seed = 2;

    /// <summary>What the model is.</summary>
    /// <param name="size">Its size.</param>
    /// <param name="contextLength">Tokens of its longest sequence.</param>
    public static ModelConfiguration Configuration(ModelSize size, int contextLength) => new()
    {
        Architecture = "LlamaForCausalLM",
        VocabularySize = size.VocabularySize,
        HiddenSize = size.HiddenSize,
        IntermediateSize = size.IntermediateSize,
        NumLayers = size.NumLayers,
        Heads = new AttentionShape(size.NumHeads, size.NumKvHeads, size.HeadDim),
        MaxContextLength = contextLength,
        Rotary = new RotaryParameters { RotaryDim = size.HeadDim, Theta = size.RotaryTheta },
        SlidingWindows = new int?[size.NumLayers],
        NormEpsilon = 1e-5f,
        Activation = ActivationKind.Silu,
    };

    /// <summary>Its weights.</summary>
    public static WeightStore Weights(ModelSize size)
    {
        var entries = new List<SafetensorsEntry>();
        ReadOnlyMemory<byte> pool = Pool();
        int hidden = size.HiddenSize, query = size.NumHeads * size.HeadDim, keyValue = size.NumKvHeads * size.HeadDim;
        void Matrix(string name, int rows, int columns)
        {
            int shift = entries.Count * 7919 % (pool.Length / 2) * 2;
            entries.Add(new SafetensorsEntry(name, SafetensorsDtype.BF16, [rows, columns], (offset, destination) => Fill(pool.Span, offset + shift, destination)));
        }
        void Norm(string name) => entries.Add(new SafetensorsEntry(name, SafetensorsDtype.BF16, [hidden], (_, destination) => FillOnes(destination)));

        Matrix("model.embed_tokens.weight", size.VocabularySize, hidden);
        for (int layer = 0; layer < size.NumLayers; layer++)
        {
            string prefix = string.Create(CultureInfo.InvariantCulture, $"model.layers.{layer}.");
            Norm(prefix + "input_layernorm.weight");
            Matrix(prefix + "self_attn.q_proj.weight", query, hidden);
            Matrix(prefix + "self_attn.k_proj.weight", keyValue, hidden);
            Matrix(prefix + "self_attn.v_proj.weight", keyValue, hidden);
            Matrix(prefix + "self_attn.o_proj.weight", hidden, query);
            Norm(prefix + "post_attention_layernorm.weight");
            Matrix(prefix + "mlp.gate_proj.weight", size.IntermediateSize, hidden);
            Matrix(prefix + "mlp.up_proj.weight", size.IntermediateSize, hidden);
            Matrix(prefix + "mlp.down_proj.weight", hidden, size.IntermediateSize);
        }
        Norm("model.norm.weight");
        Matrix("lm_head.weight", size.VocabularySize, hidden);
        return WeightStore.FromEntries("the random model", entries);
    }

    private static byte[] Pool()
    {
        ReadOnlySpan<float> values = new NormalPool(Seed).Values;
        var bytes = new byte[values.Length * 2];
        for (int i = 0; i < values.Length; i++)
            BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(2 * i), BFloat16Bits.FromSingle(values[i] * StandardDeviation));
        return bytes;
    }

    /// <summary>Repeats the pool, from some byte of it on.</summary>
    private static void Fill(ReadOnlySpan<byte> pool, long offset, Span<byte> destination)
    {
        while (!destination.IsEmpty)
        {
            ReadOnlySpan<byte> piece = pool[(int)(offset % pool.Length)..];
            if (piece.Length > destination.Length) piece = piece[..destination.Length];
            piece.CopyTo(destination);
            destination = destination[piece.Length..];
            offset += piece.Length;
        }
    }

    private static void FillOnes(Span<byte> destination)
    {
        for (int i = 0; i < destination.Length; i += 2) BinaryPrimitives.WriteUInt16LittleEndian(destination[i..], BFloat16Bits.FromSingle(1));
    }
}
