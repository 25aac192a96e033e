#!/usr/bin/env python3
"""Makes the tiny random models and the expected logits in tests/golden/models.

    python3 tools/golden/make_models.py OUTPUT_DIRECTORY

Needs torch, transformers (made with 5.17) and safetensors; runs on a CPU in about a minute. Every folder is a model as
save_pretrained writes it. Beside config.json stand golden.safetensors: for sequence s the tokens input_ids.{s} I64 [length]
and the logits.{s} F32 [length, vocabularySize], computed in FP32 with eager attention from the stored weights. Variants of
the configuration that share the folder's weights are config.NAME.json with golden.NAME.safetensors. A golden whose name ends
in "incremental" was computed token by token with a cache.
"""
import json
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import (AutoModelForCausalLM, DynamicCache, Gemma2Config, GraniteConfig, LlamaConfig, MistralConfig,
                          Phi3Config, Qwen2Config, Qwen3Config)

IDS = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0)
failures = []


def randomize(model, seed):
    """Weights that make attention and logits far from uniform; norms and biases are not trivial."""
    generator = torch.Generator().manual_seed(seed)
    is_offset = model.config.model_type == "gemma2"
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            normal = torch.randn(parameter.shape, generator=generator)
            if name.endswith("norm.weight"):
                value = 1 + 0.25 * normal - (1 if is_offset else 0)
            elif name.endswith(".bias"):
                value = 0.3 * normal
            elif "embed_tokens" in name:
                value = normal * (0.2 if model.config.tie_word_embeddings else 0.7)
            else:
                gain = 1.5 if any(part in name for part in ("q_proj", "k_proj", "qkv_proj", "lm_head")) else 0.8
                value = normal * gain / parameter.shape[1] ** 0.5
            parameter.copy_(value)


def sequences(vocabulary_size, lengths, seed):
    generator = torch.Generator().manual_seed(1000 + seed)
    return [torch.randint(0, vocabulary_size, (length,), generator=generator) for length in lengths]


