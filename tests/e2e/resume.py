"""Runs that are stopped and go on; for test_resume.sh, in a folder of its own.

    resume.py [CASE ...]
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

WEFT, MPIEXEC = os.environ["WEFT"], os.environ["MPIEXEC"]
CONFIGS = os.environ["WEFT_SOURCE_DIR"] + "/configs/"
AGAIN = 75
failures = []

TOYS = """
models:
  one: { kind: analytic, shape: [3, 96, 64], mixture: [
    { weight: 1, mean: -0.6, std: 0.4 }, { weight: 1, mean: 0.5, std: 0.3 } ] }
  two: { kind: analytic, shape: [3, 96, 64], mixture: [
    { weight: 1, mean: [0.5, 0, -0.5], std: 0.3 } ] }
schedule: { timestep_spacing: trailing }
sample: { width: 64, height: 96, model: one }
parallel: { grain: 8 }
run: { threads: 1 }
"""
NET = [CONFIGS + "demo.yaml", "sample.width=64", "sample.height=128",
       "run.threads=1"]
TOY = ["toys.yaml"]


def fail(case, what):
    failures.append(f"{case}: {what}")
    print("FAIL:", failures[-1], flush=True)


def command(ranks, args, folder):
    launcher = [] if ranks == 1 else [MPIEXEC, "-n", str(ranks)]
    return launcher + [WEFT, "sample"] + args + [
        f"output.image={folder}/{{seed}}.png",
        f"output.latents={folder}/{{seed}}.safetensors",
        f"output.report={folder}/run.jsonl"]


def events(folder):
    try:
        text = pathlib.Path(folder, "run.jsonl").read_text()
    except OSError:
        return []
    return [json.loads(line) for line in text.splitlines()]


def count(folder, event):
    return sum(e["event"] == event for e in events(folder))


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes()
            for p in pathlib.Path(folder).rglob("*")
            if p.is_file() and p.name != "run.jsonl"}


def start(ranks, args, folder):
    """A run; returns when it is about to sample."""
    before = count(folder, "start")
    run = subprocess.Popen(command(ranks, args, folder), text=True,
                           stderr=subprocess.PIPE)
    while run.poll() is None and count(folder, "start") == before:
        time.sleep(0.005)
    return run


def whole(case, args):
    folder = f"{case}-whole"
    shutil.rmtree(folder, ignore_errors=True)
    run = subprocess.run(command(1, args, folder), text=True, check=False,
                         stderr=subprocess.PIPE)
    if run.returncode:
        fail(case, run.stderr)
    return files(folder)


def compare(case, folder, want):
    got = files(folder)
    if got != want:
        differ = [n for n in want if n in got and got[n] != want[n]]
        fail(case, f"differ {differ}; there are {sorted(got)}")
    if os.path.exists(folder + "/.weft"):
        fail(case, "the state stays behind")


def stops(case, args, ranks, signals=(signal.SIGUSR1,), wait=0.15, least=1):
    """Stopped again and again, on other ranks each time, and never on the
    last ones of the list."""
    want = whole(case, args)
    folder, stopped = f"{case}-out", 0
    shutil.rmtree(folder, ignore_errors=True)
    for k, n in enumerate(ranks):
        run = start(n, args, folder)
        if k < len(ranks) - 1:
            time.sleep(wait)
            run.send_signal(signals[k % len(signals)])
        _, said = run.communicate()
        if run.returncode == 0:
            break
        stopped += 1
        killed = signals[k % len(signals)] == signal.SIGKILL
        if not killed and (run.returncode != AGAIN or
                           "stopped by SIGUSR1" not in said):
            fail(case, f"exit {run.returncode}: {said}")
            return
    if run.returncode:
        fail(case, f"exit {run.returncode}: {said}")
    if stopped < least:
        fail(case, f"stopped {stopped} times")
    compare(case, folder, want)


def main(cases):
    pathlib.Path("toys.yaml").write_text(TOYS)
    steps = "sample.steps=600"
    table = {
        "ddim": lambda c: stops(c, TOY + [steps, "sample.seeds=0-3",
                                          "run.batch=1"], [1, 3, 2, 1]),
        "euler_a": lambda c: stops(
            c, TOY + [steps, "sample.solver=euler_ancestral"], [2, 1, 3]),
        "torch": lambda c: stops(
            c, TOY + [steps, "sample.solver=euler_ancestral",
                      "sample.rng=torch-cpu"], [3, 2, 1]),
        "dpmpp_2m": lambda c: stops(
            c, TOY + [steps, "sample.solver=dpmpp_2m"], [1, 2]),
        "heun": lambda c: stops(c, TOY + [steps, "sample.solver=heun"], [2, 3]),
        "or": lambda c: stops(
            c, TOY + [steps, "sample.method=superdiff_or"], [2, 5, 1]),
        "net": lambda c: stops(
            c, NET + ["sample.steps=12", "sample.seeds=0-4"], [1, 2, 5, 1],
            wait=0.6),
    }
    for case in cases or table:
        began = time.time()
        table[case](case)
        print(f"{case}: {time.time() - began:.1f} s", flush=True)
    if failures:
        sys.exit("\n".join(failures))
    print("all as expected")


main(sys.argv[1:])
