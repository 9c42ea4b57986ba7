#!/usr/bin/env python3
"""Weft's kernels against torch, layer by layer: kernels.py PROGRAM [options]

Every round runs weft and then torch (channels_last and contiguous, the better
counts), so both meet the same machine. A turn is as many runs on end as take
TURN seconds, and their mean: threads that must first be woken do so in between
the layers of a net no more than here. One thread: processor time, which does
not count what others run in between. More: wall time. Figures are medians,
GF/s by the direct count of multiply-adds times 2; `ratio` is torch's time over
weft's. With --isa avx2 torch and its libraries are held to AVX2 too.
"""
import argparse
import os
import statistics
import subprocess
import sys
import time

SHAPES = """
conv 64 64 320 320 4;  conv 32 32 640 640 4;  conv 16 16 1280 1280 2
conv 8 8 1280 1280 1;  conv 64 64 960 320 4;  conv 32 32 1920 640 4
conv 16 16 2560 1280 2;  conv 128 128 48 48 4;  conv 128 128 96 48 4
conv 64 64 72 72 2;  conv 32 32 96 96 1;  conv 64 64 144 144 2
conv 512 512 32 32 4;  conv 256 256 128 128 4;  conv 128 128 512 512 1
up 32 32 640 640 4;  up 256 256 32 32 4
conv 128 128 4 48 4;  conv 64 64 4 320 4;  conv 512 512 32 3 4
conv 512 512 128 3 4;  conv 64 64 320 4 4
down 64 64 320 320 1;  down 128 128 48 48 1
linear 64 64 320 320 1;  linear 64 64 960 320 1;  linear 32 32 640 640 1
linear 16 16 1280 1280 1;  linear 8 8 1280 1280 1;  linear 32 32 96 288 1
linear 1 1 320 1280 1;  linear 1 1 1280 1280 1
attend 64 64 5 64;  attend 32 32 10 64;  attend 16 16 20 64
attend 32 32 4 24;  attend 64 64 1 512;  attend 64 64 8 40
norm 64 64 320 32;  norm 32 32 1280 32;  norm 128 128 48 8;  norm 256 256 128 32
"""


TURN = 0.01

AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
        "DNNL_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


class Weft:
    def __init__(self, program, device, isa, threads):
        self.p = subprocess.Popen([program], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        self.say(f"device {device} {isa} {threads}")

    def say(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()

    def run(self, count):
        self.say(f"run {count}")
        return [float(x) for x in self.p.stdout.readline().split()]


def torch_conv(torch, kind, h, w, cin, cout):
    f = torch.nn.functional
    k = 1 if kind == "linear" else 3
    x = torch.randn(1, cin, h, w)
    weight = torch.randn(cout, cin, k, k) / (k * cin ** .5)
    bias = torch.randn(cout)

    def call(x, weight):
        if kind == "up":
            x = f.interpolate(x, scale_factor=2.0, mode="nearest")
        return f.conv2d(x, weight, bias, 2 if kind == "down" else 1, k // 2)

    calls = [lambda: call(x, weight)]
    if k == 1:
        flat, matrix = x[0].flatten(1).T.contiguous(), weight[:, :, 0, 0]
        calls.append(lambda: f.linear(flat, matrix, bias))
    else:
        last = torch.channels_last
        xl, wl = (t.contiguous(memory_format=last) for t in (x, weight))
        calls.append(lambda: call(xl, wl))
    return calls


def torch_attend(torch, h, w, heads, dim):
    q, k, v = (torch.randn(1, h * w, heads, dim).transpose(1, 2)
               for _ in range(3))
    sdpa = torch.nn.functional.scaled_dot_product_attention
    return [lambda: sdpa(q, k, v)]


def torch_norm(torch, h, w, c, groups):
    f = torch.nn.functional
    x = torch.randn(1, c, h, w)
    mul, add = torch.randn(c), torch.randn(c)
    xl = x.contiguous(memory_format=torch.channels_last)
    return [lambda x=x: f.silu(f.group_norm(x, groups, mul, add))
            for x in (x, xl)]


def candidate(torch, words, batch):
    """What to tell weft, torch's calls, and the work."""
    kind, h, w, a, b = words[0], *(int(x) for x in words[1:5])
    if kind == "attend":
        return (f"attend {a} {b} 1 {h} {w}", torch_attend(torch, h, w, a, b),
                4. * (h * w) ** 2 * a * b)
    if kind == "norm":
        return (f"norm {a} {b} 1 {h} {w}", torch_norm(torch, h, w, a, b),
                4. * h * w * a)
    k = 1 if kind == "linear" else 3
    stride, up = (2 if kind == "down" else 1), (2 if kind == "up" else 1)
    flops = 2. * k * k * a * b * h * w * up * up / stride ** 2
    return (f"conv {k} {stride} {up} {a} 0 {b} {words[5]} 0 0 1 {h} {w}",
            torch_conv(torch, kind, h, w, a, b), flops)


def repeated(call, clock):
    def run(count):
        start = clock()
        for _ in range(count):
            call()
        return (clock() - start) / count
    return run


def measure(torch, weft, calls, budget, cpu):
    clock = time.process_time if cpu else time.perf_counter
    runs = [lambda count: weft.run(count)[1 if cpu else 0]]
    runs += [repeated(call, clock) for call in calls]
    counts = [max(1, int(TURN / max(run(2), 1e-9))) for run in runs]
    times = [[] for _ in runs]
    end = time.time() + budget
    while time.time() < end or len(times[0]) < 3:
        for t, run, count in zip(times, runs, counts):
            t.append(run(count))
            if not cpu:
                time.sleep(0.005)  # torch's threads stop spinning
    return [statistics.median(t) for t in times]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--device", default="fast")
    p.add_argument("--isa", default="best")
    p.add_argument("--budget", type=float, default=2.0, help="seconds each")
    p.add_argument("--only", default="", help="lines that contain this")
    o = p.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(o.threads)
    if o.isa == "avx2":
        os.environ.update(AVX2)
    import torch
    torch.set_num_threads(o.threads)
    torch.set_grad_enabled(False)
    weft = Weft(o.program, o.device, o.isa, o.threads)
    worst = 1e9
    for line in SHAPES.replace("\n", ";").split(";"):
        if not line.strip() or o.only not in line:
            continue
        words = line.split()
        said, calls, flops = candidate(torch, words, 1)
        weft.say(said)
        ours, *theirs = measure(torch, weft, calls, o.budget, o.threads == 1)
        worst = min(worst, min(theirs) / ours)
        print(f"{' '.join(words):26} weft {ours * 1e3:9.3f} ms "
              f"{flops / ours / 1e9:7.1f} GF/s   torch "
              f"{min(theirs) * 1e3:9.3f} ms {flops / min(theirs) / 1e9:7.1f}"
              f" GF/s   ratio {min(theirs) / ours:5.2f}", flush=True)
    print(f"worst ratio {worst:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
