#!/usr/bin/env python3
"""What displaced patches do to pictures: PSNR (dB) of `parallel.exchange:
async` against the same image in step, over labels and seeds.

    python3 quality.py --weft build/release/weft [--out DIR]
        [--tables ranks,norm,wire,refresh,solver] [--labels 0,3,6] [--size 512]

Prints each run as a JSON line and the tables as Markdown. Needs mpirun, Pillow
and numpy. Pictures stay in DIR; a run whose picture is there is not repeated.
"""
import argparse
import json
import math
import os
import subprocess
import sys

import numpy
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = os.path.join(HERE, "..", "..", "configs", "demo.yaml")
# An evaluation in step at least: nothing has a past before it. DistriFusion,
# which does not count it, calls these 0, 1, 3 and 7.
RANKS, WARMUPS = (2, 4, 8), (1, 2, 4, 8)
DRIFTS = ("0.04", "0.02", "0.015", "0.01")


def draw(args, name, ranks, label, keys):
    path = os.path.join(args.out, "%s-%d.png" % (name, label))
    report = path[:-4] + ".jsonl"
    if os.path.exists(path) and os.path.exists(report):
        return path
    if os.path.exists(report):
        os.remove(report)
    words = [args.weft, "sample", CONFIG, "sample.label=%d" % label,
             "sample.seed=%d" % (7 + label), "sample.width=%d" % args.size,
             "sample.height=%d" % args.size, "sample.steps=%d" % args.steps,
             "run.threads=%d" % (2 if ranks == 1 else 1),
             "output.image=" + path + ".part", "output.report=" + report,
             *keys]
    if ranks > 1:
        words = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n",
                 str(ranks), *words]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900)
    if done.returncode:
        sys.exit(" ".join(words) + "\n" + done.stderr)
    os.rename(path + ".part", path)
    return path


def psnr(a, b):
    a, b = (numpy.asarray(Image.open(p), dtype=numpy.float64) for p in (a, b))
    error = ((a - b) ** 2).mean()
    return math.inf if error == 0 else 10 * math.log10(255 ** 2 / error)


def summary(args, name, label):
    with open(os.path.join(args.out, "%s-%d.jsonl" % (name, label))) as f:
        return json.loads(f.readlines()[-1])


def measure(args, name, ranks, keys, plain=(), of="plain"):
    """Mean and least PSNR over the labels."""
    got = {}
    for label in args.labels:
        reference = draw(args, of, 1, label, plain)
        path = draw(args, name, ranks, label,
                    ["parallel.exchange=async", *plain, *keys])
        got[label] = round(psnr(reference, path), 2)
    values = list(got.values())
    row = {"name": name, "ranks": ranks, "keys": keys, "psnr": got,
           "mean": round(sum(values) / len(values), 2), "least": min(values)}
    print(json.dumps(row), flush=True)
    return "%.1f (%.1f)" % (row["mean"], row["least"])


def table(title, head, rows):
    lines = ["", title, "", "| " + " | ".join(head) + " |",
             "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def by_ranks(args):
    rows = [["%d" % n] + [measure(args, "ranks%d-warmup%d" % (n, w), n,
                                  ["parallel.warmup=%d" % w])
                          for w in WARMUPS] for n in RANKS]
    return table("PSNR against in step, mean (least), by ranks and warm-up",
                 ["ranks"] + ["warmup %d" % w for w in WARMUPS], rows)


def by_norm(args):
    rows = [[n, measure(args, "norm-" + n, 4,
                        ["parallel.warmup=4", "parallel.norm=" + n])]
            for n in ("corrected", "stale", "fresh", "local")]
    return table("4 ranks, warm-up 4, by norm", ["norm", "PSNR"], rows)


def by_wire(args):
    rows = [[w, measure(args, "wire-" + w, 4,
                        ["parallel.warmup=4", "parallel.wire=" + w])]
            for w in ("f32", "f16", "bf16", "int8")]
    return table("4 ranks, warm-up 4, by wire", ["wire", "PSNR"], rows)


def by_refresh(args):
    rows = []
    for key, value in [("norm", "corrected")] + [
            ("refresh", str(k)) for k in (8, 4, 2)] + [
            ("drift", x) for x in DRIFTS]:
        name = "%s-%s" % (key, value)
        cell = measure(args, name, 4, ["parallel.warmup=4",
                                       "parallel.%s=%s" % (key, value)])
        runs = [summary(args, name, label) for label in args.labels]
        rows.append([
            key + " " + value, cell,
            "%.0f" % (sum(r["drifted"] for r in runs) / len(runs)),
            "%d" % sum(runs[0]["messages_sent"].values()),
            "%.1f" % (sum(runs[0]["bytes_sent"].values()) / 2**20)])
    return table("4 ranks, warm-up 4, in step again: by drift, messages and "
                 "MiB of all ranks", ["", "PSNR", "drifted", "messages", "MiB"],
                 rows)


def by_solver(args):
    rows = []
    for s in ("ddim", "dpmpp_2m", "euler", "heun"):
        plain = ["sample.solver=" + s]
        rows.append([s, measure(args, "solver-" + s, 4, ["parallel.warmup=4"],
                                plain, "plain-" + s)])
    return table("4 ranks, warm-up 4, by solver", ["solver", "PSNR"], rows)


TABLES = {"ranks": by_ranks, "norm": by_norm, "wire": by_wire,
          "refresh": by_refresh, "solver": by_solver}


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--weft", required=True)
    p.add_argument("--out", default="quality")
    p.add_argument("--tables", default="ranks,norm,wire,refresh,solver")
    p.add_argument("--labels", default="0,3,6")
    p.add_argument("--size", type=int, default=512)
    p.add_argument("--steps", type=int, default=30)
    args = p.parse_args()
    args.weft = os.path.abspath(args.weft)
    args.labels = [int(n) for n in args.labels.split(",")]
    os.makedirs(args.out, exist_ok=True)
    said = [TABLES[name](args) for name in args.tables.split(",")]
    print("\n".join(said))


if __name__ == "__main__":
    main()
