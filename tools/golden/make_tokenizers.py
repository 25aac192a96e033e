#!/usr/bin/env python3
"""Trains small tokenizers in the configurations of well-known models and writes what they do to a set of nasty texts.

    python3 make_tokenizers.py OUTPUT_DIRECTORY [--bulk NUM_TEXTS]

The repository's tests/golden/tokenizers is its output. Needs the package `tokenizers` (0.23). Writes OUTPUT_DIRECTORY/texts.json and, for each configuration,
OUTPUT_DIRECTORY/NAME/tokenizer.json and OUTPUT_DIRECTORY/NAME/cases.json:

    before, after   control tokens that the post-processor adds around a text
    texts           one entry for each text of texts.json:
                    ids       with control tokens added
                    as_text   ids without added control tokens, control tokens in the text taken as plain text;
                              left out where equal to ids without `before` and `after`
                    decoded   ids decoded without control tokens; left out where equal to the text
                    decoded_all  ids decoded with control tokens; left out where equal to `decoded`
    sequences       random ids and their decoded texts, broken characters included

With --bulk it writes OUTPUT_DIRECTORY/NAME/bulk.json too: more random texts in the same form, too large to keep.
Everything is seeded; the same versions give the same files.
"""

import argparse
import json
import pathlib
import random
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])

