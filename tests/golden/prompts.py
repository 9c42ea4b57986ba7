"""Goldens of prompts, for tests/core/test_prompt.c.

    python tests/golden/prompts.py WEBUI [--lines N] [--out FILE]

writes prompts.jsonl. WEBUI is a checkout of AUTOMATIC1111's
stable-diffusion-webui, whose parser says what the grammar means; token ids are
transformers', with the vocabulary of tokens.py, and chunks are made here by the
rules of prompt.h. One object a line:

    text            the prompt
    spans, weights  what the parser makes of it, without empty stretches; -1 at
                    a break
    ids, chunk      ids and weights of all chunks
    plain           ids of the prompt taken literally: 77

Left out are prompts with a break in brackets, which that parser takes for a
word, and those where an empty stretch keeps two apart.
"""
import argparse
import json
import pathlib
import random
import sys
import tempfile

from transformers import CLIPTokenizer

from tokens import HERE as VOCABULARY, folder_of, styles

HERE = pathlib.Path(__file__).resolve().parent
FULL, BACK = 75, 20
PIECES = ["a", "cat", " ", ", ", ", ", "photo of ", "(", "(", ")", ")", "[", "]",
          ":1.3)", ":.5)", ":-2)", ":+1.)", ":", "\\(", "\\)", "\\[", "\\]",
          "\\\\", "\\", " BREAK ", "BREAK", "xBREAKx", "caf\u00e9 ", "\u732b",
          "!", "\n", "sky ", "blue ", "very "]
TEXTS = ["", " ", "normal text", "an (important) word", "(unbalanced", "[less",
         "\\(literal\\]", "(unnecessary)(parens)", "a :1.3) b", "a ) b ] c",
         "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
         "a BREAK b", "BREAK a", "a BREAK", "BREAK", "((a)[b]:2)",
         " ".join(["word"] * 75), " ".join(["word"] * 76),
         "one, " + " ".join(["two"] * 74) + " three",
         " ".join(["two"] * 60) + ", " + " ".join(["three"] * 40),
         " ".join(["two"] * 50) + ", " + " ".join(["three"] * 40),
         ", ".join(["four"] * 200), "supercalifragilistic" * 20,
         "(" + " ".join(["five"] * 80) + ":1.5), six"]


def prompts(count):
    rng = random.Random(5)
    yield from TEXTS
    for i in range(count):
        yield "".join(rng.choices(PIECES, k=rng.randint(1, 25 if i % 8 else 250)))


def spans_of(parse, text):
    """None where the parser's breaks and empty stretches are not meant."""
    try:
        found = parse(text)
    except ValueError:
        return None
    spans = [(t, w) for t, w in found if t]
    for (a, v), (b, w) in zip(spans, spans[1:]):
        if v == w:
            return None
    if any(t.startswith("BREAK") and (w != -1 or t != "BREAK")
           for t, w in spans if "BREAK" in t.split()):
        return None
    if any(w == -1 and t != "BREAK" for t, w in spans):
        return None
    return spans


class Chunks:
    def __init__(self, begin, end, pad):
        self.begin, self.end, self.pad = begin, end, pad
        self.ids, self.weights, self.done = [], [], []
        self.comma = -1

    def close(self):
        rest = FULL - len(self.ids)
        self.done.append(
            ([self.begin, *self.ids, self.end] + [self.pad] * rest,
             [1, *self.weights, 1] + [1] * rest))
        self.ids, self.weights, self.comma = [], [], -1

    def add(self, token, weight, comma):
        if token == comma:
            at = len(self.ids)
        elif (len(self.ids) == FULL and self.comma >= 0
              and FULL - self.comma <= BACK):
            ids = self.ids[self.comma + 1:]
            weights = self.weights[self.comma + 1:]
            self.ids = self.ids[:self.comma + 1]
            self.weights = self.weights[:self.comma + 1]
            self.close()
            self.ids, self.weights = ids, weights
        if len(self.ids) == FULL:
            self.close()
            at = 0
        if token == comma:
            self.comma = at
        self.ids.append(token)
        self.weights.append(weight)


def chunks_of(tokenizer, spans):
    c = Chunks(tokenizer.bos_token_id, tokenizer.eos_token_id,
               tokenizer.pad_token_id)
    comma = tokenizer.get_vocab()[",</w>"]
    for text, weight in spans:
        if weight == -1 and text == "BREAK":
            c.close()
            continue
        for token in tokenizer(text).input_ids[1:-1]:
            c.add(token, weight, comma)
    if c.ids or not c.done:
        c.close()
    return ([i for ids, _ in c.done for i in ids],
            [w for _, weights in c.done for w in weights])


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("webui", type=pathlib.Path)
    ap.add_argument("--lines", type=int, default=80)
    ap.add_argument("--out", type=pathlib.Path, default=HERE / "prompts.jsonl")
    a = ap.parse_args()
    sys.path.insert(0, str(a.webui))
    from modules.prompt_parser import parse_prompt_attention as parse
    vocab = json.loads((VOCABULARY / "vocab.json").read_text())
    with tempfile.TemporaryDirectory() as tmp:
        tokenizer = CLIPTokenizer.from_pretrained(
            folder_of("new", VOCABULARY, pathlib.Path(tmp), styles(vocab)))
    out = []
    for text in prompts(a.lines):
        spans = spans_of(parse, text)
        if spans is None:
            continue
        ids, weights = chunks_of(tokenizer, spans)
        plain = tokenizer(text, padding="max_length", truncation=True,
                          max_length=77).input_ids
        out.append({"text": text, "spans": [t for t, _ in spans],
                    "weights": [w for _, w in spans], "ids": ids,
                    "chunk": weights, "plain": plain})
    a.out.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n"
                             for line in out))
    print(f"{len(out)} prompts")


if __name__ == "__main__":
    main()
