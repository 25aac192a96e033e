"""Packs documents with their questions into fixed-size rows of token ids for training.

A pack is a run of documents; behind each document stand question blocks. A block sees its document and itself, never
another block, and its positions continue where the document ended: exactly how the demo asks. What a token may see is
three numbers a token, `k >= doc_start and k <= q and (k < doc_end or k >= block_start)`.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from math import exp, log

import numpy as np

from corpus import Generator, Grammar, SplitMix64

BLOCK = 128  # the tile of the attention kernel's block mask

# The split of the tokenizer on the ASCII text that the grammar writes; checked against the tokenizer at start.
PRETOKEN = re.compile(r"[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]{1,3}| ?[^\sA-Za-z0-9]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

TEXT_WEIGHT = 0.04  # next-token loss on the document, only so that words and grammar are learned
ANSWER_WEIGHT = 0.5  # words of the answer that the question already gives
VALUE_WEIGHT = 1.0


class CachedEncoder:
    """Encodes text by cached pre-tokens: the same ids as the tokenizer, ten times faster."""

    def __init__(self, tokenizer) -> None:
        self.tokenizer = tokenizer
        self.cache: dict[str, list[int]] = {}

    def __call__(self, text: str) -> list[int]:
        ids: list[int] = []
        cache = self.cache
        for piece in PRETOKEN.findall(text):
            known = cache.get(piece)
            if known is None:
                known = cache[piece] = self.tokenizer.encode(piece, add_special_tokens=False).ids
            ids += known
        return ids

    def count(self, text: str) -> int:
        return len(self(text))


@dataclass
class Pack:
    ids: np.ndarray  # int16 [n]
    targets: np.ndarray  # int16 [n]
    weights: np.ndarray  # float32 [n]
    kinds: np.ndarray  # int8 [n]; 1 + fact type where the target is part of a value, else 0
    positions: np.ndarray  # int16 [n]
    doc_start: np.ndarray  # int32 [n]
    doc_end: np.ndarray  # int32 [n]
    block_start: np.ndarray  # int32 [n]
    partial: np.ndarray  # packed bits [n / BLOCK, n / BLOCK]; tiles that need the mask
    full: np.ndarray  # packed bits, likewise; tiles in which everything is visible


class Packer:
    def __init__(self, grammar: Grammar, tokenizer, bos: int, eos: int) -> None:
        self.encode = CachedEncoder(tokenizer)
        self.generator = Generator(grammar, self.encode.count)
        self.bos, self.eos = bos, eos
        self.kind_of = {f.name: 1 + i for i, f in enumerate(grammar.facts)}
        self.answer_heads = {f.name: f.answer.literals for f in grammar.facts}

    def pack(self, seed: int, num_tokens: int, shortest: int, longest: int) -> Pack:
        rng = SplitMix64(seed)
        n = num_tokens
        ids = np.zeros(n, np.int16)
        targets = np.zeros(n, np.int16)
        weights = np.zeros(n, np.float32)
        kinds = np.zeros(n, np.int8)
        positions = np.zeros(n, np.int16)
        doc_start = np.arange(n, dtype=np.int32)
        doc_end = np.arange(1, n + 1, dtype=np.int32)
        block_start = np.arange(n, dtype=np.int32)
        spans: list[tuple[int, int, int]] = []
        at = 0
        while n - at >= 256:
            length = self._length(rng, shortest, longest)
            length = min(length, int((n - at) * 0.6))
            document = self.generator.document(rng, length, self._kinds(rng, length))
            if not document.facts:
                continue
            doc_ids = [self.bos]
            for unit in document.units:
                doc_ids += self.encode(unit)
            start, end = at, at + len(doc_ids)
            ids[start:end] = doc_ids
            targets[start:end - 1] = doc_ids[1:]
            weights[start:end - 1] = TEXT_WEIGHT
            positions[start:end] = np.arange(end - start)
            doc_start[start:end] = start
            doc_end[start:end] = end
            block_start[start:end] = start
            limit = min(n, end + max(384, end - start))
            at = end
            for fact, question in self.generator.questions(document, len(document.facts), rng):
                block, block_targets, block_weights, block_kinds = self._block(fact, question)
                size = len(block)
                if at + size > limit:
                    break
                stop = at + size
                ids[at:stop] = block
                targets[at:stop] = block_targets
                weights[at:stop] = block_weights
                kinds[at:stop] = block_kinds
                positions[at:stop] = np.arange(end - start, end - start + size)
                doc_start[at:stop] = start
                doc_end[at:stop] = end
                block_start[at:stop] = at
                at = stop
            spans.append((start, end, at))
        partial, full = self._tiles(n, spans)
        return Pack(ids, targets, weights, kinds, positions, doc_start, doc_end, block_start,
                    np.packbits(partial), np.packbits(full))

    def _length(self, rng: SplitMix64, shortest: int, longest: int) -> int:
        u = rng.next(1 << 20) / (1 << 20)
        if rng.next(2) == 0:
            return int(exp(log(shortest) + u * (log(longest) - log(shortest))))
        return int(longest * (0.5 + 0.5 * u))

    def _kinds(self, rng: SplitMix64, length: int):
        """Which fact types a document holds. In a short document of all types the type alone would give the answer away, and
        nobody would learn to match persons and things; so short documents mostly hold a single type."""
        facts = self.generator.grammar.facts
        if rng.next(8) < (6 if length < 300 else 3 if length < 1200 else 1):
            first = rng.next(len(facts))
            return [facts[first], facts[rng.next(len(facts))]] if rng.next(4) == 0 else [facts[first]]
        return facts

    def _block(self, fact, question: str):
        prompt = self.encode(self.generator.prompt_suffix(question))
        answer_text = fact.answer
        answer = self.encode(answer_text)
        tail = self.answer_heads[fact.type.name][-1]  # what follows the value, a full stop or a noun
        head = answer_text[: len(answer_text) - len(tail) - len(fact.value)]
        value_from = len(self.encode(head.rstrip(" ")))
        value_to = len(answer) - len(self.encode(tail))
        block = prompt + answer + [self.eos]
        size = len(block)
        weights = [0.0] * size
        kinds = [0] * size
        first = len(prompt) - 1
        kind = self.kind_of[fact.type.name]
        for i in range(len(answer) + 1):
            in_value = value_from <= i < value_to
            weights[first + i] = VALUE_WEIGHT if in_value else ANSWER_WEIGHT
            if in_value:
                kinds[first + i] = kind
        return block, block[1:] + [0], weights, kinds

    @staticmethod
    def _tiles(n: int, spans: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
        tiles = n // BLOCK
        partial = np.zeros((tiles, tiles), bool)
        full = np.zeros((tiles, tiles), bool)
        for start, end, stop in spans:
            partial[start // BLOCK:(stop - 1) // BLOCK + 1, start // BLOCK:(end - 1) // BLOCK + 1] = True
            first = -(-start // BLOCK)
            full[first:stop // BLOCK, first:end // BLOCK] = True
        near = np.eye(tiles, dtype=bool) | np.eye(tiles, k=-1, dtype=bool)
        below = np.tril(np.ones((tiles, tiles), bool), -1)
        full &= below
        partial = ((partial & below) | near) & ~full
        return partial, full
