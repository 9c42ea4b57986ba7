#!/usr/bin/env python3
"""How much of the communication weft hides, on links that are really slow:
network namespaces behind token buckets (network.py), MPI over TCP.

    sudo python3 link.py --weft build/release/weft [--ranks 2,4]
        [--factors 0.25,0.5,0.9,2] [--modes blocking,sync,f32,f16,bf16,int8]
        [--runs 6] [--rounds 2] [--out link.jsonl] [--predict]
        [--keys parallel.patches=2x2]
    sudo python3 link.py --weft WEFT --short

A factor is the time that the bytes of one evaluation take at the chosen rate,
over the time of an evaluation without any communication; the rate follows from
both, measured and planned. Every run of a mode stands between two of the ideal,
so that a machine whose speed changes spoils little; one where these differ by
more than 6 % is repeated (--tries). Modes:

    ideal      nothing is exchanged (a wrong image)
    blocking   sync, every message waited for at once: nothing is hidden
    sync       in step, as weft does it
    f32 ...    async, displaced, with that wire

--predict also measures a cluster file at each rate and compares the plan's
prediction, for processors as fast as the ideal was, with what was measured.
--short checks bytes and that every mode ends,
with a small net: no times. Exits with 77 where no namespaces can be made.

The net (made once, in --cache, with diffusers) is a U-Net of SDXL's build,
narrower: attention at the second and third level.
"""
import argparse
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from network import Network, Unable, run  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "..", "..", "models", "demo")
ASYNC = ("parallel.exchange=async", "parallel.warmup=2")
MODES = {
    "ideal": ASYNC + ("bench.link=none",),
    "blocking": ("bench.link=blocking",),
    "sync": (),
    "f32": ASYNC,
    "f16": ASYNC + ("parallel.wire=f16",),
    "bf16": ASYNC + ("parallel.wire=bf16",),
    "int8": ASYNC + ("parallel.wire=int8",),
}


def make_net(folder):
    if os.path.exists(os.path.join(folder, "config.json")):
        return
    import torch
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    UNet2DModel(
        sample_size=128, in_channels=4, out_channels=4,
        block_out_channels=(128, 256, 512), layers_per_block=2,
        attention_head_dim=64, norm_num_groups=32,
        down_block_types=("DownBlock2D",) + ("AttnDownBlock2D",) * 2,
        up_block_types=("AttnUpBlock2D",) * 2 + ("UpBlock2D",),
    ).save_pretrained(folder)


def write_config(path, net, side, more=""):
    with open(path, "w") as f:
        f.write("models: { net: { path: %s } }\n"
                "schedule: { path: %s }\n"
                "sample: { steps: 20, width: %d, height: %d, seed: 1%s }\n"
                "run: { threads: 1 }\n" % (net, os.path.abspath(os.path.join(
                    MODELS, "scheduler")), side, side, more))


class Bench:
    def __init__(self, args, net, config):
        self.args, self.net, self.config = args, net, config

    def weft(self, ranks, keys):
        """What the last line of `weft bench` says."""
        code, out, err = self.net.mpirun(
            ranks, [self.args.weft, "bench", self.config, "bench.what=step",
                    *self.args.keys, *keys], self.args.timeout, self.args.mpi)
        if code:
            raise SystemExit("%s: exit %d\n%s%s" % (" ".join(keys), code, out,
                                                   err))
        lines = [json.loads(x) for x in out.splitlines() if x.startswith("{")]
        return lines[-1] if lines else None

    def step(self, ranks, mode):
        return self.weft(ranks, ["bench.runs=%d" % self.args.runs,
                                 *MODES[mode]])


# ---- times ------------------------------------------------------------------

def cluster_of(bench, ranks):
    """The machine at this rate, as `weft plan --cluster` wants it."""
    path = os.path.join(bench.args.cache, "cluster.yaml")
    bench.weft(ranks, ["bench.runs=3", "bench.cluster=" + path])
    with open(path) as f:
        return described(f.read(), ranks)


