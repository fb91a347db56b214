"""Tiny byte-level BPE tokenizers and what Hugging Face makes of texts, for `HuggingFace.test.ts`.

    python test/tokenizer/huggingface.py      (tokenizers 0.23.3; then `npx dprint fmt test/tokenizer/huggingface.json`)
"""
import copy
import json
import pathlib
import random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

random.seed(7)
corpus = ["the hero said: they don't like the other items", "item title 3M tape 123 45 4567", "über naïve café ẛ̣", "日本語 のテキスト", "  two  spaces\n\n\nlines\r\n"] * 3
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=[], show_progress=False))
base = json.loads(tokenizer.to_str())
first = max(base["model"]["vocab"].values()) + 1


def added(content, offset, **options):
    return dict(dict(id=first + offset, content=content, single_word=False, lstrip=False, rstrip=False, normalized=True, special=False), **options)


def split(pattern, behavior="Isolated", invert=False):
    return dict(type="Split", pattern=dict(Regex=pattern), behavior=behavior, invert=invert)


def variant(pre, normalizer, **options):
    value = copy.deepcopy(base)
    value["pre_tokenizer"], value["normalizer"] = pre, normalizer
    value["model"].update(options)
    value["added_tokens"] = [added("<|end|>", 0, special=True, normalized=False), added("<a_1>", 1), added("<a_12>", 2, lstrip=True), added("<b_3>", 3, rstrip=True),
                             added("<word>", 4, single_word=True), added("é日", 5) if normalizer else added("<c_9>", 5)]
    value["post_processor"] = dict(type="TemplateProcessing", single=[dict(SpecialToken=dict(id="<|end|>", type_id=0)), dict(Sequence=dict(id="A", type_id=0))],
                                   pair=[dict(Sequence=dict(id="A", type_id=0)), dict(Sequence=dict(id="B", type_id=1))],
                                   special_tokens={"<|end|>": dict(id="<|end|>", ids=[first], tokens=["<|end|>"])})
    return value


contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
rest = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=False)
sequence = lambda *parts: dict(type="Sequence", pretokenizers=list(parts))
variants = {
    "gpt2": variant(dict(level, use_regex=True), None),
    "prefix": variant(dict(level, use_regex=True, add_prefix_space=True), None),
    "qwen": variant(sequence(split(contractions + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + rest), level), dict(type="NFC")),
    "llama": variant(sequence(split(contractions + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + rest), level), None, ignore_merges=True),
    "digits": variant(sequence(dict(type="Digits", individual_digits=True), split(r"\s+", "Removed"), dict(level, use_regex=True)), dict(type="Sequence", normalizers=[dict(type="NFKC")])),
}
characters = list("aàbcsStTlLdmrvhe'’ſ  \n\r\t0123.,!-_<>") + ["\u0085", "\ufeff", "\u00a0", "\u2028", "\u200b", "\u180e", "\u0301", "é", "ß", "日", "😀", "\x00", "½", "٣", "ﬁ", "<a_1>", "<a_12>",
                                                         "<b_3>", "<word>", "<|end|>", "<c_9>", "é日", "e\u0301日", "the", " item", "\x1c", "Å", "\U00010348"]
texts = ["", " ", "a\ufeff\ufeffb \ufeff c", "x \u0085\u0085y"] + ["".join(random.choice(characters) for _ in range(random.randint(2, 16))) for _ in range(60)]
result = {}
for name, value in variants.items():
    made = Tokenizer.from_str(json.dumps(value))
    cases = []
    for text in texts:
        ids = made.encode(text, add_special_tokens=False).ids
        cases.append(dict(text=text, ids=" ".join(map(str, ids)), decoded=made.decode(ids, skip_special_tokens=False), skipped=made.decode(ids, skip_special_tokens=True)))
    value["model"]["merges"] = [" ".join(m) for m in value["model"]["merges"]] if name == "qwen" else value["model"]["merges"]
    result[name] = dict(tokenizer=value, cases=cases)
model = result["gpt2"]["tokenizer"]["model"]
for name in list(result):
    own = result[name]["tokenizer"]["model"]
    own["vocab"] = None if name != "gpt2" else model["vocab"]
    own["merges"] = own["merges"] if name in ("gpt2", "qwen") else None
text = json.dumps(result, ensure_ascii=True, indent=1)
(pathlib.Path(__file__).parent / "huggingface.json").write_text(text + "\n")
