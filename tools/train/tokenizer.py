"""Trains the byte-level BPE of the embedded model on documents of the grammar."""
from __future__ import annotations

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from corpus import Generator, Grammar, count_words

END_OF_TEXT = "<|endoftext|>"
VOCABULARY_SIZE = 2048

# The split of Llama 3.
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def train_tokenizer(grammar: Grammar, path: str) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True, use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE, special_tokens=[END_OF_TEXT], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(_texts(grammar), trainer)
    end = tokenizer.token_to_id(END_OF_TEXT)
    # The special token opens a document; questions are encoded without it.
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A", pair=f"{END_OF_TEXT} $A $B", special_tokens=[(END_OF_TEXT, end)])
    tokenizer.save(path)


def _texts(grammar: Grammar):
    generator = Generator(grammar, count_words)
    for seed in range(400):
        document, questions = generator.generate((1 << 39) + seed, 1500, 60)
        yield document.text
        for question in questions:
            yield generator.prompt_suffix(question.text) + question.answer
    # Every word of the lists, so that none is rare by chance.
    for words in grammar.lists.values():
        for word in words:
            yield f" {word} {word} {word}"