def described(cluster, ranks):
    """Hosts that share this machine's processors: ranks of one node with a link
    each, which is what they are but for their addresses."""
    cores = os.cpu_count()
    if ranks <= cores:
        return cluster
    for key, value in (("nodes", "1"), ("ranks_per_node", str(ranks)),
                       ("topology", '"pack:1 core:%d pu:1"' % cores),
                       ("  processors", "%.6g" % (cores / ranks))):
        cluster = re.sub("(?m)^%s:.*" % key, "%s: %s" % (key, value), cluster)
    return cluster


def plan(bench, ranks, cluster):
    path = os.path.join(bench.args.cache, "planned.yaml")
    with open(path, "w") as f:
        f.write(cluster)
    done = subprocess.run([bench.args.weft, "plan", bench.config, "--ranks",
                           str(ranks), "--cluster", path, "--json",
                           *bench.args.keys],
                          capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    cost = json.loads(done.stdout)["cost"]
    return {"ideal": cost["compute_s"], "blocking": cost["blocking_s"],
            "sync": cost["in_step_s"], **cost["displaced_s"]}


def predict(bench, row, cluster):
    """What the plan says of a row, for processors as fast as they were then: a
    machine that is shared is another one every minute."""
    guess = plan(bench, row["ranks"], cluster)["ideal"]
    was = float(re.search(r"processors: ([0-9.e+-]+)", cluster).group(1))
    now = re.sub(r"processors: [0-9.e+-]+", "processors: %.6g" %
                 (was * row["ideal_s"] / guess), cluster)
    return plan(bench, row["ranks"], now)[row["mode"]]


def paired(bench, ranks, mode, before):
    """A run of a mode between two of the ideal; again where these disagree.
    Returns what it said, the ideal of the time, and the last ideal."""
    for _ in range(bench.args.tries):
        said = bench.step(ranks, mode)
        after = bench.step(ranks, "ideal")
        a, b = before["median_s"], after["median_s"]
        before = after
        if abs(a - b) < 0.06 * min(a, b):
            break
    return said, (a + b) / 2, abs(a - b) / min(a, b), after


def one_rate(bench, ranks, ideal, factor, modes):
    """Rows of one rate, which follows from the ideal time and f32's bytes; each
    is shown and kept when it is known."""
    rate = ideal["bytes"] / ranks * 8 / (factor * ideal["median_s"])
    bench.net.rate(rate)
    print("\n" + HEAD % (ranks, rate / 1e6, factor), flush=True)
    before = bench.step(ranks, "ideal")
    cluster = cluster_of(bench, ranks) if bench.args.predict else None
    if cluster:
        keep(bench.args, {"cluster": cluster})
    for m in modes * bench.args.rounds:
        said, near, apart, before = paired(bench, ranks, m, before)
        row = {
            "ranks": ranks, "asked": factor, "mbit": round(rate / 1e6, 1),
            "factor": ideal["bytes"] / ranks * 8 / rate / near, "mode": m,
            "ideal_s": near, "ideals_apart": round(apart, 3), "n": said["n"],
            "min_s": said["min_s"], "median_s": said["median_s"],
            "max_s": said["max_s"], "bytes": said["bytes"],
            "exposed_s": said["exposed_s"]}
        if cluster:
            row["predicted_s"] = predict(bench, row, cluster)
        show(row)
        keep(bench.args, row)


HEAD = """\
%d ranks, %.1f Mbit/s each way (communication %.2f x compute asked for)

| mode | communication / compute | s | x ideal | MB/evaluation | waited | \
hidden | predicted |
|---|---|---|---|---|---|---|---|""".replace("\\\n", "")


def show(r):
    """Relative to the ideal of the same minute. Hidden: of the time that the
    bytes of f32 take, what does not lengthen the evaluation."""
    longer = r["median_s"] / r["ideal_s"] - 1
    guess = r.get("predicted_s")
    print("| %s | %.2f | %.3f | %.3f | %.1f | %.0f %% | %.0f %% | %s |" % (
        r["mode"], r["factor"], r["median_s"], 1 + longer,
        r["bytes"] / 1e6, 100 * r["exposed_s"] / r["median_s"],
        100 * (1 - longer / r["factor"]),
        "" if not guess else "%.3f (%+.0f %%)" % (
            guess, 100 * (guess / r["median_s"] - 1))), flush=True)


def keep(args, row):
    if args.out:
        with open(args.out, "a") as f:
            f.write(json.dumps(row) + "\n")


def measure(args, modes):
    net = os.path.join(args.cache, "link_unet")
    make_net(net)
    config = os.path.join(args.cache, "link.yaml")
    write_config(config, net, args.side)
    for ranks in args.ranks:
        with Network(ranks) as network:
            bench = Bench(args, network, config)
            runs = [bench.step(ranks, "ideal") for _ in range(2)]
            ideal = min(runs, key=lambda s: s["median_s"])
            for factor in args.factors:
                one_rate(bench, ranks, ideal, factor, modes)


# ---- the short version ------------------------------------------------------

def short(args, modes):
    """Every mode ends and sends what it must, over a link of 200 Mbit/s."""
    args.runs, args.timeout = 2, 120
    config = os.path.join(os.getcwd(), "short.yaml")
    write_config(config, os.path.abspath(os.path.join(MODELS, "weak")), 32,
                 ", label: 3, guidance: 2.0")
    said = {}
    with Network(2) as network:
        network.rate(200e6)
        bench = Bench(args, network, config)
        for m in modes:
            said[m] = bench.step(2, m)
            print(m, json.dumps(said[m]))
        bench.weft(2, ["bench.runs=1", "bench.cluster=" + os.path.join(
            os.getcwd(), "cluster.yaml")])
    if network.name in run("ip", "netns", "list").stdout:
        raise SystemExit("namespaces are left")
    # Displaced, the moments of a level travel in one message.
    if said["f32"]["messages"] >= said["sync"]["messages"]:
        raise SystemExit("displaced moments are not bundled")
    for m in modes:
        wide = said["sync"]["bytes"]
        like = "sync" if said[m]["kind"] == "in_step" else "f32"
        few = m in ("f16", "bf16", "int8")
        if said[m]["messages"] != said[like]["messages"] or \
                (said[m]["bytes"] >= wide if few else said[m]["bytes"] != wide):
            raise SystemExit("%s sends %d bytes in %d messages, %s %d in %d"
                             % (m, said[m]["bytes"], said[m]["messages"], like,
                                wide, said[like]["messages"]))


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--weft", required=True)
    p.add_argument("--ranks", default="2,4")
    p.add_argument("--factors", default="0.25,0.5,0.9,2")
    p.add_argument("--modes", default=",".join(MODES))
    p.add_argument("--runs", type=int, default=6)
    p.add_argument("--rounds", type=int, default=1)
    p.add_argument("--tries", type=int, default=2)
    p.add_argument("--side", type=int, default=128)
    p.add_argument("--timeout", type=float, default=300)
    p.add_argument("--out")
    p.add_argument("--predict", action="store_true")
    p.add_argument("--short", action="store_true")
    p.add_argument("--keys", default="", help="more keys of weft")
    p.add_argument("--mpi", default="", help="more options of mpirun")
    p.add_argument("--cache", default=os.path.join(
        os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")),
        "weft-bench"))
    args = p.parse_args()
    args.weft = os.path.abspath(args.weft)
    args.keys = args.keys.split()
    args.mpi = args.mpi.split()
    args.ranks = [int(n) for n in args.ranks.split(",")]
    args.factors = [float(n) for n in args.factors.split(",")]
    try:
        if args.short:
            short(args, args.modes.split(","))
            return
        os.makedirs(args.cache, exist_ok=True)
        measure(args, args.modes.split(","))
    except Unable as why:
        print("skipped: no network namespaces here: %s" % why)
        sys.exit(77)


if __name__ == "__main__":
    main()
