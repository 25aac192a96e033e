"""Writes tests/golden/reader/cases.json: one document, its questions, greedy answers and first logits, from FP32 transformers."""
from __future__ import annotations

import argparse
import json
from pathlib import Path

import tokenizers
import torch
import transformers

from corpus import Grammar
from evaluate import Reader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--grammar", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--document-tokens", type=int, default=600)
    parser.add_argument("--questions", type=int, default=8)
    a = parser.parse_args()
    reader = Reader(Path(a.model), Grammar(a.grammar), "cpu")
    document, questions = reader.generator.generate(a.seed, a.document_tokens, a.questions)
    document_ids = reader.document_ids(document.text)
    cases = []
    for question in questions:
        prompt = reader.generator.prompt_suffix(question.text)
        ids = reader.plain(prompt)
        # From an empty cache, alone: no padding, no sharing.
        with torch.no_grad():
            logits = reader.model(torch.tensor([document_ids + ids])).logits[0, -1]
        top = torch.topk(logits, 5)
        answer = reader.answer(reader.read(document_ids), len(document_ids), [ids])[0]
        cases.append({
            "question": question.text, "type": question.type, "position": question.position,
            "expectedValue": question.value, "expectedAnswer": question.answer,
            "prompt": prompt, "promptIds": ids,
            "answerIds": answer + [reader.end], "answerText": reader.tokenizer.decode(answer),
            "firstTopIds": top.indices.tolist(), "firstTopLogits": [round(x, 5) for x in top.values.tolist()]})
    Path(a.output).write_text(json.dumps({
        "made_by": f"tools/train/export_golden.py, torch {torch.__version__}, transformers {transformers.__version__}, "
                   f"tokenizers {tokenizers.__version__}, FP32 on the CPU",
        "seed": a.seed, "documentTokens": a.document_tokens, "numQuestions": a.questions,
        "document": document.text, "documentIds": document_ids, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
