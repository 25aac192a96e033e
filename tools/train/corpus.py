"""Synthetic documents and questions, drawn from the grammar that the C# demo reads too.

The algorithm is the one of `src/Hydragen.Cli/Demo/SyntheticDocumentGenerator.cs`, draw for draw: the same grammar, seed,
token budget and tokenizer give the same document and the same questions in both languages. Needs the standard library only.
"""
from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

DEFAULT_GRAMMAR = Path(__file__).resolve().parents[2] / "src" / "Hydragen.Cli" / "Demo" / "grammar.json"

MASK64 = (1 << 64) - 1


class SplitMix64:
    """SplitMix64 (Steele, Lea, Flood 2014); `next(n)` is uniform on [0, n) up to 2^-32."""

    __slots__ = ("state",)

    def __init__(self, seed: int) -> None:
        self.state = seed & MASK64

    def next(self, bound: int) -> int:
        self.state = z = (self.state + 0x9E3779B97F4A7C15) & MASK64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
        return (((z ^ (z >> 31)) >> 32) * bound) >> 32


class Template:
    """A sentence with `{slot}` placeholders, cut once into literals and slot names."""

    __slots__ = ("literals", "slots", "text")

    def __init__(self, text: str) -> None:
        pieces = re.split(r"\{(\w+)\}", text)
        self.text = text
        self.literals = pieces[0::2]
        self.slots = pieces[1::2]

    def render(self, values: dict[str, str]) -> str:
        out = [self.literals[0]]
        for slot, literal in zip(self.slots, self.literals[1:]):
            out.append(values[slot])
            out.append(literal)
        return "".join(out)


class Slot:
    __slots__ = ("name", "form", "cast", "cast_of")

    def __init__(self, name: str, spec: dict) -> None:
        self.name = name
        self.form = Template(spec["form"])
        self.cast = spec.get("cast", False)
        self.cast_of = spec.get("castOf")


class FactType:
    __slots__ = ("name", "key", "value", "statements", "questions", "answer")

    def __init__(self, spec: dict) -> None:
        self.name = spec["type"]
        self.key = spec["key"]
        self.value = spec["value"]
        self.statements = [Template(t) for t in spec["statements"]]
        self.questions = [Template(t) for t in spec["questions"]]
        self.answer = Template(spec["answer"])


class Grammar:
    def __init__(self, path: Path | str = DEFAULT_GRAMMAR) -> None:
        spec = json.loads(Path(path).read_text(encoding="utf-8"))
        self.title: str = spec["title"]
        self.question_prefix: str = spec["questionPrefix"]
        self.answer_prefix: str = spec["answerPrefix"]
        self.distractor_percent: int = spec["distractorPercent"]
        self.tokens_per_cast_member: int = spec["tokensPerCastMember"]
        self.min_cast_size: int = spec["minCastSize"]
        self.max_draws_per_fact: int = spec["maxDrawsPerFact"]
        self.paragraph_from: int = spec["sentencesPerParagraph"]["from"]
        self.paragraph_to: int = spec["sentencesPerParagraph"]["to"]
        self.separator: str = spec["separator"]
        self.paragraph_end: str = spec["paragraphEnd"]
        self.lists: dict[str, list[str]] = spec["lists"]
        self.slots = {name: Slot(name, s) for name, s in spec["slots"].items()}
        self.facts = [FactType(f) for f in spec["facts"]]
        self.distractors = [Template(t) for t in spec["distractors"]]

    def fill_form(self, slot: Slot, rng: SplitMix64) -> str:
        form = slot.form
        out = [form.literals[0]]
        for name, literal in zip(form.slots, form.literals[1:]):
            words = self.lists[name]
            out.append(words[rng.next(len(words))])
            out.append(literal)
        return "".join(out)

    def num_forms(self, slot: Slot) -> int:
        count = 1
        for name in slot.form.slots:
            count *= len(self.lists[name])
        return count


@dataclass(slots=True)
class Fact:
    type: FactType
    values: dict[str, str]
    position: float

    @property
    def value(self) -> str:
        return self.values[self.type.value]

    @property
    def answer(self) -> str:
        return " " + self.type.answer.render(self.values)


@dataclass(slots=True)
class Question:
    text: str
    value: str
    answer: str
    position: float
    type: str


@dataclass(slots=True)
class Document:
    text: str
    units: list[str]
    facts: list[Fact]
    num_tokens: int


