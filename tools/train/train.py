"""Trains the embedded reading model. README.md beside this has the command that made the published weights."""
from __future__ import annotations

import argparse
import json
import os
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch.nn.attention.flex_attention import BlockMask

from corpus import Grammar
from model import Decoder, Shape
from packing import BLOCK, Packer
from tokenizer import END_OF_TEXT, train_tokenizer

# Documents of training come from seeds that no 32-bit seed of a demo or an evaluation reaches.
FIRST_TRAINING_SEED = 1 << 40

_packer: Packer | None = None


def _start_worker(grammar_path: str, tokenizer_path: str) -> None:
    global _packer
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = Tokenizer.from_file(tokenizer_path)
    end = tokenizer.token_to_id(END_OF_TEXT)
    _packer = Packer(Grammar(grammar_path), tokenizer, end, end)


def _make_pack(seed: int, num_tokens: int, shortest: int, longest: int):
    return _packer.pack(seed, num_tokens, shortest, longest)


class Muon:
    """Momentum orthogonalized by Newton-Schulz (Jordan et al. 2024), for the matrices inside the layers."""

    def __init__(self, parameters, momentum: float = 0.95) -> None:
        groups: dict[tuple[int, int], list[torch.nn.Parameter]] = {}
        for p in parameters:
            groups.setdefault(tuple(p.shape), []).append(p)
        self.groups = list(groups.values())
        self.buffers = [torch.zeros(len(g), *g[0].shape, device=g[0].device) for g in self.groups]
        self.momentum = momentum

    @torch.no_grad()
    def step(self, rate: float, decay: float) -> None:
        for group, buffer in zip(self.groups, self.buffers):
            gradient = torch.stack([p.grad for p in group])
            buffer.lerp_(gradient, 1 - self.momentum)
            x = gradient.lerp(buffer, self.momentum).bfloat16()
            rows, columns = x.shape[-2:]
            if rows > columns:
                x = x.mT
            x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
            for _ in range(5):
                a = x @ x.mT
                b = torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315)
                x = torch.baddbmm(x, b, x, beta=3.4445)
            if rows > columns:
                x = x.mT
            scale = rate * max(1.0, rows / columns) ** 0.5
            torch._foreach_mul_(group, 1 - rate * decay)
            torch._foreach_add_(group, list(x.float().unbind(0)), alpha=-scale)
            for p in group:
                p.grad = None


def loss_of(hidden, embedding, targets, weights):
    logits = (hidden[0] @ embedding.T).float()
    loss = F.cross_entropy(logits, targets, reduction="none")
    return (loss * weights).sum() / weights.sum(), logits.argmax(-1) == targets


class Feed:
    """Packs on the GPU, made a few steps ahead by worker processes."""

    def __init__(self, arguments, tokenizer_path: str) -> None:
        self.arguments = arguments
        self.pool = ProcessPoolExecutor(arguments.workers, initializer=_start_worker,
                                        initargs=(arguments.grammar, tokenizer_path))
        self.queue: deque = deque()
        self.next_seed = FIRST_TRAINING_SEED + arguments.seed * (1 << 32)

    def ask(self, longest: int) -> None:
        a = self.arguments
        self.queue.append((longest, self.pool.submit(_make_pack, self.next_seed, a.tokens, 128, longest)))
        self.next_seed += 1

    def take(self):
        longest, future = self.queue.popleft()
        return longest, future.result()


