#!/usr/bin/env python3
"""How near the pictures of each method come to real ones.

    tests/quality/quality.py --weft build/release/weft            # the table
    tests/quality/quality.py --weft build/release/weft --check    # can fail
    tests/quality/quality.py --weft W --rows weak --rows strong --work DIR

Every row is drawn by `weft sample` from the configs of this repository, at 96
pixels: 50 seeds of each of the ten classes in 20 steps; for the halves 500 seeds
without a class in 50 steps of the reverse diffusion. It is held against pictures
that tools/demo/textures.py makes from seeds that no training saw. features.py
says what is measured. Three rows are real pictures: `real` as they are, which is
what the measure makes of nothing wrong; `blurred` by little, so that it is seen
to bite; `autoencoder`, encoded and decoded by diffusers, which is as near as any
sample of these latents could come (left out without torch and diffusers).

`evals` are evaluations of a network for one picture. `vs` is the difference from
the row `strong` (of the halves: from `random`, half of A and half of B), of
pictures from the same seeds, negative when better. Errors behind +- are standard
errors.

--check exits 1 unless what theory and training promise is there, each by more
than three standard errors: see PROMISES. Nothing is promised of a method that
may or may not help; its row is printed.

Needs numpy and pillow. With --work pictures and features are kept there and made
only once; where settings changed it wants an empty folder.
"""
import argparse
import copy
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
SIZE, STEPS, EACH, GROUPS = 96, 20, 50, 25
REFERENCE_SEED, REFERENCE_EACH = 3_000_000, 400   # training: 0 to 799
REAL_SEED, REAL_DRAWS = 4_000_000, 5
NULL = 10                                         # the label of no class

# By name: config and overrides.
PLAIN, ALONE = "sample.method=plain", "sample.guidance=1"
BY_CLASS = {
    "weak": ("w2sd", [PLAIN, "sample.model=weak"]),
    "weak, unguided": ("w2sd", [PLAIN, "sample.model=weak", ALONE]),
    "strong": ("w2sd", [PLAIN]),
    "strong, unguided": ("w2sd", [PLAIN, ALONE]),
    "strong, 40 steps": ("w2sd", [PLAIN, "sample.steps=40"]),
    "strong, 60 steps": ("w2sd", [PLAIN, "sample.steps=60"]),
    "re-sampling": ("w2sd", ["sample.method=resampling"]),
    "auto-guidance": ("w2sd", ["sample.method=autoguidance", ALONE]),
    "W2SD": ("w2sd", []),
    "W2SD, unguided": ("w2sd", [ALONE]),
    "Z-Sampling": ("zsampling", []),
}
# One process, the reverse diffusion, in enough steps for its densities.
DIFFUSION = ["sample.eta=1", "sample.steps=50"]
HALVES = {
    "A": ("superdiff-or", [PLAIN, "sample.model=half_a", *DIFFUSION]),
    "B": ("superdiff-or", [PLAIN, "sample.model=half_b", *DIFFUSION]),
    "OR": ("superdiff-or", DIFFUSION),
    "AND": ("superdiff-or", ["sample.method=superdiff_and", *DIFFUSION]),
}
PROMISES = [  # nearer, farther: in `energy`, by three standard errors
    ("strong", "weak"),      # four times the parameters, five times the training
    ("random", "A"),         # one half of the classes is not all of them
    ("random", "B"),
    ("OR", "A"),             # OR samples the mixture, as the random choice does
    ("OR", "B"),
    ("real", "blurred"),     # the measure bites
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
    """Features, labels and groups of seeds of the pictures of one row. Features
    that are in the file `kept` are not made again."""

    def __init__(self, pictures, label, seed, kept, evals=None):
        if kept.exists():
            self.x = np.load(kept)
        else:
            self.x = np.stack([F.features(p, BANK) for p in pictures])
            np.save(kept, self.x)
        self.label, self.group = np.array(label), np.array(seed) % GROUPS
        self.evals = evals

    def half_of(self, other):
        """The first half of my seeds, the second of another's."""
        row = copy.copy(self)
        first = np.arange(len(self.x)) < len(self.x) // 2
        row.x = np.where(first[:, None], self.x, other.x)
        return row


def blurred(pictures):
    for p in pictures:
        yield np.asarray(Image.fromarray(p).filter(ImageFilter.GaussianBlur(0.5)))


def real(work, name, seed0, each, through=iter):
    label = np.repeat(np.arange(len(CLASSES)), each)
    seed = np.tile(np.arange(each), len(CLASSES))
    out = (to_u8(texture(k, seed0 + s, SIZE)) for k, s in zip(label, seed))
    return Row(through(out), label, seed, work / f"{name}-{each}.npy")


def through_autoencoder(pictures):
    import torch
    from diffusers import AutoencoderTiny

    vae = AutoencoderTiny.from_pretrained(ROOT / "models/demo/vae").eval()
    for p in pictures:
        x = torch.from_numpy(p.transpose(2, 0, 1)[None] / np.float32(127.5) - 1)
        with torch.no_grad():
            y = vae.decode(vae.encode(x).latents).sample[0]
        yield to_u8(y.numpy().transpose(1, 2, 0))


def real_rows(work):
    rows = {"real": real(work, "real", REAL_SEED, EACH),
            "blurred": real(work, "blurred", REAL_SEED, EACH, blurred)}
    try:
        rows["autoencoder"] = real(work, "autoencoder", REAL_SEED, EACH,
                                   through_autoencoder)
    except ImportError as missing:
        print(f"no row autoencoder: {missing}")
    return rows


def made(weft, name, config, overrides, labels, seeds, work):
    folder = work / name.replace(" ", "-").replace(",", "")
    report = folder / "report.jsonl"
    for k in labels:
        draw(weft, config, overrides, k, seeds, folder, report)
    label, seed = np.repeat(labels, len(seeds)), np.tile(seeds, len(labels))
    return Row((read(folder / f"{k}-{s}.png") for k, s in zip(label, seed)),
               label, seed, folder / f"{len(label)}.npy", evaluations(report))


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
    ap.add_argument("--rows", action="append", help="one of several; default: all")
    ap.add_argument("--work", type=Path, help="keep the pictures here")
    ap.add_argument("--check", action="store_true")
    a = ap.parse_args()
    wanted = a.rows or [*BY_CLASS, *HALVES]
    unknown = set(wanted) - set(BY_CLASS) - set(HALVES)
    if unknown:
        ap.error(f"no row {', '.join(unknown)}; there are "
                 f"{', '.join([*BY_CLASS, *HALVES])}")
    with tempfile.TemporaryDirectory() as temp:
        work = a.work or Path(temp)
        classes = {n: made(a.weft, n, *r, range(len(CLASSES)), range(EACH), work)
                   for n, r in BY_CLASS.items() if n in wanted}
        halves = {n: made(a.weft, n, *r, [NULL], range(EACH * len(CLASSES)), work)
                  for n, r in HALVES.items() if n in wanted}
        if "A" in halves and "B" in halves:
            halves["random"] = halves["A"].half_of(halves["B"])
        reference = real(work, "reference", REFERENCE_SEED, REFERENCE_EACH)
        extra = real_rows(work)
        reals = [extra["real"],
                 *(real(work, f"real{i}", REAL_SEED + i * EACH, EACH)
                   for i in range(1, REAL_DRAWS))]
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