TEKKEN = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"\p{N}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
DEEPSEEK = [
    r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|[^\S\r\n]+"]

CORPUS = """
The archive of the northern harbour was opened in 1931, when the last keeper's grandson couldn't find the key.
He'd searched for it in 27 rooms; they'll tell you it's still there. "We've looked everywhere," said the captain.
A prefix shared by many sequences is read once, and what each of them owns is read by itself: that's the whole idea.
The quick brown fox jumps over the lazy dog. THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG. I'M SURE YOU'RE RIGHT.
for (int i = 0; i < count; i++) { total += values[i] * 0.5f; }   // sum of the weighted values
    def encode(self, text):\n        return [self.ids[c] for c in text if c != ' ']\n
if (x == null || y != 42) { throw new ArgumentException("x/y: 100% wrong\\n"); }
https://example.org/a/b?c=d&e=f#g  user@example.org  3.14159 1,000,000 2024-12-31 23:59:59 0xFF 1e-9
Größe, Übermut, naïve café, señor, façade, smørrebrød, žluťoučký kůň, Île-de-France, ŒUVRE.
Привет, мир! Как дела? Съешь же ещё этих мягких французских булок. Γειά σου Κόσμε, τι κάνεις;
你好,世界。这是一个测试文本。東京は日本の首都です。カタカナとひらがな。안녕하세요 세계, 한국어 문장입니다.
مرحبا بالعالم، كيف حالك اليوم؟ שלום עולם. नमस्ते दुनिया, आप कैसे हैं? สวัสดีชาวโลก
😀 😃 👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 ❤️ ✨ 🚀🚀🚀 𝒜𝓁𝓅𝒽𝒶 𝟙𝟚𝟛
e\u0301 a\u0308 o\u0302\u0301 \u1100\u1161\u11a8 n\u0303
The harbour, the archive, the keeper and the key: the end of the story is the beginning of the next.
""" * 3

SPECIAL = ["<|endoftext|>", "<|begin_of_text|>", "<s>", "</s>", "<bos>", "<mask>", "[R]", "[Both]", "Word", "NORM", "Ünit"]

NASTY = [
    "", " ", "  ", "   ", "\t", "\n", "\r\n", "\n\n\n", " \n", "\n ", " \n \n", "  \r\n\t x", "a", " a", "a ", " a ", "a  b", "a   b", "a\tb",
    "a\n\nb", "a \n b", "x \r y", "tab\t\ttab", "trailing   ", "   leading", "nbsp\u00a0nbsp \u00a0 x", "\u2003em\u2003space", "\u3000全角　空白",
    "line\u2028sep\u2029par", "\u0085nel\u0085", "zero\u200bwidth\u200cjoin\u200der\ufeffbom", "\u180emongolian",
    "\x00nul\x00", "\x1bescape\x7f", "\u202eRTL override\u202c",
    "it's", "IT'S", "I'll I'LL i'Ll", "we've WE'VE", "they're THEY'RE", "'s", "'S", "'", "''", "'''s", "don't've", "rock'n'roll", "'\u017f", "it'\u017f x",
    "’s it’s", " 's", "a's's", "'re're", "'l 'v 'r", "x'd'm't",
    "0", "1 2 3", "12", "123", "1234", "12345", "1234567890", "3.14159", "1,000,000", "0x1F", "1e-9", "٣٤٥ ٦٧٨٩", "½ ¼ ² ³ Ⅷ ⅷ", "𝟘𝟙𝟚𝟛𝟜", "一二三", "v2.0.1-rc3",
    "Hello, world!", "Hello,world!Hello", "CamelCaseWord HTTPServer iPhone XMLHttpRequest", "snake_case_name __init__", "a/b//c///d", "!!! ??? ...", "---\n---", "#!/bin/sh\n",
    "path\\to\\file", "{\"key\": [1, 2, {\"x\": null}]}", "for(;;){}//\r\n", "a=b;c==d!=e", "$100.00 €50 £20 ¥1", "100%", "@user #tag", "&amp; <b>x</b>", "~`^|", "<0x0A> <0xFF> <0x>",
    "café cafe\u0301", "e\u0301\u0323 e\u0323\u0301", "\u0301", "\u0301a", " \u0301", "a\u0300\u0301\u0302\u0303\u0304", "q\u0307\u0323", "\u1e9b\u0323", "\u212b \u2126", "ﬁ ﬂ ﬃ ß ẞ İ ı ǅ", "\u0344\u0340\u0958",
    "\u1100\u1161\u11a8 각 가\u11a8", "한국어 문장입니다", "你好,世界。", "東京は日本の首都です", "カタカナ ｶﾀｶﾅ ﾊﾟ", "𠀀𠀁𪛖 漢字", "\U0002f800", "مرحبا بالعالم", "السَّلَامُ عَلَيْكُمْ", "שָׁלוֹם", "नमस्ते दुनिया", "क्षत्रिय", "สวัสดีชาวโลก", "ภาษาไทย", "ქართული", "Ελληνικά ΣΊΣΥΦΟΣ", "Привет, мир!", "Türkçe İstanbul ıIiİ",
    "😀", "😀😃", "a😀b", " 😀 ", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "❤️", "✨x✨", "🚀" * 9, "1️⃣", "𝒜𝓁𝓅𝒽𝒶 𝓑eta", "Ⓐⓑ🅰", "𐐀𐐨 𞤀𞤢", "\U0001e900\U0001e922", "\U000e0061\U000e007f", "\U0010fffd", "\ufffd", "\ue000",
    "▁", "▁▁", "a▁b", " ▁a", "▁ a", "Ġword", "ĊĠ", "Ġ", "##ing", "</w>",
    "a" * 70, "ab" * 40, " " * 65, "\n" * 33, "\t" * 17, "é" * 30, "e\u0301" * 20, "漢" * 30, "!" * 40, "1" * 41, "😀" * 12, " a" * 20, "a " * 20, " \n" * 9, "the " * 12, "\u0301" * 25,
    "<|endoftext|>", "a<|endoftext|>b", " <|endoftext|> ", "<|endoftext|><|endoftext|>", "<|endoftext", "<|begin_of_text|>Hello<|endoftext|>", "<s>", "<s>Hello</s>", "<s> Hello </s>", "Hello<s>", "</s></s> x", "<bos>\n\nHi", "x <mask> y", "x   <mask>   y", "<mask><mask>", "  <mask>", "<mask>  ", "x [R]   y", "[R]  [R]", "a[R]\n\nb", "x  [Both]  y", " [Both] [Both] ",
    "Word", "a Word b", "aWord", "Wordy", "(Word)", "Word Word", "Word_", "Wordé", "Word\u0301", "éWord", "-Word-", "word WORD Word", "NORM", "norm", "xNormx", "Norm norm", "Ünit", "ünit", "U\u0308nit", "xu\u0308nit", "[R]<mask>Word", "<s>Word<s>",
    "The keeper's harbour, the archive; 27 rooms.", "  indented\n    code:\n\treturn x\n", "Mixed العربية and English 中文 текст ελληνικά.", "Hydragen Hydragen. xHydragen",
]

POOLS = [
    "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789", "   \t\n\r", " ", "'", ".,;:!?-_()[]{}<>/\\@#$%^&*+=|~`\"", "ſKŉßﬆ",
    "éüñçøåÉÜ", "\u0300\u0301\u0308\u0323\u0327\u0345", "\u00a0\u2003\u3000\u2028\u0085\u200b\u200d\ufe0f",
    "漢字世界你好東京", "かなカナ한국어\u1100\u1161\u11a8", "مرحباशनमस्ते", "😀🚀👍🏽❤✨🇩🇪", "𝒜𝟙𐐀𠀀\U0001e922", "½²Ⅷ٣௧", "▁ĠĊ",
]


def random_texts(count, seed):
    rng = random.Random(seed)
    assigned = [chr(c) for c in range(0x20, 0x31350) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    texts = []
    for index in range(count):
        parts = []
        for _ in range(rng.randint(1, 12)):
            kind = rng.random()
            if kind < 0.75:
                pool = rng.choice(POOLS)
                parts.append("".join(rng.choice(pool) for _ in range(rng.randint(1, 6))))
            elif kind < 0.85:
                parts.append(rng.choice(assigned))
            elif kind < 0.95:
                parts.append(rng.choice([" the", "'ll", "'S", " harbour", "http", "1234", "\r\n", "  ", "é", "ing "]))
            else:
                parts.append(rng.choice(SPECIAL))
        texts.append("".join(parts))
    return texts


def corpus_lines():
    return CORPUS.split("\n")


def train(tokenizer, special_tokens, vocab_size, **options):
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special_tokens, show_progress=False, **options)
    tokenizer.train_from_iterator(corpus_lines(), trainer)
    return tokenizer


def byte_alphabet():
    return pre_tokenizers.ByteLevel.alphabet()


def byte_tokens():
    return [f"<0x{value:02X}>" for value in range(256)]


def rewrite(tokenizer, change):
    """Passes the tokenizer's JSON through `change`, for what the training interface cannot say."""
    data = json.loads(tokenizer.to_str())
    change(data)
    return data


def merges_as_strings(data):
    data["model"]["merges"] = [" ".join(merge) for merge in data["model"]["merges"]]


def template(before, tokenizer):
    special = [(token, tokenizer.token_to_id(token)) for token in [before]]
    return processors.TemplateProcessing(single=f"{before} $A", pair=f"{before} $A {before} $B", special_tokens=special)


def gpt2():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    train(tokenizer, ["<|endoftext|>"], 600, initial_alphabet=byte_alphabet())
    return rewrite(tokenizer, merges_as_strings)


def llama3():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, [], 560, initial_alphabet=byte_alphabet())

    def change(data):
        # Pieces that no merge makes: ignore_merges must find them.
        data["model"]["ignore_merges"] = True
        vocab = data["model"]["vocab"]
        for piece in ["ĠHydragen", "123", "ðŁĺĢðŁĺĥ", "THEY", "ĊĊĊ"]:
            vocab.setdefault(piece, len(vocab))

    tokenizer = Tokenizer.from_str(json.dumps(rewrite(tokenizer, change)))
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|endoftext|>"])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template("<|begin_of_text|>", tokenizer)])
    return json.loads(tokenizer.to_str())


