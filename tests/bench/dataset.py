#!/usr/bin/env python3
"""What the machinery of data sets costs, by hand, on a machine without other
work:

    tests/bench/dataset.py WEFT [--size 128] [--items 100] [--against]
    tests/bench/dataset.py WEFT --prepare FOLDER
    tests/bench/dataset.py WEFT --resume FOLDER

One rank of one thread and two of them make the same items; the report says how
long ranks sampled and decoded, and how long all of it took from the first claim
on. With --against a plain loop over diffusers' models (torch, same batch, one
thread) makes the same number of images in turn with weft. --prepare makes 10^3
shards of 10^4, a million items; --resume goes on with them, and tells how long
it took to the first claim. Prints JSON lines.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENV = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1",
           OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
           OMPI_MCA_rmaps_base_oversubscribe="1")


def dataset(args, ranks, cpus=None):
    """Seconds from the first claim to the end, and of them at work."""
    out = pathlib.Path(tempfile.mkdtemp())
    seeds = args.items // 10 - 1
    command = [args.weft, "dataset", str(ROOT / "configs/dataset.yaml"),
               f"sample.width={args.size}", f"sample.height={args.size}",
               f"sample.steps={args.steps}", "run.threads=1",
               f"run.batch={args.batch}", f"dataset.items.seeds=0-{seeds}",
               f"dataset.shard_size={args.items // 10}",
               f"output.dir={out}/set", f"output.report={out}/report.jsonl"]
    if ranks > 1:
        command = ["mpirun", "-n", str(ranks)] + command
    if cpus:
        command = ["taskset", "-c", cpus] + command
    subprocess.run(command, env=ENV, check=True, capture_output=True)
    with open(out / "report.jsonl", encoding="utf-8") as f:
        last = json.loads(f.readlines()[-1])
    shutil.rmtree(out)
    assert last["event"] == "summary" and last["items"] == args.items
    wall = last["seconds_total"] - last["seconds_first_claim"]
    return wall, last["seconds_busy"] / ranks


TOY = """
models:
  toy: { kind: analytic, shape: [3, 8, 8], mixture: [
    { weight: 1, mean: -.5, std: .3 }, { weight: 1, mean: .5, std: .3 } ] }
sample: { steps: 1, width: 8, height: 8 }
dataset: { manifest: items.jsonl, shard_size: 100 }
output: { dir: set }
run: { threads: 1 }
"""


def prepare(args):
    folder = pathlib.Path(args.prepare)
    folder.mkdir(parents=True)
    (folder / "toy.yaml").write_text(TOY, encoding="utf-8")
    with open(folder / "items.jsonl", "w", encoding="utf-8") as f:
        for i in range(10**6):
            f.write(f'{{"id": "item-{i:07}", "seed": {i}}}\n')
    subprocess.run([args.weft, "dataset", str(folder / "toy.yaml"),
                    "dataset.slice=0/10"], env=ENV, check=True)


def resume(args):
    """Stopped by SIGUSR1 as soon as it has begun."""
    folder = pathlib.Path(args.resume)
    report = folder / "report.jsonl"
    seconds = []
    for _ in range(args.repeat):
        report.unlink(missing_ok=True)
        run = subprocess.Popen([args.weft, "dataset",
                                str(folder / "toy.yaml"),
                                f"output.report={report}"], env=ENV,
                               stderr=subprocess.DEVNULL)
        while run.poll() is None and not (
                report.exists() and report.read_text(encoding="utf-8")):
            time.sleep(0.01)
        run.send_signal(signal.SIGUSR1)
        assert run.wait() == 75
        with open(report, encoding="utf-8") as f:
            seconds.append(json.loads(f.readlines()[-1])["seconds_first_claim"])
    print(json.dumps({"bench": "resume", "seconds_first_claim": seconds}))


def torch_loop(args):
    """A generator of images as people write it: a closure that makes one
    batch."""
    import torch
    from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DModel
    from PIL import Image
    torch.set_num_threads(1)
    demo = ROOT / "models/demo"
    unet = UNet2DModel.from_pretrained(demo / "strong").eval()
    vae = AutoencoderTiny.from_pretrained(demo / "vae").eval()
    scheduler = DDIMScheduler.from_pretrained(demo / "scheduler")
    side = args.size // 4
    folder = pathlib.Path(tempfile.mkdtemp())

    @torch.no_grad()
    def batch(first, label):
        n = args.batch
        x = torch.cat([torch.randn(
            1, unet.config.in_channels, side, side,
            generator=torch.Generator().manual_seed(first + i))
            for i in range(n)])
        labels = torch.tensor([label] * n + [10] * n)
        scheduler.set_timesteps(args.steps)
        for t in scheduler.timesteps:
            e = unet(torch.cat([x, x]), t, class_labels=labels).sample
            cond, uncond = e.chunk(2)
            x = scheduler.step(uncond + 2.0 * (cond - uncond), t,
                               x).prev_sample
        image = vae.decode(x / vae.config.scaling_factor).sample
        image = (image / 2 + .5).clamp(0, 1).mul(255).round().byte()
        for i, picture in enumerate(image.permute(0, 2, 3, 1).numpy()):
            Image.fromarray(picture).save(folder / f"{label}-{first + i}.png")
    return batch


def main():
    p = argparse.ArgumentParser()
    p.add_argument("weft")
    p.add_argument("--size", type=int, default=128)
    p.add_argument("--items", type=int, default=100)
    p.add_argument("--steps", type=int, default=30)
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--repeat", type=int, default=3)
    p.add_argument("--against", action="store_true")
    p.add_argument("--prepare")
    p.add_argument("--resume")
    args = p.parse_args()
    args.weft = os.path.abspath(args.weft)
    if args.prepare:
        return prepare(args)
    if args.resume:
        return resume(args)

    found = {"one": [], "one_core": [], "two": [], "overhead": [],
             "overhead_one_core": []}
    batch = torch_loop(args) if args.against else None
    ratios = []
    for _ in range(args.repeat):
        wall, busy = dataset(args, 1)
        found["one"].append(args.items / wall)
        found["overhead"].append(wall / busy - 1)
        one, busy = dataset(args, 1, "0")
        found["one_core"].append(args.items / one)
        found["overhead_one_core"].append(one / busy - 1)
        found["two"].append(args.items / dataset(args, 2)[0])
        if batch:
            start = time.monotonic()
            n = max(1, args.items // args.batch // 4)
            for i in range(n):
                batch(i * args.batch, i % 10)
            rate = n * args.batch / (time.monotonic() - start)
            ratios.append(found["one"][-1] / rate)
            found.setdefault("torch", []).append(rate)
        print({key: round(values[-1], 4) for key, values in found.items()},
              file=sys.stderr, flush=True)
    line = {"bench": "dataset", "size": args.size, "items": args.items,
            "steps": args.steps, "batch": args.batch}
    for key, values in found.items():
        line[key] = {"min": min(values), "median": statistics.median(values),
                     "max": max(values)}
    line["two_over_one"] = [b / a for a, b in zip(found["one"], found["two"])]
    line["two_over_one_core"] = [
        b / a for a, b in zip(found["one_core"], found["two"])]
    if ratios:
        line["over_torch"] = ratios
    print(json.dumps(line))
    return None


if __name__ == "__main__":
    main()
