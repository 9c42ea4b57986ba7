"""Goldens of T5's tokenizer: token ids of SentencePiece and of transformers'
T5Tokenizer, for tests/core/test_spiece.c.

    python tests/golden/spiece.py make        # spiece/*, the files below
    python tests/golden/spiece.py check TOOL [--lines N]

needs sentencepiece, protobuf and transformers. `make` trains small unigram
models on lines of tokens.py's making and writes

    spiece/t5.model      as T5's: <pad>, </s>, <unk>, then pieces
    spiece/bytes.model   byte fallback, symbols that users defined, spaces kept
    spiece/lines.jsonl   {"model", "text", "ids"}

Both have some of the rules of nmt_nfkc alone: all of them take 230 KB. `check`
trains larger models with the whole of nmt_nfkc, and others, and compares N
lines (20,000) with what TOOL, the program weft_tokens of a build, makes of
them; it also says in how many transformers' T5Tokenizer, whose own code cuts
texts at graphemes and white space first, differs from SentencePiece.
"""
import argparse
import io
import json
import pathlib
import random
import struct
import subprocess
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as pb
from transformers import T5Tokenizer

from tokens import PHRASES, lines, tool_ids

HERE = pathlib.Path(__file__).resolve().parent / "spiece"
EXTRA = 100
SPECIAL = ["<extra_id_0>", "<extra_id_99>", "</s>", "<pad>", "<unk>",
           "a <extra_id_7> b", "x</s>y", "<extra_id_100>", "<extra_id_01>",
           "<extra_id_>", "<extra_id_1", "</s", "<pad><pad> a", " </s>  <unk> ",
           "<EXTRA_ID_1>", "<<extra_id_1>>"]
USER = ["<sep>", "=>", "\u2603"]
# Rules whose sides are all of these are kept for the small models.
KEPT = [(0x0, 0x24f), (0x300, 0x345), (0x1100, 0x1112), (0x1161, 0x1175),
        (0x2000, 0x206f), (0x2100, 0x214f), (0x2460, 0x2473), (0x2581, 0x2581),
        (0x3000, 0x3002), (0x30a1, 0x30fc), (0xac00, 0xac1f), (0xfb00, 0xfb06),
        (0xfdfa, 0xfdfa), (0x600, 0x6ff), (0xfeff, 0xfeff), (0xff01, 0xff9f),
        (0xfffd, 0xfffd), (0x1d400, 0x1d433)]


# ---- models ------------------------------------------------------------------

def train(texts, size, **options):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=out, vocab_size=size,
        model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
        num_threads=1, hard_vocab_limit=False, minloglevel=2, **options)
    return out.getvalue()


def few(texts, one_in):
    """Without most of the characters beyond Latin, so that others remain
    unknown."""
    for text in texts:
        yield "".join(c for c in text if ord(c) < 0x180 or ord(c) % one_in == 0)


