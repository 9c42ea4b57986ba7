"""Goldens of the tokenizer: token ids of transformers' CLIPTokenizer, for
tests/core/test_tokenizer.c.

    python tests/golden/tokens.py make         # tokens/*, the files below
    python tests/golden/tokens.py check TOOL [--vocabulary FOLDER] [--lines N]

needs transformers and regex. `make` trains a small vocabulary on lines of this
script's own making and writes

    tokens/vocab.json, merges.txt     as CLIP's
    tokens/old.config.json, old.map.json
                   special tokens as in tokenizers of before 2023
    tokens/new.config.json            ... and since; "!" is the padding
    tokens/tokenizer.json, one.config.json
                   that one as transformers 5 writes it
    tokens/lines.jsonl                {"style", "text", "ids"}: ids between
                                      begin and end

`check` compares N lines (20,000) in all styles with what TOOL, the program
weft_tokens of a build, makes of them, with this vocabulary or that of FOLDER.
"""
import argparse
import collections
import json
import pathlib
import random
import shutil
import struct
import subprocess
import tempfile
import unicodedata

import regex
from transformers import CLIPTokenizer

HERE = pathlib.Path(__file__).resolve().parent / "tokens"
MERGES = 700

SCRIPTS = {
    "latin": [(0x61, 0x7a), (0x41, 0x5a), (0xc0, 0x24f), (0x1e00, 0x1eff)],
    "greek": [(0x370, 0x3ff), (0x1f00, 0x1fff)],
    "cyrillic": [(0x400, 0x52f)],
    "armenian": [(0x531, 0x58f)],
    "hebrew": [(0x591, 0x5f4)],
    "arabic": [(0x620, 0x6ff), (0xfb50, 0xfdff)],
    "syriac": [(0x700, 0x74f)],
    "devanagari": [(0x900, 0x97f)],
    "bengali": [(0x980, 0x9fe)],
    "tamil": [(0xb82, 0xbfa)],
    "telugu": [(0xc00, 0xc7f)],
    "thai": [(0xe01, 0xe5b)],
    "lao": [(0xe81, 0xedf)],
    "tibetan": [(0xf00, 0xfda)],
    "georgian": [(0x10a0, 0x10ff), (0x1c90, 0x1cbf)],
    "ethiopic": [(0x1200, 0x137c)],
    "cherokee": [(0x13a0, 0x13fd), (0xab70, 0xabbf)],
    "khmer": [(0x1780, 0x17f9)],
    "mongolian": [(0x1800, 0x18aa)],
    "hangul": [(0x1100, 0x11ff), (0xac00, 0xd7a3)],
    "kana": [(0x3041, 0x30ff), (0xff66, 0xff9f)],
    "han": [(0x4e00, 0x9fa5), (0x20000, 0x2a6d6), (0xf900, 0xfad9)],
    "deseret": [(0x10400, 0x1044f)],
    "emoji": [(0x1f300, 0x1f64f), (0x1f900, 0x1f9ff), (0x2600, 0x27bf)],
    "numbers": [(0x30, 0x39), (0x660, 0x669), (0xb2, 0xb3), (0xbc, 0xbe),
                (0x2150, 0x2189), (0x2460, 0x249b), (0x1d7ce, 0x1d7ff)],
    "signs": [(0x21, 0x2f), (0x3a, 0x40), (0x5b, 0x60), (0x7b, 0x7e),
              (0xa1, 0xbf), (0x2010, 0x2027), (0x2190, 0x22ff)],
    "marks": [(0x300, 0x36f), (0x61, 0x7a), (0x1d165, 0x1d169)],
    "control": [(0x1, 0x1f), (0x7f, 0x9f), (0x200b, 0x200f), (0x2028, 0x202e),
                (0x61, 0x66), (0xe000, 0xe010), (0xfff0, 0xffff),
                (0x10fff0, 0x10ffff)],
    "letterlike": [(0x2100, 0x214f), (0xfb00, 0xfb06), (0xff21, 0xff5a),
                   (0x1d400, 0x1d7cb)],
}
SPACES = [" "] * 12 + ["  ", "\t", "\n", "\u00a0", "\u3000", "\u2003",
                       "\u0085", "\u1680", " \u2029 ", ""]