def qwen2():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    train(tokenizer, [], 520, initial_alphabet=byte_alphabet())
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.add_tokens([AddedToken("<mask>", normalized=False), AddedToken("Ünit", normalized=True)])
    return json.loads(tokenizer.to_str())


def o200k():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(O200K), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, ["<|endoftext|>"], 480, initial_alphabet=byte_alphabet())
    return json.loads(tokenizer.to_str())


def sentencepiece(special_tokens, vocab_size):
    """Trained word by word, as SentencePiece does; the caller chooses how it runs."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    train(tokenizer, special_tokens + byte_tokens(), vocab_size, limit_alphabet=90)
    data = json.loads(tokenizer.to_str())
    names = set(byte_tokens())
    data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] not in names]
    return Tokenizer.from_str(json.dumps(data))


def tekken():
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(TEKKEN), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, ["<unk>", "<s>", "</s>"], 430, initial_alphabet=byte_alphabet())
    return json.loads(tokenizer.to_str())


def patterns():
    """Regular expressions that have no scanner of their own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in DEEPSEEK]
        + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, ["<|endoftext|>"], 430, initial_alphabet=byte_alphabet())
    return json.loads(tokenizer.to_str())


def behaviors():
    """Every behaviour of a split, by text and by expression."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split("'", "merged_with_previous"),
        pre_tokenizers.Split(Regex(r"[\p{Lu}\p{Lt}]"), "merged_with_next"),
        pre_tokenizers.Split(Regex(r"[0-9]{2}|[\t\n]"), "contiguous"),
        pre_tokenizers.Split(Regex(r"(?:a|e\u0301)+?|[^\S ]|\u3000"), "merged_with_previous"),
        pre_tokenizers.Split(Regex(r"\p{P}+"), "removed"),
        pre_tokenizers.Split(Regex(r"[^\p{So}\p{Mn}]+"), "isolated", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, ["<|endoftext|>"], 430, initial_alphabet=byte_alphabet())
    return json.loads(tokenizer.to_str())


def llama2():
    tokenizer = sentencepiece(["<unk>", "<s>", "</s>"], 560)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = template("<s>", tokenizer)

    def change(data):
        data["pre_tokenizer"] = None
        merges_as_strings(data)

    return rewrite(tokenizer, change)


def legacy():
    """Llama-2 as early files have it: control tokens that match the normalized text."""
    tokenizer = sentencepiece(["<unk>", "<s>", "</s>"], 480)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 1)])
    tokenizer.post_processor = template("<s>", tokenizer)
    tokenizer.add_tokens([AddedToken("[R]", normalized=True), AddedToken("Word", normalized=True, single_word=True)])

    def change(data):
        data["pre_tokenizer"] = None
        for token in data["added_tokens"]:
            token["normalized"] = True

    return rewrite(tokenizer, change)


def gemma():
    tokenizer = sentencepiece(["<pad>", "<eos>", "<bos>", "<unk>"], 520)
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = template("<bos>", tokenizer)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ["\n\n", "\n\n\n", "▁▁", "▁▁▁", "▁▁▁▁", "\t\t"]])
    return json.loads(tokenizer.to_str())


def mistral():
    tokenizer = sentencepiece(["<unk>", "<s>", "</s>"], 480)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = template("<s>", tokenizer)
    return json.loads(tokenizer.to_str())


def metaspace():
    tokenizer = sentencepiece(["<unk>", "<s>", "</s>"], 480)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always", split=True)

    def change(data):
        # Without some byte tokens, characters that need them are unknown.
        data["model"]["fuse_unk"] = False
        for value in range(0xE5, 0xEA):
            del data["model"]["vocab"][f"<0x{value:02X}>"]

    return rewrite(tokenizer, change)


def flags():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Punctuation("contiguous"),
        pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, ["<|endoftext|>"], 420, initial_alphabet=byte_alphabet())
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False), AddedToken("</s>", normalized=True)])
    tokenizer.add_tokens([
        AddedToken("[R]", rstrip=True, normalized=False), AddedToken("[Both]", lstrip=True, rstrip=True, normalized=True),
        AddedToken("Word", single_word=True, normalized=False), AddedToken("NORM", normalized=True),
        AddedToken("Ünit", single_word=True, normalized=True), AddedToken("<s>", normalized=False), AddedToken("<s>W", normalized=False)])
    return json.loads(tokenizer.to_str())


def words():
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.Strip(), normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.Split("t", "merged_with_next")])
    train(tokenizer, ["[UNK]", "[CLS]", "[SEP]"], 420, continuing_subword_prefix="##", end_of_word_suffix="</w>", limit_alphabet=60)
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", tokenizer.token_to_id("[SEP]")), ("[CLS]", tokenizer.token_to_id("[CLS]")))
    return json.loads(tokenizer.to_str())


CONFIGURATIONS = [gpt2, llama3, qwen2, o200k, tekken, patterns, behaviors, llama2, legacy, gemma, mistral, metaspace, flags, words]


def without_surrounding(tokenizer, text):
    """How many control tokens the post-processor puts before and behind a text."""
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    ids = tokenizer.encode(text, add_special_tokens=True).ids
    before = next(i for i in range(len(ids) + 1) if ids[i:i + len(plain)] == plain)
    return before, len(ids) - len(plain) - before


def describe_texts(tokenizer, texts, before, after):
    described = []
    for text in texts:
        ids = tokenizer.encode(text).ids
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        assert plain == ids[before:len(ids) - after]
        tokenizer.encode_special_tokens = True
        as_text = tokenizer.encode(text, add_special_tokens=False).ids
        tokenizer.encode_special_tokens = False
        decoded = tokenizer.decode(ids, skip_special_tokens=True)
        decoded_all = tokenizer.decode(ids, skip_special_tokens=False)
        entry = {"ids": ids}
        if as_text != plain:
            entry["as_text"] = as_text
        if decoded != text:
            entry["decoded"] = decoded
        if decoded_all != decoded:
            entry["decoded_all"] = decoded_all
        described.append(entry)
    return described


def describe_sequences(tokenizer, count, seed):
    rng = random.Random(seed)
    size = tokenizer.get_vocab_size()
    bytes_only = [tokenizer.token_to_id(token) for token in byte_tokens() if tokenizer.token_to_id(token) is not None]
    described = []
    for index in range(count):
        pool = bytes_only if index % 3 == 2 and bytes_only else range(size if index % 2 else min(size, 262))
        ids = [rng.choice(pool) if rng.random() < 0.9 else rng.randrange(size) for _ in range(rng.randint(1, 14))]
        try:
            decoded, decoded_all = (tokenizer.decode(ids, skip_special_tokens=skip) for skip in (True, False))
        except BaseException:  # the decoder Strip panics where both ends want the same character
            continue
        described.append({"ids": ids, "decoded": decoded, "decoded_all": decoded_all})
    return described


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--bulk", type=int, default=0)
    arguments = parser.parse_args()
    texts = NASTY + random_texts(40, seed=1)
    write(arguments.output / "texts.json", texts)
    bulk = random_texts(arguments.bulk, seed=2)
    for configuration in CONFIGURATIONS:
        name = configuration.__name__
        data = configuration()
        write(arguments.output / name / "tokenizer.json", data)
        tokenizer = Tokenizer.from_str(json.dumps(data))
        before, after = without_surrounding(tokenizer, "The keeper's harbour")
        write(arguments.output / name / "cases.json", {
            "before": before, "after": after,
            "texts": describe_texts(tokenizer, texts, before, after),
            "sequences": describe_sequences(tokenizer, 30, seed=3)})
        if bulk:
            write(arguments.output / name / "bulk.json", {
                "before": before, "after": after, "inputs": bulk,
                "texts": describe_texts(tokenizer, bulk, before, after),
                "sequences": describe_sequences(tokenizer, 2000, seed=4)})
        print(name, tokenizer.get_vocab_size(), len(texts), flush=True)


if __name__ == "__main__":
    main()
