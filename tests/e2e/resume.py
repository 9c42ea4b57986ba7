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
# MPICH's launcher loses the exit code of a job in about one of four runs that it
# hands a signal to.
HYDRA = "HYDRA" in subprocess.run([MPIEXEC, "--version"], check=False, text=True,
                                  capture_output=True).stdout
AGAIN = 75
failures = []

TOYS = """
models:
  one: { kind: analytic, shape: [3, 128, 96], mixture: [
    { weight: 1, mean: -0.6, std: 0.4 }, { weight: 1, mean: 0.5, std: 0.3 } ] }
  two: { kind: analytic, shape: [3, 128, 96], mixture: [
    { weight: 1, mean: [0.5, 0, -0.5], std: 0.3 } ] }
schedule: { timestep_spacing: trailing }
sample: { width: 96, height: 128, model: one }
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


def part(case, share=0.25):
    """Seconds: a share of what the undisturbed run sampled for."""
    return share * events(f"{case}-whole")[-1]["seconds_sampling"]


def send(number, rank):
    """A signal to one rank of the job in this folder."""
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            here = os.readlink(entry / "cwd") == os.getcwd()
            env = (entry / "environ").read_bytes().split(b"\0")
            if here and (f"OMPI_COMM_WORLD_RANK={rank}".encode() in env or
                         f"PMI_RANK={rank}".encode() in env):
                os.kill(int(entry.name), number)
        except OSError:
            pass  # it has ended, or is somebody else's


def stop(run, ranks):
    if ranks > 1 and HYDRA:
        send(signal.SIGUSR1, 0)
    else:
        run.send_signal(signal.SIGUSR1)


def stops(case, args, ranks):
    """Stopped again and again, on other ranks each time, and never on the
    last ones of the list."""
    want = whole(case, args)
    folder, stopped = f"{case}-out", 0
    shutil.rmtree(folder, ignore_errors=True)
    for k, n in enumerate(ranks):
        run = start(n, args, folder)
        if k < len(ranks) - 1:
            time.sleep(part(case, 0.2 / n))
            stop(run, n)
        _, said = run.communicate()
        if run.returncode == 0:
            break
        stopped += 1
        if run.returncode != AGAIN or "stopped by SIGUSR1" not in said:
            fail(case, f"exit {run.returncode}: {said}")
            return
    if run.returncode:
        fail(case, f"exit {run.returncode}: {said}")
    if not stopped:
        fail(case, "it was not stopped in time")
    compare(case, folder, want)


def stopped_once(case, ranks, args, folder):
    """A run that was stopped early, sooner where that was too late."""
    for wait in (0.08, 0.04, 0.02, 0.01):
        shutil.rmtree(folder, ignore_errors=True)
        run = start(ranks, args, folder)
        time.sleep(wait)
        stop(run, ranks)
        _, said = run.communicate()
        # A launcher whose job has just ended dies of the signal.
        if run.returncode not in (0, -signal.SIGUSR1):
            break
    if run.returncode != AGAIN:
        fail(case, f"exit {run.returncode}: {said}")


def finish(case, ranks, args, folder, code=0, words=""):
    run = subprocess.run(command(ranks, args, folder), text=True, check=False,
                         stderr=subprocess.PIPE)
    if run.returncode != code or words not in run.stderr:
        fail(case, f"exit {run.returncode}, not {code} and \"{words}\": "
             f"{run.stderr}")


def one_rank_hears(case):
    """The signal reaches the last rank alone, which tells the others."""
    args = TOY + ["sample.steps=900", "sample.seeds=0-3", "run.batch=1"]
    want = whole(case, args)
    folder = f"{case}-out"
    shutil.rmtree(folder, ignore_errors=True)
    run = start(3, args, folder)
    time.sleep(part(case, 0.1))
    send(signal.SIGUSR1, 2)
    _, said = run.communicate()
    if run.returncode != AGAIN:
        fail(case, f"exit {run.returncode}: {said}")
    finish(case, 2, args, folder)
    compare(case, folder, want)


def killed(case):
    """One of two ranks, then one alone, with a checkpoint every 2 steps."""
    args = NET + ["sample.steps=20", "run.checkpoint=2", "sample.seeds=0-1",
                  "run.batch=1"]
    want = whole(case, args)
    folder = f"{case}-out"
    shutil.rmtree(folder, ignore_errors=True)
    for n in (2, 1):
        run = start(n, args, folder)
        while run.poll() is None and not list(
                pathlib.Path(folder, ".weft").glob("*.checkpoint.0")):
            time.sleep(0.005)
        time.sleep(part(case, 0.1))
        if n > 1:
            send(signal.SIGKILL, 1)
        else:
            run.kill()
        run.communicate()
    if count(folder, "summary"):
        fail(case, "it was not killed in time")
    finish(case, 3, args, folder, words="goes on from")
    if count(folder, "resume") < 2:
        fail(case, "it did not go on")
    compare(case, folder, want)


def roles(case):
    """Several batches in flight, at stages of their own, on roles."""
    args = [CONFIGS + "w2sd.yaml", "sample.width=64", "sample.height=64",
            "run.threads=1", "sample.steps=10", "sample.seeds=0-2",
            "run.batch=1"]
    want = whole(case, args)
    folder = f"{case}-out"
    stopped_once(case, 3, args + ["parallel.roles={strong: 2, weak: 1}",
                                  "parallel.flights=3"], folder)
    finish(case, 2, args, folder)
    compare(case, folder, want)


def displaced(case):
    """Repeatable from a checkpoint on, and possible on any ranks."""
    args = NET + ["sample.steps=25", "parallel.exchange=async",
                  "parallel.warmup=2", "run.checkpoint=10"]
    folder = f"{case}-out"
    stopped_once(case, 2, args, folder)
    ends = []
    for n in (2, 2, 1):
        copy = f"{case}-{len(ends)}"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        finish(case, n, args, copy)
        ends.append(files(copy).get("7.safetensors"))
        shown = events(copy)[-1]["max_age"]
        if shown != (n > 1):
            fail(case, f"{n} ranks: age {shown}")
    if ends[0] != ends[1] or None in ends:
        fail(case, "it does not repeat")
    if ends[0] == ends[2]:
        fail(case, "nothing was displaced")


def refused(case):
    """What is of other images, damaged, or at work."""
    args = NET + ["sample.steps=25", "run.state=" + case]
    folder = f"{case}-out"
    shutil.rmtree(case, ignore_errors=True)
    stopped_once(case, 2, args, folder)
    kept = pathlib.Path(case, "7.png.checkpoint.0")
    finish(case, 1, args + ["sample.guidance=3"], folder, 2,
           "sample.guidance was 2 and is 3")
    finish(case, 3, args + ["sample.steps=26"], folder, 2,
           "sample.steps was 25 and is 26")
    if count(folder, "start") != 1:
        fail(case, "a run that was refused reported")
    said = subprocess.run([WEFT, "inspect", str(kept)], text=True, check=False,
                          capture_output=True).stdout
    if "1 image in flight" not in said or "of 32 x 16" not in said:
        fail(case, said)
    data = kept.read_bytes()
    kept.write_bytes(data[:-5])
    finish(case, 2, args, folder, 2, "remove it to begin anew")
    kept.write_bytes(data[:-5] + b"hello")
    finish(case, 1, args, folder, 2, "a damaged checkpoint")
    kept.write_bytes(data)
    run = start(1, args, folder)
    run.send_signal(signal.SIGSTOP)
    finish(case, 2, args, folder, 2, "another weft is at work there: process")
    run.send_signal(signal.SIGUSR1)
    run.send_signal(signal.SIGCONT)
    run.communicate()
    if run.returncode != AGAIN:
        fail(case, f"exit {run.returncode} beside another one")
    if sorted(p.name for p in pathlib.Path(case).iterdir()) != [
            "7.png.checkpoint", "7.png.checkpoint.0"]:
        fail(case, f"{sorted(pathlib.Path(case).iterdir())}")
    finish(case, 2, args, folder)
    if os.path.exists(case):
        fail(case, "the state stays behind")


def toys(*args):
    return TOY + ["sample.steps=400", "sample.seeds=0-2", "run.batch=1", *args]


def main(cases):
    pathlib.Path("toys.yaml").write_text(TOYS)
    table = {
        "ddim": lambda c: stops(c, toys(), [1, 3, 1]),
        "euler_a": lambda c: stops(
            c, toys("sample.solver=euler_ancestral", "run.checkpoint=0.2s"),
            [2, 3]),
        "torch": lambda c: stops(
            c, toys("sample.solver=euler_ancestral", "sample.rng=torch-cpu"),
            [3, 1]),
        "dpmpp_2m": lambda c: stops(
            c, toys("sample.solver=dpmpp_2m", "run.checkpoint=100"), [1, 2]),
        "heun": lambda c: stops(c, toys("sample.solver=heun"), [2, 3]),
        "or": lambda c: stops(c, toys("sample.method=superdiff_or",
                                      "sample.steps=200"),
                              [5, 1]),
        "groups": lambda c: stops(c, toys("parallel.patches=1"), [3, 2, 1]),
        "net": lambda c: stops(
            c, NET + ["sample.steps=12", "sample.seeds=0-4"], [2, 5, 1]),
        "hears": one_rank_hears,
        "killed": killed,
        "roles": roles,
        "displaced": displaced,
        "refused": refused,
    }
    for case in cases or table:
        began = time.time()
        table[case](case)
        print(f"{case}: {time.time() - began:.1f} s", flush=True)
    if failures:
        sys.exit("\n".join(failures))
    print("all as expected")


main(sys.argv[1:])