PHRASES = ["it's", "don't", "WE'LL", "I'd", "they've", "'s", "you're", "I'M",
           "<|endoftext|>", "<|startoftext|>", "<|ENDOFTEXT|>", "<|endoftext|>!!",
           "!<|startoftext|>", "<|startoftext", "|>", "!!", "a photo of a cat",
           "\u0130stanbul", "\u03a3\u0391\u03a3", "e\u0301", "\u212b", "\ufb01x",
           "\U0001f468\u200d\U0001f469\u200d\U0001f467", "1\ufe0f\u20e3", "8k",
           "(masterpiece:1.2)", "f/1.8", "\u1100\u1161\u11a8", "\u0958", "\ud55c",
           "\u1e9b\u0323", "q\u0323\u0307", "...", "--", "@#$%", "20\u00b0C"]


def characters(ranges):
    return [chr(c) for a, b in ranges for c in range(a, b + 1)
            if unicodedata.category(chr(c)) not in ("Cn", "Cs")]


def lines(count, seed):
    rng = random.Random(seed)
    chars = {name: characters(r) for name, r in SCRIPTS.items()}
    names = list(chars)
    for i in range(count):
        name = names[i % len(names)]
        text = ""
        for _ in range(rng.randint(1, 12)):
            kind = rng.random()
            if kind < .15:
                text += rng.choice(PHRASES)
            else:
                some = chars[name if kind < .85 else rng.choice(names)]
                text += "".join(rng.choices(some, k=rng.randint(1, 9)))
            text += rng.choice(SPACES)
        yield text


# ---- a vocabulary --------------------------------------------------------------

def byte_characters():
    printed = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    table, n = {b: chr(b) for b in printed}, 0
    for b in range(256):
        if b not in table:
            table[b] = chr(256 + n)
            n += 1
    return [table[b] for b in printed + [b for b in range(256)
                                         if b not in printed]], table


WORD = regex.compile(r"""'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+""")


def count_words(table):
    words = collections.Counter()
    for text in lines(4000, 1):
        text = unicodedata.normalize("NFC", text).lower()
        for word in WORD.findall(text):
            pieces = [table[b] for b in word.encode()]
            words[(*pieces[:-1], pieces[-1] + "</w>")] += 1
    return words


def merged(word, pair):
    out, i = [], 0
    while i < len(word):
        if word[i:i + 2] == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)


def train():
    order, table = byte_characters()
    words, merges = count_words(table), []
    for _ in range(MERGES):
        pairs = collections.Counter()
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        new = collections.Counter()
        for word, n in words.items():
            new[merged(word, best) if best[0] in word else word] += n
        words = new
    vocab = order + [c + "</w>" for c in order]
    vocab += dict.fromkeys("".join(m) for m in merges)
    vocab += ["<|startoftext|>", "<|endoftext|>"]
    return {piece: i for i, piece in enumerate(vocab)}, merges


# ---- styles --------------------------------------------------------------------

def token(text, cleaned):
    return {"content": text, "lstrip": False, "normalized": cleaned,
            "rstrip": False, "single_word": False}


def styles(vocab):
    begin, end = "<|startoftext|>", "<|endoftext|>"
    common = {"model_max_length": 77, "tokenizer_class": "CLIPTokenizer",
              "do_lower_case": True, "add_prefix_space": False,
              "errors": "replace"}
    names = {"bos_token": token(begin, True), "eos_token": token(end, True),
             "unk_token": token(end, True)}
    marked = {k: {"__type": "AddedToken", **v} for k, v in names.items()}
    decoder = {str(vocab[t]): {**token(t, False), "special": True}
               for t in (begin, end, "!")}
    return {"old": ({**common, **marked, "pad_token": end},
                    {**names, "pad_token": "!"}),
            "new": ({**common, "added_tokens_decoder": decoder,
                     "bos_token": begin, "eos_token": end, "unk_token": end,
                     "pad_token": "!"}, None),
            "bare": (None, None), "one": (None, None)}


