#!/usr/bin/env python3
"""Compares the logits of `hydragen score` with those of transformers on folders of random weights, on the same GPU.

    python3 logits.py --hydragen PROGRAM [--architectures llama,mistral,qwen3] [--layers 4] [--hidden 2048] [--work FOLDER]

Needs torch, transformers (5 or newer) and safetensors. For each architecture it writes a model folder with BF16 weights, and sequences
of random tokens: a common prefix and ends of their own. transformers computes in FP32 with eager attention from the same weights; the
program computes in each type, with the prefix shared and without. Exits with 1 when a difference exceeds its bound.

Bounds are on the root mean square of differences, relative to that of the logits. A layer rounds about ten times on the way of a
number (the inputs of four products, queries, keys, values, weights of the softmax, and what is added to the residual stream), each time by
at most half a unit in the last place: 2^-9 of a number in BF16, 2^-12 in FP16. In FP32 a rounding is a product of n terms, whose errors
add up like a random walk to 2^-24 * sqrt(n). Independent errors add in squares, and twice that is allowed: 2 * u * sqrt(10 * layers + 1).
The largest of N normal errors is about sqrt(2 ln 2N) times their root mean square, which bounds the largest difference."""
import argparse
import gc
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors import safe_open
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen3Config

SEED = 11
UNITS = {"f32": 2.0 ** -24, "bf16": 2.0 ** -9, "f16": 2.0 ** -12}


def configuration(name, args):
    common = dict(
        vocab_size=args.vocabulary, hidden_size=args.hidden, intermediate_size=args.hidden * 11 // 4 // 64 * 64, num_hidden_layers=args.layers,
        num_attention_heads=args.hidden // 128, num_key_value_heads=max(1, args.hidden // 512), max_position_embeddings=4096,
        tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    makers = {
        "llama": lambda: LlamaConfig(**common),
        "mistral": lambda: MistralConfig(**common, head_dim=128, sliding_window=192),
        "qwen3": lambda: Qwen3Config(**common, head_dim=128),
    }
    if name not in makers:
        raise SystemExit(f"logits.py: --architectures takes some of {', '.join(makers)}, not '{name}'")
    return makers[name]()


def write_model(folder, config, device):
    """Weights that make logits far from uniform; norms are not trivial."""
    generator = torch.Generator(device=device).manual_seed(SEED)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            normal = torch.randn(parameter.shape, generator=generator, device=device)
            if name.endswith("norm.weight"):
                normal = 1 + 0.25 * normal
            elif "embed_tokens" not in name:
                normal = normal / parameter.shape[1] ** 0.5
            parameter.copy_(normal)
    model.save_pretrained(folder)


def sequences(args):
    generator = torch.Generator().manual_seed(SEED + 1)
    draw = lambda count: torch.randint(0, args.vocabulary, (count,), generator=generator).tolist()
    prefix = draw(args.prefix)
    return [prefix + draw(1 + args.suffix * i // max(1, args.sequences - 1)) for i in range(args.sequences)]


def reference(folder, ids, device, dtype, attention):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention).to(device).eval()
    with torch.no_grad():
        return [model(input_ids=torch.tensor([row], device=device), use_cache=False).logits[0].float().cpu() for row in ids]


def score(args, folder, input_path, output_path, compute_type, sharing):
    command = [
        args.hydragen, "score", "--device", args.device, "--model", str(folder), "--input", str(input_path), "--logits", str(output_path),
        "--compute-type", compute_type, "--sharing", sharing]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"logits.py: {' '.join(command)} failed: {done.stderr.strip()}")
    with safe_open(output_path, framework="pt") as file:
        return [file.get_tensor(f"logits.{i}") for i in range(args.sequences)]


def compare(expected, actual):
    """Root mean square of differences relative to the logits, the largest difference, and the largest that goes with the former."""
    errors = squares = count = 0
    largest = 0.0
    for left, right in zip(expected, actual, strict=True):
        difference = right.double() - left.double()
        errors += float((difference ** 2).sum())
        squares += float((left.double() ** 2).sum())
        count += left.numel()
        largest = max(largest, float(difference.abs().max()))
    rms = math.sqrt(squares / count)
    return math.sqrt(errors / squares), largest, rms * math.sqrt(2 * math.log(2 * count))


def main():
    parser = argparse.ArgumentParser(description="Compares logits with transformers.")
    parser.add_argument("--hydragen", required=True, help="the program")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--architectures", default="llama,mistral,qwen3")
    parser.add_argument("--types", default="f32,bf16,f16")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=2048, help="a multiple of 512")
    parser.add_argument("--vocabulary", type=int, default=16000)
    parser.add_argument("--sequences", type=int, default=6)
    parser.add_argument("--prefix", type=int, default=500)
    parser.add_argument("--suffix", type=int, default=70, help="tokens behind the prefix of the longest sequence, less one")
    parser.add_argument("--work", help="where models and logits are written (default: a temporary folder)")
    args = parser.parse_args()
    if args.hidden % 512 or args.hidden < 512:
        raise SystemExit("logits.py: --hidden must be a multiple of 512")

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    device = torch.device(args.device)
    where = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    print(f"{where}, torch {torch.__version__}, transformers {transformers.__version__}; {args.layers} layers, hidden {args.hidden}, "
          f"{args.sequences} sequences of {args.prefix} + 1 to {args.suffix + 1} tokens; against FP32 transformers")
    print("| model | who | type | sharing | relative RMS | bound | largest difference | bound | |")
    print("|---|---|---|---|---:|---:|---:|---:|---|")
    ids, has_failed = sequences(args), False
    with tempfile.TemporaryDirectory(dir=args.work) as work:
        for name in args.architectures.split(","):
            folder, input_path, output_path = Path(work, name), Path(work, "ids.jsonl"), Path(work, "logits.safetensors")
            config = configuration(name, args)
            write_model(folder, config, device)
            input_path.write_text("".join(json.dumps({"ids": row}) + "\n" for row in ids))
            expected = reference(folder, ids, device, torch.float32, "eager")

            def row(who, compute_type, sharing, actual, is_bounded):
                nonlocal has_failed
                error, largest, factor = compare(expected, actual)
                unit = UNITS[compute_type] * (math.sqrt(config.intermediate_size) if compute_type == "f32" else 1)
                bound = 2 * unit * math.sqrt(10 * args.layers + 1)
                is_right = error <= bound and largest <= bound * factor
                has_failed |= is_bounded and not is_right
                verdict = ("ok" if is_right else "TOO LARGE") if is_bounded else ""
                print(f"| {name} | {who} | {compute_type} | {sharing} | {error:.2e} | {bound:.2e} | {largest:.2e} | {bound * factor:.2e} | {verdict} |", flush=True)

            row("transformers", "bf16", "", reference(folder, ids, device, torch.bfloat16, "sdpa"), is_bounded=False)
            gc.collect()
            if args.device == "cuda":
                torch.cuda.empty_cache()
            for compute_type in args.types.split(","):
                for sharing in ("hydragen", "paged"):
                    row("hydragen", compute_type, sharing, score(args, folder, input_path, output_path, compute_type, sharing), is_bounded=True)
    print("all differences are within their bounds" if not has_failed else "a difference exceeds its bound")
    sys.exit(1 if has_failed else 0)


if __name__ == "__main__":
    main()