class Generator:
    """Draws documents; `count_tokens` counts the tokens of a piece of text without special tokens."""

    def __init__(self, grammar: Grammar, count_tokens: Callable[[str], int]) -> None:
        self.grammar = grammar
        self.count_tokens = count_tokens

    def document(self, rng: SplitMix64, document_tokens: int, kinds: list[FactType] | None = None) -> Document:
        """Draws a document of at most `document_tokens` tokens; `kinds` restricts its facts (training only)."""
        g = self.grammar
        kinds = kinds or g.facts
        cast = self._draw_cast(rng, document_tokens)
        units = [g.title + g.paragraph_end]
        total = self.count_tokens(units[0])
        facts: list[Fact] = []
        offsets: list[int] = []
        used: set[tuple[str, ...]] = set()
        paragraph_left = self._paragraph(rng)
        while True:
            fact = None
            if rng.next(100) < g.distractor_percent:
                template = g.distractors[rng.next(len(g.distractors))]
                values: dict[str, str] = {}
                for name in template.slots:
                    values[name] = self._draw(g.slots[name], values, cast, rng)
            else:
                fact = self._draw_fact(kinds, cast, used, rng)
                if fact is None:
                    break
                values = fact.values
                template = fact.type.statements[rng.next(len(fact.type.statements))]
            paragraph_left -= 1
            unit = g.separator + template.render(values)
            if paragraph_left == 0:
                unit += g.paragraph_end
                paragraph_left = self._paragraph(rng)
            size = self.count_tokens(unit)
            if total + size > document_tokens:
                break
            units.append(unit)
            if fact is not None:
                facts.append(fact)
                offsets.append(total)
            total += size
        if units[-1].endswith(g.paragraph_end):
            last = units.pop()
            units.append(last[: -len(g.paragraph_end)])
            total += self.count_tokens(units[-1]) - self.count_tokens(last)
        for fact, offset in zip(facts, offsets):
            fact.position = offset / total
        return Document("".join(units), units, facts, total)

    def questions(self, document: Document, num_questions: int, rng: SplitMix64) -> list[tuple[Fact, str]]:
        """Every fact is asked once in random order before any is asked again with its next phrasing."""
        facts = document.facts
        if num_questions > sum(len(f.type.questions) for f in facts):
            raise ValueError(f"{num_questions} questions asked of a document with {len(facts)} facts")
        order = list(range(len(facts)))
        for i in range(len(order) - 1, 0, -1):
            j = rng.next(i + 1)
            order[i], order[j] = order[j], order[i]
        first = [rng.next(len(facts[f].type.questions)) for f in order]
        result: list[tuple[Fact, str]] = []
        turn = 0
        while len(result) < num_questions:
            for f, start in zip(order, first):
                if len(result) == num_questions:
                    break
                fact = facts[f]
                phrasings = fact.type.questions
                if turn < len(phrasings):
                    result.append((fact, phrasings[(start + turn) % len(phrasings)].render(fact.values)))
            turn += 1
        return result

    def generate(self, seed: int, document_tokens: int, num_questions: int) -> tuple[Document, list[Question]]:
        rng = SplitMix64(seed)
        document = self.document(rng, document_tokens)
        asked = self.questions(document, num_questions, rng)
        return document, [Question(text, f.value, f.answer, f.position, f.type.name) for f, text in asked]

    def prompt_suffix(self, question: str) -> str:
        return self.grammar.question_prefix + question + self.grammar.answer_prefix

    def _paragraph(self, rng: SplitMix64) -> int:
        g = self.grammar
        return g.paragraph_from + rng.next(g.paragraph_to - g.paragraph_from + 1)

    def _draw_cast(self, rng: SplitMix64, document_tokens: int) -> dict[str, list[str]]:
        g = self.grammar
        cast: dict[str, list[str]] = {}
        for slot in g.slots.values():
            if not slot.cast:
                continue
            size = max(g.min_cast_size, document_tokens // g.tokens_per_cast_member)
            size = min(size, g.num_forms(slot) // 2)
            members: list[str] = []
            seen: set[str] = set()
            while len(members) < size:
                member = g.fill_form(slot, rng)
                if member not in seen:
                    seen.add(member)
                    members.append(member)
            cast[slot.name] = members
        return cast

    def _draw(self, slot: Slot, values: dict[str, str], cast: dict[str, list[str]], rng: SplitMix64) -> str:
        if slot.cast:
            members = cast[slot.name]
            return members[rng.next(len(members))]
        if slot.cast_of is not None:
            # Another member of the same cast: never the one that the sentence already names.
            members = cast[slot.cast_of]
            other = values[slot.cast_of]
            while True:
                member = members[rng.next(len(members))]
                if member != other:
                    return member
        return self.grammar.fill_form(slot, rng)

    def _draw_fact(self, kinds, cast, used, rng: SplitMix64) -> Fact | None:
        g = self.grammar
        for _ in range(g.max_draws_per_fact):
            kind = kinds[rng.next(len(kinds))]
            values: dict[str, str] = {}
            key = [kind.name]
            for name in kind.key:
                values[name] = self._draw(g.slots[name], values, cast, rng)
                key.append(values[name])
            identity = tuple(key)
            if identity in used:
                continue
            used.add(identity)
            values[kind.value] = self._draw(g.slots[kind.value], values, cast, rng)
            return Fact(kind, values, 0.0)
        return None


def main() -> None:
    """Prints sample documents and their statistics, to compare with the C# generator."""
    import argparse

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--grammar", default=DEFAULT_GRAMMAR)
    parser.add_argument("--tokenizer", help="tokenizer.json; without it a token is a word or a sign")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--document-tokens", type=int, default=600)
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--statistics", action="store_true", help="print counts instead of text")
    arguments = parser.parse_args()
    if arguments.tokenizer:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(arguments.tokenizer)
        count = lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
    else:
        count = count_words
    document, questions = Generator(Grammar(arguments.grammar), count).generate(
        arguments.seed, arguments.document_tokens, arguments.questions)
    if arguments.statistics:
        types: dict[str, int] = {}
        for fact in document.facts:
            types[fact.type.name] = types.get(fact.type.name, 0) + 1
        print(json.dumps({"tokens": document.num_tokens, "sentences": len(document.units) - 1,
                          "facts": len(document.facts), "types": types}))
        return
    print(document.text)
    for question in questions:
        print(json.dumps({"text": question.text, "value": question.value, "answer": question.answer,
                          "position": question.position}))


WORD = re.compile(r"[A-Za-z]+|[0-9]+|[^\sA-Za-z0-9]+")


def count_words(text: str) -> int:
    """A tokenizer stand-in without a vocabulary: a token is a word, a number or a run of signs."""
    return len(WORD.findall(text))


if __name__ == "__main__":
    main()