class Curriculum:
    """Longest document of the moment: a quarter longer as soon as the model reads the present length; all lengths at the end."""

    def __init__(self, first: int, last: int, threshold: float, mix_from: float) -> None:
        self.longest, self.last, self.threshold, self.mix_from = first, last, threshold, mix_from

    def ask(self, progress: float, step: int) -> int:
        if progress < self.mix_from:
            return self.longest
        return self.last if step % 3 else self.last // 4

    def report(self, accuracy: float) -> None:
        if accuracy >= self.threshold:
            self.longest = min(self.last, self.longest * 5 // 4)


def rate_of(progress: float, step: int, warmup: int, decay_from: float) -> float:
    """Warm up, hold, then fall linearly to zero."""
    falling = 1.0 if progress <= decay_from else (1 - progress) / (1 - decay_from)
    return min(1.0, (step + 1) / warmup) * falling


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grammar", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--tokenizer", help="reuse this tokenizer.json instead of training one")
    parser.add_argument("--resume", help="model.safetensors to start from")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1_000_000, help="never train more steps than this")
    parser.add_argument("--seconds", type=float, default=360, help="of the whole schedule, start and compilation included")
    parser.add_argument("--tokens", type=int, default=65536, help="tokens of a step")
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--kv-heads", type=int, default=4)
    parser.add_argument("--head-dim", type=int, default=64)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--intermediate", type=int, default=768)
    parser.add_argument("--rope-theta", type=float, default=1e7)
    parser.add_argument("--optimizer", choices=["muon", "adamw"], default="muon")
    parser.add_argument("--rate", type=float, default=0.02, help="of the matrices inside the layers")
    parser.add_argument("--embedding-rate", type=float, default=0.003)
    parser.add_argument("--first-length", type=int, default=96, help="longest document at the start, in tokens")
    parser.add_argument("--last-length", type=int, default=8448, help="longest document at the end")
    parser.add_argument("--threshold", type=float, default=0.93, help="value accuracy that lengthens the documents")
    parser.add_argument("--mix-from", type=float, default=0.45, help="progress from which all lengths are mixed")
    parser.add_argument("--decay-from", type=float, default=0.45, help="progress from which the rate falls")
    parser.add_argument("--attention", choices=["flex", "dense"], default="flex")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--log-every", type=int, default=50)
    parser.add_argument("--checkpoint-every", type=float, default=100, help="seconds between saved models")
    a = parser.parse_args()

    began = time.time()
    output = Path(a.output)
    output.mkdir(parents=True, exist_ok=True)
    grammar = Grammar(a.grammar)
    tokenizer_path = a.tokenizer or str(output / "tokenizer.json")
    if not a.tokenizer:
        train_tokenizer(grammar, tokenizer_path)
    tokenizer = Tokenizer.from_file(tokenizer_path)
    check_encoder(grammar, tokenizer)
    curriculum = Curriculum(a.first_length, a.last_length, a.threshold, a.mix_from)
    feed = Feed(a, tokenizer_path)  # before CUDA starts: the workers are forked
    for _ in range(a.workers + 6):
        feed.ask(curriculum.longest)
    print(f"tokenizer and workers {time.time() - began:.1f} s", flush=True)

    torch.manual_seed(a.seed)
    torch.set_float32_matmul_precision("high")
    torch._dynamo.config.cache_size_limit = 64
    device = torch.device(a.device)
    shape = Shape(vocabulary=tokenizer.get_vocab_size(), heads=a.heads, kv_heads=a.kv_heads, head_dim=a.head_dim,
                  layers=a.layers, intermediate=a.intermediate, rope_theta=a.rope_theta)
    model = Decoder(shape).to(device)
    if a.resume:
        from safetensors.torch import load_file

        state = {k.removeprefix("model."): v.float() for k, v in load_file(a.resume).items()}
        model.load_state_dict(state)
    print(f"{sum(p.numel() for p in model.parameters())} parameters; {shape}", flush=True)

    n = a.tokens
    doc_start = torch.zeros(n, dtype=torch.int32, device=device)
    doc_end = torch.zeros(n, dtype=torch.int32, device=device)
    block_start = torch.zeros(n, dtype=torch.int32, device=device)

    def visible(b, h, q, k):
        return (k <= q) & (k >= doc_start[q]) & ((k < doc_end[q]) | (k >= block_start[q]))

    def tiles(bits):
        dense = np.unpackbits(bits)[: (n // BLOCK) ** 2].reshape(1, 1, n // BLOCK, n // BLOCK)
        dense = torch.from_numpy(dense).to(device)
        order = torch.argsort(dense, dim=-1, descending=True, stable=True).to(torch.int32)
        return dense.sum(-1).to(torch.int32), order

    def mask_of(pack):
        doc_start.copy_(torch.from_numpy(pack.doc_start))
        doc_end.copy_(torch.from_numpy(pack.doc_end))
        block_start.copy_(torch.from_numpy(pack.block_start))
        if a.attention == "dense":
            q = torch.arange(n, device=device)[:, None]
            k = torch.arange(n, device=device)[None, :]
            return visible(0, 0, q, k)
        return BlockMask.from_kv_blocks(*tiles(pack.partial), *tiles(pack.full), BLOCK_SIZE=BLOCK, mask_mod=visible)

    compute_loss = loss_of
    if device.type == "cuda":
        for layer in model.layers:
            layer.compile(dynamic=False)
        compute_loss = torch.compile(loss_of, dynamic=False)

    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    muon = Muon(matrices) if a.optimizer == "muon" else None
    if muon is None:
        others = others + matrices
    adam = torch.optim.AdamW(others, lr=a.embedding_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=device.type == "cuda")

    type_names = [f.name for f in grammar.facts]
    recent = torch.zeros(2, device=device)  # right and asked value tokens of the present length
    right = torch.zeros(len(type_names) + 1, device=device)
    count = torch.zeros(len(type_names) + 1, device=device)
    loss_sum = torch.zeros((), device=device)
    last_checkpoint = time.time()
    log_time, log_step = time.time(), 0
    progress = 0.0
    step = 0
    log = open(output / "log.jsonl", "a")
    while True:
        now = time.time()
        progress = max(step / a.steps, (now - began) / a.seconds)
        if progress >= 1:
            break
        feed.ask(curriculum.ask(progress, step))
        longest, pack = feed.take()
        mask = mask_of(pack)
        ids = torch.from_numpy(pack.ids).to(device, torch.long)
        targets = torch.from_numpy(pack.targets).to(device, torch.long)
        weights = torch.from_numpy(pack.weights).to(device)
        kinds = torch.from_numpy(pack.kinds).to(device, torch.long)
        positions = torch.from_numpy(pack.positions).to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            hidden = model(ids, positions, mask)
            loss, hit = compute_loss(hidden, model.embed_tokens.weight, targets, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        factor = rate_of(progress, step, 100, a.decay_from)
        if muon is not None:
            muon.step(a.rate * factor, 0.02)
        for group in adam.param_groups:
            group["lr"] = a.embedding_rate * factor
        adam.step()
        adam.zero_grad(set_to_none=True)
        loss_sum += loss.detach()
        right.index_add_(0, kinds, hit.float())
        count.index_add_(0, kinds, torch.ones_like(kinds, dtype=torch.float))
        if longest == curriculum.longest:
            recent += torch.stack(((hit & (kinds > 0)).sum(), (kinds > 0).sum()))
        step += 1
        if step % 20 == 0:
            good, asked = recent.tolist()
            if asked:
                curriculum.report(good / asked)
            recent.zero_()
        if step % a.log_every == 0:
            by_type = (right / count.clamp(min=1)).tolist()
            value = (right[1:].sum() / count[1:].sum().clamp(min=1)).item()
            record = {"step": step, "seconds": round(time.time() - began, 1), "longest": longest,
                      "loss": round(loss_sum.item() / a.log_every, 4), "value_accuracy": round(value, 4),
                      "tokens_per_second": int((step - log_step) * n / (time.time() - log_time)),
                      "by_type": {t: round(v, 3) for t, v in zip(type_names, by_type[1:])},
                      "ready": sum(f.done() for _, f in feed.queue)}
            log.write(json.dumps(record) + "\n")
            log.flush()
            if step % (a.log_every * 4) == 0 or step <= a.log_every:
                print(json.dumps(record), flush=True)
            loss_sum.zero_(), right.zero_(), count.zero_()
            log_time, log_step = time.time(), step
        if time.time() - last_checkpoint > a.checkpoint_every:
            export(model, output / "model", tokenizer_path)
            last_checkpoint = time.time()
    torch.cuda.synchronize() if device.type == "cuda" else None
    export(model, output / "model", tokenizer_path)
    summary = {"steps": step, "tokens": step * n, "seconds": round(time.time() - began, 1), "seed": a.seed,
               "torch": torch.__version__, "arguments": vars(a),
               "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu"}
    (output / "summary.json").write_text(json.dumps(summary, indent=2))
    print(json.dumps(summary), flush=True)
    feed.pool.shutdown(wait=False, cancel_futures=True)


def check_encoder(grammar: Grammar, tokenizer) -> None:
    """The fast encoder must give the tokenizer's ids on whole texts."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    packer = Packer(grammar, tokenizer, end, end)
    for seed in range(5):
        document, questions = packer.generator.generate(seed, 2000, 50)
        fast: list[int] = []
        for unit in document.units:
            fast += packer.encode(unit)
        texts = [(document.text, fast)]
        texts += [(t, packer.encode(t)) for q in questions for t in (packer.generator.prompt_suffix(q.text), q.answer)]
        for text, ids in texts:
            if tokenizer.encode(text, add_special_tokens=False).ids != ids:
                raise SystemExit(f"the cached encoder differs from the tokenizer on {text[:200]!r}")


def export(model: Decoder, folder: Path, tokenizer_path: str) -> None:
    """A model folder as transformers writes it: BF16 weights, config.json, tokenizer.json."""
    import shutil

    from transformers import LlamaConfig, LlamaForCausalLM

    s = model.s
    end = Tokenizer.from_file(tokenizer_path).token_to_id(END_OF_TEXT)
    config = LlamaConfig(
        vocab_size=s.vocabulary, hidden_size=s.hidden, intermediate_size=s.intermediate, num_hidden_layers=s.layers,
        num_attention_heads=s.heads, num_key_value_heads=s.kv_heads, head_dim=s.head_dim, hidden_act="silu",
        max_position_embeddings=s.max_positions, rms_norm_eps=s.norm_eps, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": s.rope_theta},
        attention_bias=False, mlp_bias=False, bos_token_id=end, eos_token_id=end)
    out = LlamaForCausalLM(config)
    result = out.load_state_dict({"model." + k: v.float().cpu() for k, v in model.state_dict().items()}, strict=False)
    missing = [k for k in result.missing_keys if k != "lm_head.weight"]
    if missing or result.unexpected_keys:
        raise SystemExit(f"export: missing {missing}, unexpected {result.unexpected_keys}")
    out.tie_weights()
    out.to(torch.bfloat16).save_pretrained(folder)
    shutil.copy(tokenizer_path, folder / "tokenizer.json")


if __name__ == "__main__":
    main()