def compute(folder, ids, incremental):
    """A fresh model for every sequence: some versions keep the rotary frequencies of the longest one."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        if not incremental:
            return model(input_ids=ids[None], use_cache=False).logits[0].float()
        cache, rows = DynamicCache(config=model.config), []
        for position in range(len(ids)):
            step = model(input_ids=ids[None, position:position + 1], past_key_values=cache, use_cache=True)
            cache = step.past_key_values
            rows.append(step.logits[0, 0].float())
        return torch.stack(rows)


def write_golden(folder, path, lengths, seed, incremental=False):
    config = json.loads((folder / "config.json").read_text())
    tensors = {}
    for s, ids in enumerate(sequences(config["vocab_size"], lengths, seed)):
        logits = compute(folder, ids, incremental)
        assert torch.isfinite(logits).all()
        tensors[f"input_ids.{s}"] = ids.contiguous()
        tensors[f"logits.{s}"] = logits.contiguous()
    save_file(tensors, path, metadata={"transformers": transformers.__version__, "torch": torch.__version__})
    top = torch.softmax(tensors["logits.0"], -1).max(-1).values.mean().item()
    print(f"{path.parent.name}/{path.name}: std {tensors['logits.0'].std().item():.2f}, mean top probability {top:.2f}", flush=True)


def build(root, name, config, seed, lengths=(41, 60), dtype=torch.float32, **save_options):
    torch.manual_seed(seed)
    folder = root / name
    config.architectures = None
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").to(torch.float32)
    randomize(model, seed)
    model.to(dtype).save_pretrained(folder, **save_options)
    write_golden(folder, folder / "golden.safetensors", lengths, seed)
    return folder


def with_variant(folder, name, change, lengths, seed, incremental=False):
    """Another config.json over the same weights; `change` turns one dictionary into the other."""
    config = change(json.loads((folder / "config.json").read_text()))
    text = json.dumps(config, indent=2) + "\n"
    with tempfile.TemporaryDirectory() as temporary:
        other = Path(temporary) / folder.name
        shutil.copytree(folder, other)
        (other / "config.json").write_text(text)
        suffix = name + (".incremental" if incremental else "")
        write_golden(other, folder / f"golden.{suffix}.safetensors", lengths, seed, incremental)
    (folder / f"config.{name}.json").write_text(text)


def rope(**parameters):
    """The new form, as transformers 5 writes it."""
    def change(config):
        config = dict(config)
        positions = parameters.get("max_position_embeddings")
        if positions:
            config["max_position_embeddings"] = positions
        config["rope_parameters"] = {k: v for k, v in parameters.items() if k != "max_position_embeddings"}
        return config
    return change


def old_form(change=lambda config: config, type_key="rope_type"):
    """The form of transformers 4: rope_theta beside rope_scaling, torch_dtype."""
    def old(config):
        config = dict(change(config))
        parameters = dict(config.pop("rope_parameters"))
        config["rope_theta"] = parameters.pop("rope_theta")
        kind = parameters.pop("rope_type")
        config["rope_scaling"] = None if kind == "default" else {type_key: kind, **parameters}
        config["torch_dtype"] = config.pop("dtype", "float32")
        config["transformers_version"] = "4.37.2"
        return config
    return old


def attempt(title, action, *arguments, **options):
    try:
        return action(*arguments, **options)
    except Exception:
        failures.append(title)
        print(f"FAILED {title}", flush=True)
        traceback.print_exc()
        return None


def main(root):
    root.mkdir(parents=True, exist_ok=True)
    base = dict(vocab_size=97, hidden_size=64, intermediate_size=72, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=False, **IDS)
    small = {**base, "hidden_size": 40, "intermediate_size": 52}

    llama = attempt("llama", build, root, "llama", LlamaConfig(**base), 1)
    if llama:
        theta = dict(rope_theta=10000.0)
        yarn = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=2048)
        llama3 = rope(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                      original_max_position_embeddings=512)
        linear = rope(rope_type="linear", factor=4.0, **theta)
        dynamic = rope(rope_type="dynamic", factor=2.0, max_position_embeddings=32, **theta)
        variants = [
            ("old", old_form(), (48,)),
            ("linear", linear, (48,)),
            ("linear-old", old_form(linear, "type"), (48,)),
            ("llama3", llama3, (60,)),
            ("llama3-old", old_form(llama3), (60,)),
            ("yarn", rope(**yarn), (60,)),
            ("yarn-old", old_form(rope(**yarn)), (60,)),
            ("yarn-options", rope(**yarn, beta_fast=8.0, beta_slow=2.0, mscale=0.7, mscale_all_dim=0.4, truncate=False), (60,)),
            ("yarn-factor", rope(**yarn, attention_factor=0.9, max_position_embeddings=2048), (60,)),
        ]
        for name, change, lengths in variants:
            attempt(name, with_variant, llama, name, change, lengths, 1)
        attempt("dynamic", with_variant, llama, "dynamic", dynamic, (31,), 1)
        attempt("dynamic incremental", with_variant, llama, "dynamic", dynamic, (56,), 1, incremental=True)
        attempt("dynamic-old", with_variant, llama, "dynamic-old", old_form(dynamic, "type"), (56,), 1, incremental=True)

    attempt("llama-bias-tied", build, root, "llama-bias-tied", LlamaConfig(**{
        **small, "num_attention_heads": 5, "num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True,
        "tie_word_embeddings": True, "hidden_act": "gelu"}), 2)
    attempt("llama-bf16-sharded", build, root, "llama-bf16-sharded", LlamaConfig(**base), 3, dtype=torch.bfloat16,
            max_shard_size="50KB")
    attempt("llama-fp16", build, root, "llama-fp16", LlamaConfig(**{**base, "head_dim": 24}), 4, dtype=torch.float16)
    attempt("mistral", build, root, "mistral", MistralConfig(**{**small, "head_dim": 16, "sliding_window": 12}), 5)
    attempt("qwen2", build, root, "qwen2", Qwen2Config(**{
        **small, "num_attention_heads": 5, "num_key_value_heads": 5, "tie_word_embeddings": True}), 6)
    attempt("qwen2-window", build, root, "qwen2-window", Qwen2Config(**{
        **small, "num_hidden_layers": 3, "num_attention_heads": 5, "num_key_value_heads": 1, "use_sliding_window": True,
        "sliding_window": 12, "max_window_layers": 1}), 7)
    attempt("qwen3", build, root, "qwen3", Qwen3Config(**{**small, "head_dim": 32}), 8)
    phi3 = attempt("phi3", build, root, "phi3", Phi3Config(**{
        **small, "num_attention_heads": 5, "num_key_value_heads": 5, "hidden_size": 80, "sliding_window": 20,
        "rope_parameters": dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5)}), 9)
    gemma2 = attempt("gemma2", build, root, "gemma2", Gemma2Config(**{
        **small, "num_hidden_layers": 3, "head_dim": 24, "query_pre_attn_scalar": 20, "sliding_window": 16, "tie_word_embeddings": True}), 10)
    attempt("granite", build, root, "granite", GraniteConfig(**{
        **small, "num_attention_heads": 5, "num_key_value_heads": 5, "embedding_multiplier": 3.0, "attention_multiplier": 0.2,
        "residual_multiplier": 0.6, "logits_scaling": 2.0, "tie_word_embeddings": True}), 11)

    def phi3_old(config):
        config = dict(config)
        parameters = dict(config.pop("rope_parameters"))
        config.update(rope_theta=parameters["rope_theta"], rope_scaling=None, partial_rotary_factor=parameters["partial_rotary_factor"])
        config["torch_dtype"] = config.pop("dtype", "float32")
        return config

    def gemma2_old(config):
        config = old_form()(config)
        config.pop("layer_types", None)
        config["hidden_act"] = "gelu_pytorch_tanh"
        return config

    if phi3:
        attempt("phi3 old", with_variant, phi3, "old", phi3_old, (48,), 9)
    if gemma2:
        attempt("gemma2 old", with_variant, gemma2, "old", gemma2_old, (48,), 10)

    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    print(f"{size} bytes; {len(failures)} failed: {failures}")


if __name__ == "__main__":
    torch.set_num_threads(2)
    main(Path(sys.argv[1]))