def plain(model):
    """The same without where it was trained, and from what."""
    m = pb.ModelProto.FromString(model)
    t = pb.TrainerSpec(model_type=m.trainer_spec.model_type,
                       byte_fallback=m.trainer_spec.byte_fallback,
                       pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    m.normalizer_spec.normalization_rule_tsv = ""
    return pb.ModelProto(pieces=m.pieces, trainer_spec=t,
                         normalizer_spec=m.normalizer_spec).SerializeToString()


def rules_of(charsmap):
    """All rules of a compiled map: a walk over its double array."""
    size, = struct.unpack_from("<I", charsmap)
    units = struct.unpack_from(f"<{size // 4}I", charsmap, 4)
    results = charsmap[4 + size:]

    def offset(u):
        return (u >> 10) << ((u & 512) >> 6)

    stack = [(offset(units[0]), b"")]
    while stack:
        at, key = stack.pop()
        for byte in range(1, 256):
            child = at ^ byte
            if child >= len(units) or units[child] & 0x800000ff != byte:
                continue
            below = child ^ offset(units[child])
            if units[child] >> 8 & 1:
                value = units[below] & 0x7fffffff
                yield key + bytes([byte]), results[value:results.index(0, value)]
            stack.append((below, key + bytes([byte])))


def small_rules(path):
    model = pb.ModelProto.FromString(train(few(lines(200, 1), 50), 600))
    with path.open("w") as f:
        for key, value in sorted(rules_of(model.normalizer_spec.precompiled_charsmap)):
            sides = key.decode(), value.decode()
            if all(any(a <= ord(c) <= b for a, b in KEPT)
                   for side in sides for c in side):
                f.write("\t".join(" ".join(f"{ord(c):X}" for c in side)
                                  for side in sides) + "\n")


# ---- commands ----------------------------------------------------------------

def texts_of(count, seed):
    """Lines with spaces at odd places and long runs."""
    rng = random.Random(seed)
    for text in lines(count, seed):
        kind = rng.random()
        if kind < .05:
            text = " " * rng.randint(1, 3) + text + "  "
        elif kind < .1:
            text = text.replace("a", "  \u2581 ")
        elif kind < .12:
            text = text * 5
        elif kind < .2:
            text += rng.choice(USER + ["\ufdfa", "\0", "x\0y", "\u1100\u1161\u11a8"])
        yield text


def encode(model, texts):
    return sentencepiece.SentencePieceProcessor(model_proto=model).encode(list(texts))


def folder_of(model, folder):
    (folder / "spiece.model").write_bytes(model)
    return folder


def transformers_ids(model, texts):
    with tempfile.TemporaryDirectory() as tmp:
        t = T5Tokenizer.from_pretrained(folder_of(model, pathlib.Path(tmp)))
        return [i[:-1] for i in t(list(texts)).input_ids]


def make():
    HERE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as tmp:
        rules = pathlib.Path(tmp) / "rules.tsv"
        small_rules(rules)
        models = {
            "t5": train(few(lines(4000, 1), 40), 1600,
                        normalization_rule_tsv=str(rules)),
            "bytes": train(few(lines(4000, 2), 90), 1200, byte_fallback=True,
                            user_defined_symbols=USER,
                           remove_extra_whitespaces=False,
                           add_dummy_prefix=False,
                           normalization_rule_name="identity")}
    out = []
    for seed, (name, model) in enumerate(models.items()):
        model = plain(model)
        (HERE / f"{name}.model").write_bytes(model)
        texts = list(texts_of(120, 100 + seed)) + PHRASES + ["", " ", "\n\t"]
        texts = [t for t in texts if "\0" not in t] # weft's JSON has none
        out += [(name, t, i) for t, i in zip(texts, encode(model, texts))]
        if name == "t5":
            out += [(name, t, i) for t, i in
                    zip(SPECIAL, transformers_ids(model, SPECIAL))]
    (HERE / "lines.jsonl").write_text("".join(
        json.dumps({"model": m, "text": t, "ids": i}) + "\n" for m, t, i in out))


def kinds():
    rows = list(few(lines(20000, 1), 5))
    yield "t5", train(rows, 32000, normalization_rule_name="nmt_nfkc")
    yield "umt5", train(few(rows, 25), 8000, normalization_rule_name="nmt_nfkc",
                        byte_fallback=True)
    yield "user", train(rows, 24000, normalization_rule_name="nmt_nfkc_cf",
                        user_defined_symbols=USER,
                        remove_extra_whitespaces=False)
    yield "bare", train(rows, 24000, normalization_rule_name="identity",
                        add_dummy_prefix=False)


def compare(name, tool, model, texts):
    want = encode(model, texts)
    with tempfile.TemporaryDirectory() as tmp:
        got = tool_ids(tool, folder_of(model, pathlib.Path(tmp)), texts)
    bad = [i for i, (a, b) in enumerate(zip(want, got)) if a != b]
    print(f"{name}: {len(texts)} lines, {sum(map(len, want))} tokens, "
          f"{len(bad)} lines differ")
    for i in bad[:10]:
        print(ascii(texts[i]), want[i], got[i], sep="\n    ")
    return len(bad)


def check(tool, count):
    texts = list(texts_of(count, 7))
    texts.append(" ".join(texts[:3000])[:1 << 17])
    wrong = 0
    for name, model in kinds():
        wrong += compare(name, tool, model, texts)
        if name == "t5":
            other = transformers_ids(model, texts)
            same = sum(a == b for a, b in zip(other, encode(model, texts)))
            print(f"    transformers' own differs from SentencePiece in "
                  f"{count - same}")
            with tempfile.TemporaryDirectory() as tmp:
                got = tool_ids(tool, folder_of(model, pathlib.Path(tmp)), SPECIAL)
            wrong += got != transformers_ids(model, SPECIAL)
    return wrong == 0


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("what", choices=["make", "check"])
    ap.add_argument("tool", nargs="?")
    ap.add_argument("--lines", type=int, default=20000)
    a = ap.parse_args()
    if a.what == "make":
        make()
    elif not check(a.tool, a.lines):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
