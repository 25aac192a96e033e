"""Writes a Llama with random weights as GGUF, of the sizes that `hydragen bench generate --random-model` takes. Needs numpy and gguf.

Usage: random_gguf.py layers,hidden,heads,kvHeads,ff,vocab q8_0|bf16 CONTEXT FILE"""

import sys

import gguf
import numpy

TYPES = {"q8_0": gguf.GGMLQuantizationType.Q8_0, "bf16": gguf.GGMLQuantizationType.BF16}
STANDARD_DEVIATION = 0.02


def main():
    if len(sys.argv) != 5 or sys.argv[2] not in TYPES:
        raise SystemExit(__doc__)
    layers, hidden, heads, kv_heads, intermediate, vocabulary = (int(part) for part in sys.argv[1].split(","))
    weight_type, context, path = TYPES[sys.argv[2]], int(sys.argv[3]), sys.argv[4]
    keys = hidden // heads * kv_heads
    random = numpy.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(layers)
    writer.add_context_length(context)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(intermediate)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(vocabulary)
    writer.add_tokenizer_model("none")

    def matrix(name, rows, columns):
        values = random.standard_normal((rows, columns), numpy.float32) * numpy.float32(STANDARD_DEVIATION)
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values, weight_type), raw_dtype=weight_type)

    def norm(name):
        writer.add_tensor(f"{name}.weight", numpy.ones(hidden, numpy.float32))

    matrix("token_embd", vocabulary, hidden)
    for layer in range(layers):
        block = f"blk.{layer}."
        norm(block + "attn_norm")
        matrix(block + "attn_q", hidden, hidden)
        matrix(block + "attn_k", keys, hidden)
        matrix(block + "attn_v", keys, hidden)
        matrix(block + "attn_output", hidden, hidden)
        norm(block + "ffn_norm")
        matrix(block + "ffn_gate", intermediate, hidden)
        matrix(block + "ffn_up", intermediate, hidden)
        matrix(block + "ffn_down", hidden, intermediate)
    norm("output_norm")
    matrix("output", vocabulary, hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
