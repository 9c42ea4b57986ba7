#!/usr/bin/env python3
"""How near the pictures of each method come to real ones.

    tests/quality/quality.py --weft build/release/weft            # the table
    tests/quality/quality.py --weft build/release/weft --check    # can fail
    tests/quality/quality.py --weft W --rows weak,strong --work DIR

Every row is drawn by `weft sample` from the configs of this repository, at 96
pixels and 20 steps, 100 seeds of each of the ten classes (for the halves: 1000
seeds without a class), and held against pictures that tools/demo/textures.py
makes from seeds that no training saw. features.py says what is measured. Three
rows are real pictures: `real` as they are, which is what the measure makes of
nothing wrong; `blurred` by little, so that it is seen to bite; `autoencoder`,
encoded and decoded by diffusers, which is as near as any sample of these
latents could come (left out without torch and diffusers).

`evals` are evaluations of a network for one picture. `vs` is the difference
from the row `strong` (of the halves: from `random`), negative when better, of
pictures from the same seeds. Errors behind +- are standard errors.

--check exits 1 unless what theory and training promise is there, each by more
than three standard errors: see PROMISES. Nothing is promised of a method that
may or may not help; its row is printed.

Needs numpy and pillow. With --work pictures are kept there and drawn only
once; a row whose settings changed wants an empty folder.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "demo"))
import features as F  # noqa: E402
from textures import CLASSES, texture, to_u8  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SIZE, STEPS, EACH, GROUPS = 96, 20, 100, 20
REFERENCE_SEED, REFERENCE_EACH = 3_000_000, 400   # training: 0 to 799
REAL_SEED, REAL_DRAWS = 4_000_000, 5
NULL = 10                                         # the label of no class

# name: config, overrides. A row of several is drawn from them in turn.
ALONE = ["sample.guidance=1"]
BY_CLASS = {
    "weak": [("weak", [])],
    "weak, unguided": [("weak", ALONE)],
    "strong": [("class-brick", [])],
    "strong, unguided": [("class-brick", ALONE)],
    "strong, 3x steps": [("class-brick", [f"sample.steps={3 * STEPS}"])],
}
HALVES = {
    "A": [("half-a", ALONE)],
    "B": [("half-b", ALONE)],
    "random": [("half-a", ALONE), ("half-b", ALONE)],
}
PROMISES = [  # nearer, farther: in `energy`, by three standard errors
    ("strong", "weak"),
    ("random", "A"),
    ("random", "B"),
    ("real", "blurred"),
    ("real", "strong"),
]


# -------------------------------------------------------------------- pictures
def draw(weft, config, overrides, label, seeds, folder, report):
    """Draw what is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    if all((folder / f"{label}-{s}.png").exists() for s in seeds):
        return
    command = [weft, "sample", ROOT / "configs" / f"{config}.yaml",
               f"sample.width={SIZE}", f"sample.height={SIZE}",
               f"sample.steps={STEPS}", f"sample.label={label}",
               f"sample.seeds={seeds[0]}-{seeds[-1]}", "run.threads=1",
               f"output.image={folder}/{label}-{{seed}}.png",
               f"output.report={report}", *overrides]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        sys.exit(f"{ran.stderr}\nexit {ran.returncode}: "
                 f"{' '.join(map(str, command))}")


def evaluations(report):
    """Of one picture, in the last run that a report tells of."""
    events = [json.loads(line) for line in report.read_text().splitlines()]
    last = max(i for i, e in enumerate(events) if e["event"] == "start")
    images = sum(e["event"] == "image" for e in events[last:])
    return round(events[-1]["evaluations"] / images)


def read(path):
    return np.asarray(Image.open(path).convert("RGB"))


class Row:
    """Features, labels and groups of seeds of the pictures of one row."""

    def __init__(self, pictures, label, seed, evals=None):
        self.x = np.stack([F.features(p, BANK) for p in pictures])
        self.label, self.group = np.array(label), np.array(seed) % GROUPS
        self.evals = evals


def blurred(pictures):
    for p in pictures:
        yield np.asarray(Image.fromarray(p).filter(ImageFilter.GaussianBlur(0.5)))


def real(seed0, each, through=iter):
    label = np.repeat(np.arange(len(CLASSES)), each)
    seed = np.tile(np.arange(each), len(CLASSES))
    out = (to_u8(texture(k, seed0 + s, SIZE)) for k, s in zip(label, seed))
    return Row(through(out), label, seed)


def through_autoencoder(pictures):
    import torch
    from diffusers import AutoencoderTiny

    vae = AutoencoderTiny.from_pretrained(ROOT / "models/demo/vae").eval()
    for p in pictures:
        x = torch.from_numpy(p.transpose(2, 0, 1)[None] / np.float32(127.5) - 1)
        with torch.no_grad():
            y = vae.decode(vae.encode(x).latents).sample[0]
        yield to_u8(y.numpy().transpose(1, 2, 0))


