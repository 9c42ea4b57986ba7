#!/usr/bin/env python3
"""What ranks of their own are worth, and how near the plan comes.

    python3 roles.py --weft build/release/weft [--rounds 9] [--out DIR]
        [--what cfg,w2sd] [--flights 0,2,4] [--size 512] [--steps 15]

cfg   guidance on two ranks of a thread, {cond: 1, uncond: 1}, against both
      conditions in one batch on one rank of a thread: sampling seconds.
w2sd  two models of equal cost that take turns, 8 images: how busy each role was
      against the plan's ideal, and seconds against the plan's. Costs come from
      `weft bench bench.cluster=...`, run first. Batches in flight as given; 0
      lets the plan choose.

Rounds alternate the sides, so that whatever else the machine does falls on
both. Every run is a JSON line, then come medians. Ranks are bound to cores;
where there are fewer cores than ranks they share, and ratios mean little.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", ".."))


def run(args, ranks, words):
    binding = ["--bind-to", "core", "--map-by", "core"]
    if ranks > (os.cpu_count() or 1):
        binding = ["--bind-to", "none", "--oversubscribe"]
    done = subprocess.run(["mpirun", "-n", str(ranks), *binding, args.weft,
                           *words], capture_output=True, text=True, timeout=900)
    if done.returncode:
        sys.exit(" ".join(words) + "\n" + done.stderr)
    return done.stdout


def sample(args, ranks, config, keys):
    report = os.path.join(args.out, "run.jsonl")
    if os.path.exists(report):
        os.remove(report)
    run(args, ranks, ["sample", os.path.join(ROOT, "configs", config + ".yaml"),
                      "run.threads=1", "output.report=" + report,
                      "output.image=" + os.path.join(args.out, "{seed}.png"),
                      "sample.steps=%d" % args.steps, *keys])
    with open(report) as f:
        return json.loads(f.readlines()[-1])


def show(**fields):
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v
                      for k, v in fields.items()}), flush=True)


def cfg(args):
    size = ["sample.width=%d" % args.size, "sample.height=%d" % args.size]
    ratios = []
    for i in range(args.rounds):
        one = sample(args, 1, "cfg-split", [*size, "parallel.roles=shared"])
        two = sample(args, 2, "cfg-split",
                     [*size, "parallel.roles={cond: 1, uncond: 1}"])
        ratios.append(one["seconds_sampling"] / two["seconds_sampling"])
        show(bench="cfg", round=i, one=one["seconds_sampling"],
             two=two["seconds_sampling"], waited=two["wait_exposed_s"],
             ratio=ratios[-1])
    show(bench="cfg", median=statistics.median(ratios), least=min(ratios),
         most=max(ratios))


def w2sd_keys(args, flights, cluster):
    keys = ["models.weak.path=" + os.path.join(args.out, "weak"),
            "sample.guidance=1", "sample.seeds=0-7", "parallel.roles=" +
            "{strong: %d, weak: 1}" % (args.ranks - 1)]
    if flights:
        keys.append("parallel.flights=%d" % flights)
    if cluster:
        keys.append("parallel.cluster=" + cluster)
    return keys


def w2sd(args):
    shutil.copytree(os.path.join(ROOT, "models", "demo", "strong"),
                    os.path.join(args.out, "weak"), dirs_exist_ok=True)
    cluster = os.path.join(args.out, "cluster.yaml")
    run(args, args.ranks, ["bench", os.path.join(ROOT, "configs", "w2sd.yaml"),
                           "run.threads=1", "bench.cluster=" + cluster,
                           *w2sd_keys(args, 0, None)])
    flights = [int(f) for f in args.flights.split(",")]
    of_ideal, of_plan, by_time = [], [], []
    for i in range(args.rounds):
        s = sample(args, args.ranks, "w2sd",
                   w2sd_keys(args, flights[i % len(flights)], cluster))
        ideal = [r["busy"] / r["busy_ideal"] for r in s["roles"]]
        planned = [r["busy"] / r["busy_planned"] for r in s["roles"]]
        of_ideal.append(min(ideal))
        of_plan.append(min(planned))
        by_time.append(s["seconds_sampling"] / s["seconds_planned"])
        show(bench="w2sd", round=i, flights=s["flights"],
             seconds=s["seconds_sampling"], planned=s["seconds_planned"],
             ideal=s["seconds_ideal"],
             busy=[round(r["busy"], 3) for r in s["roles"]],
             busy_planned=[round(r["busy_planned"], 3) for r in s["roles"]],
             busy_ideal=[round(r["busy_ideal"], 3) for r in s["roles"]])
    for name, v in (("busy over ideal", of_ideal), ("busy over plan", of_plan),
                    ("seconds over plan", by_time)):
        show(bench="w2sd", what=name, median=statistics.median(v),
             least=min(v), most=max(v))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--weft", required=True, type=os.path.abspath)
    p.add_argument("--out", type=os.path.abspath)
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--what", default="cfg,w2sd")
    p.add_argument("--flights", default="0,2,4")
    p.add_argument("--ranks", type=int, default=2, help="of w2sd")
    p.add_argument("--size", type=int, default=512, help="of cfg")
    p.add_argument("--steps", type=int, default=15)
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        args.out = args.out or folder
        os.makedirs(args.out, exist_ok=True)
        for what in args.what.split(","):
            {"cfg": cfg, "w2sd": w2sd}[what](args)


if __name__ == "__main__":
    main()