def write_one(vocabulary, folder, configs):
    with tempfile.TemporaryDirectory() as tmp:
        two = folder_of("new", vocabulary, pathlib.Path(tmp), configs)
        CLIPTokenizer.from_pretrained(two).save_pretrained(folder)
    return folder


def folder_of(style, vocabulary, folder, configs):
    if style == "one":
        return write_one(vocabulary, folder, configs)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(vocabulary / name, folder / name)
    for name, value in zip(("tokenizer_config.json", "special_tokens_map.json"),
                           configs[style]):
        if value is not None:
            (folder / name).write_text(json.dumps(value))
    return folder


def ids_of(folder, texts):
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    return [t[1:-1] for t in tokenizer(list(texts)).input_ids]


# ---- commands ------------------------------------------------------------------

def make():
    HERE.mkdir(exist_ok=True)
    vocab, merges = train()
    (HERE / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    (HERE / "merges.txt").write_text(
        "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    configs = styles(vocab)
    for style, pair in configs.items():
        for name, value in zip(("config", "map"), pair):
            if value is not None:
                (HERE / f"{style}.{name}.json").write_text(json.dumps(value))
    with tempfile.TemporaryDirectory() as tmp:
        one = write_one(HERE, pathlib.Path(tmp), configs)
        for name, to in (("tokenizer.json", "tokenizer.json"),
                         ("tokenizer_config.json", "one.config.json")):
            (HERE / to).write_text(json.dumps(
                json.loads((one / name).read_text()), ensure_ascii=False,
                separators=(",", ":")))
    out = []
    for seed, style in enumerate(configs):
        texts = list(lines(60, 100 + seed)) + PHRASES + ["", " ", "\n\t"]
        with tempfile.TemporaryDirectory() as tmp:
            folder = folder_of(style, HERE, pathlib.Path(tmp), configs)
            out += [{"style": style, "text": t, "ids": i}
                    for t, i in zip(texts, ids_of(folder, texts))]
    (HERE / "lines.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in out))


def tool_ids(tool, folder, texts):
    data = b"".join(struct.pack("<I", len(t)) + t
                    for t in (t.encode() for t in texts))
    out = subprocess.run([tool, folder], input=data, capture_output=True,
                         check=True).stdout.decode()
    return [[int(i) for i in line.split()] for line in out.splitlines()]


def check(tool, vocabulary, count):
    texts = list(lines(count, 7))
    vocab = json.loads((vocabulary / "vocab.json").read_text())
    wrong = 0
    for style in (configs := styles(vocab)):
        with tempfile.TemporaryDirectory() as tmp:
            folder = folder_of(style, vocabulary, pathlib.Path(tmp), configs)
            want = ids_of(folder, texts)
            got = tool_ids(tool, folder, texts)
        bad = [i for i in range(count) if want[i] != got[i]]
        wrong += len(bad)
        print(f"{style}: {count} lines, {sum(map(len, want))} tokens, "
              f"{len(bad)} lines differ")
        for i in bad[:10]:
            print(ascii(texts[i]), want[i], got[i], sep="\n    ")
    return wrong == 0


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("what", choices=["make", "check"])
    ap.add_argument("tool", nargs="?")
    ap.add_argument("--vocabulary", type=pathlib.Path, default=HERE)
    ap.add_argument("--lines", type=int, default=20000)
    a = ap.parse_args()
    if a.what == "make":
        make()
    elif not check(a.tool, a.vocabulary, a.lines):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
