"""Measures a model folder through transformers' LlamaForCausalLM in FP32: greedy answers, each question alone behind its document."""
from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import DynamicCache, LlamaForCausalLM

from corpus import Generator, Grammar
from tokenizer import END_OF_TEXT

# Seeds of evaluation documents; training uses none below 2^40.
FIRST_EVALUATION_SEED = 1_000_000
MAX_NEW_TOKENS = 24


class Reader:
    def __init__(self, folder: Path, grammar: Grammar, device: str) -> None:
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.end = self.tokenizer.token_to_id(END_OF_TEXT)
        # The weights stay what BF16 rounded them to; the arithmetic is FP32.
        self.model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device).eval()
        self.device = device
        self.generator = Generator(grammar, lambda text: len(self.plain(text)))

    def plain(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def document_ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids

    @torch.no_grad()
    def read(self, document_ids: list[int]) -> DynamicCache:
        ids = torch.tensor([document_ids], device=self.device)
        return self.model.model(ids, use_cache=True).past_key_values

    @torch.no_grad()
    def answer(self, cache: DynamicCache, length: int, prompts: list[list[int]]) -> list[list[int]]:
        """Greedy answers without the end token; the prompts are one left-padded batch behind the same document."""
        batch, longest = len(prompts), max(map(len, prompts))
        shared = DynamicCache()
        for index, layer in enumerate(cache.layers):
            shared.update(layer.keys.repeat(batch, 1, 1, 1), layer.values.repeat(batch, 1, 1, 1), index)
        ids = torch.full((batch, longest), self.end, device=self.device)
        mask = torch.ones((batch, length + longest), dtype=torch.long, device=self.device)
        positions = torch.zeros((batch, longest), dtype=torch.long, device=self.device)
        for row, prompt in enumerate(prompts):
            pad = longest - len(prompt)
            ids[row, pad:] = torch.tensor(prompt, device=self.device)
            mask[row, length:length + pad] = 0
            positions[row, pad:] = torch.arange(length, length + len(prompt), device=self.device)
        out = self.model(ids, attention_mask=mask, position_ids=positions, past_key_values=shared, logits_to_keep=1)
        tokens = []
        position = positions[:, -1:]
        finished = torch.zeros(batch, dtype=torch.bool, device=self.device)
        for _ in range(MAX_NEW_TOKENS):
            token = out.logits[:, -1].argmax(-1)
            tokens.append(token)
            finished |= token == self.end
            if finished.all():
                break
            position = position + 1
            mask = torch.cat((mask, torch.ones((batch, 1), dtype=torch.long, device=self.device)), 1)
            out = self.model(token[:, None], attention_mask=mask, position_ids=position, past_key_values=shared)
        rows = torch.stack(tokens, 1).tolist()
        return [row[: row.index(self.end)] if self.end in row else row for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--grammar", required=True)
    parser.add_argument("--lengths", default="1024,2048,4096,8192")
    parser.add_argument("--documents", type=int, default=24, help="of each length")
    parser.add_argument("--questions", type=int, default=64, help="of each document")
    parser.add_argument("--seconds", type=float, default=1e9, help="start no further document after this")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", help="write the numbers as JSON")
    parser.add_argument("--failures", type=int, default=6, help="wrong answers to print")
    a = parser.parse_args()
    began = time.time()
    reader = Reader(Path(a.model), Grammar(a.grammar), a.device)
    results = {}
    failures = a.failures
    lengths = [int(x) for x in a.lengths.split(",")]
    for rank, length in enumerate(lengths):
        until = a.seconds * (rank + 1) / len(lengths)
        contained = exact = asked = 0
        deciles = [[0, 0] for _ in range(10)]
        types: dict[str, list[int]] = {}
        for index in range(a.documents):
            if index and time.time() - began > until:
                break
            seed = FIRST_EVALUATION_SEED + length * 1000 + index
            document, questions = reader.generator.generate(seed, length, a.questions)
            ids = reader.document_ids(document.text)
            cache = reader.read(ids)
            prompts = [reader.plain(reader.generator.prompt_suffix(q.text)) for q in questions]
            answers = reader.answer(cache, len(ids), prompts)
            for question, answer in zip(questions, answers):
                text = reader.tokenizer.decode(answer)
                good = question.value in text
                same = answer == reader.plain(question.answer)
                asked += 1
                contained += good
                exact += same
                decile = deciles[min(9, int(question.position * 10))]
                decile[0] += good
                decile[1] += 1
                kind = types.setdefault(question.type, [0, 0])
                kind[0] += good
                kind[1] += 1
                if not same and failures > 0:
                    failures -= 1
                    print(f"  {question.text} expected{question.answer} got{text}")
        results[length] = {
            "questions": asked, "contained": contained / asked, "exact": exact / asked,
            "by_decile": [round(g / max(1, n), 4) for g, n in deciles],
            "by_type": {k: round(g / n, 4) for k, (g, n) in sorted(types.items())}}
        print(length, json.dumps(results[length]), f"{time.time() - began:.1f} s", flush=True)
    if a.output:
        Path(a.output).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