def real_rows():
    rows = {"real": real(REAL_SEED, EACH),
            "blurred": real(REAL_SEED, EACH, blurred)}
    try:
        rows["autoencoder"] = real(REAL_SEED, EACH, through_autoencoder)
    except ImportError as missing:
        print(f"no row autoencoder: {missing}")
    return rows


def made(weft, name, parts, labels, seeds, work):
    """`parts` take turns by seed."""
    folder = work / name.replace(" ", "-").replace(",", "")
    report = folder / "report.jsonl"
    for i, (config, overrides) in enumerate(parts):
        share = seeds[i * len(seeds) // len(parts):
                      (i + 1) * len(seeds) // len(parts)]
        for k in labels:
            draw(weft, config, overrides, k, share, folder, report)
    label = np.repeat(labels, len(seeds))
    seed = np.tile(seeds, len(labels))
    return Row((read(folder / f"{k}-{s}.png") for k, s in zip(label, seed)),
               label, seed, evaluations(report))


# -------------------------------------------------------------------- measures
def by_class(measure, reference, row):
    """Mean over classes of a distance within each, and its jackknife."""
    some = [(row.label == k, measure(reference.x[reference.label == k]))
            for k in np.unique(row.label)]
    parts = [(mine, m, m.parts(row.x[mine])) for mine, m in some]
    return F.jackknife(lambda keep: np.mean(
        [m.value(p, keep[mine]) for mine, m, p in parts]), row.group)


def pooled(measure, reference, row):
    m = measure(reference.x)
    parts = m.parts(row.x)
    return F.jackknife(lambda keep: m.value(parts, keep), row.group)


def table(title, rows, reals, reference, how, base, share):
    """Print the rows of one kind; {name: (energy, left out)}."""
    nearest = F.Nearest(reference.x, reference.label)
    floor = np.mean([how(F.Frechet, reference, r)[0] for r in reals])
    energy = {name: how(F.Energy, reference, r) for name, r in rows.items()}
    print(f"\n{title}\n\n| row | n | evals | energy | vs {base} | frechet - "
          f"{floor:.2f} | {share[0]} |\n|---|---|---|---|---|---|---|")
    for name, r in rows.items():
        value, left = energy[name]
        frechet, fleft = how(F.Frechet, reference, r)
        paired = r.evals and base in energy and name != base
        delta = "" if not paired else (
            f"{value - energy[base][0]:+.4f} +- "
            f"{F.error(left - energy[base][1]):.4f}")
        print(f"| {name} | {len(r.x)} | {r.evals or ''} | {value:.4f} +- "
              f"{F.error(left):.4f} | {delta} | {frechet - floor:.2f} +- "
              f"{F.error(fleft):.2f} | {share[1](nearest.of(r.x), r):.3f} |",
              flush=True)
    return energy


def check(energy):
    """Whether every promise about rows that are there is kept."""
    kept = True
    for near, far in PROMISES:
        if near not in energy or far not in energy:
            print(f"not looked at: {near} before {far}")
            continue
        gap = energy[far][0] - energy[near][0]
        sure = F.error(energy[far][1] - energy[near][1])
        good = gap > 3 * sure
        kept &= good
        print(f"{'kept' if good else 'BROKEN'}: {near} before {far} by "
              f"{gap:.4f}, {gap / sure:.1f} standard errors")
    return kept


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--weft", required=True, help="the program")
    ap.add_argument("--rows", help="these alone, with commas; default: all")
    ap.add_argument("--work", type=Path, help="keep the pictures here")
    ap.add_argument("--check", action="store_true")
    a = ap.parse_args()
    wanted = a.rows.split(",") if a.rows else [*BY_CLASS, *HALVES]
    unknown = set(wanted) - set(BY_CLASS) - set(HALVES)
    if unknown:
        ap.error(f"no row {', '.join(unknown)}; there are "
                 f"{', '.join([*BY_CLASS, *HALVES])}")
    reference = real(REFERENCE_SEED, REFERENCE_EACH)
    extra = real_rows()
    reals = [extra["real"], *(real(REAL_SEED + i * EACH, EACH)
                              for i in range(1, REAL_DRAWS))]
    with tempfile.TemporaryDirectory() as temp:
        work = a.work or Path(temp)
        classes = {n: made(a.weft, n, p, range(len(CLASSES)), range(EACH), work)
                   for n, p in BY_CLASS.items() if n in wanted}
        halves = {n: made(a.weft, n, p, [NULL], range(EACH * len(CLASSES)), work)
                  for n, p in HALVES.items() if n in wanted}
    energy = {}
    if halves:
        energy |= table(
            "Halves, without a class, against all classes", halves | extra,
            reals, reference, pooled, "random",
            ("of A's classes", lambda near, r: np.mean(near < 5)))
    if classes:
        energy |= table(
            "By class", classes | extra, reals, reference, by_class, "strong",
            ("own class", lambda near, r: np.mean(near == r.label)))
    if a.check and not check(energy):
        sys.exit(1)


BANK = F.bank()

if __name__ == "__main__":
    main()
