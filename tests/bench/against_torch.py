#!/usr/bin/env python3
"""weft against diffusers/torch, the two in alternation in one run; prints
medians and ratios (above 1: weft is faster).

    python3 against_torch.py --weft build/release/weft [--threads 1]
        [--only demo_unet,sd_unet,tiny_vae,kl_vae] [--rounds 5]

  demo_unet  one guided evaluation of models/demo/strong at 512x512 pixels
  sd_unet    one evaluation of a UNet2DModel of Stable Diffusion's width
             (320, 640, 1280, 1280; 4x64x64; attention in three levels)
  tiny_vae   models/demo/vae decodes 1024x1024
  kl_vae     an AutoencoderKL of Stable Diffusion's size decodes 512x512
  kl_vae_xl  the same at 1024x1024 (not unless asked for)

Random-weight models are made once in --cache. torch runs channels_last and
contiguous, both conditions in one batch where there are two; its better
layout counts. One thread: processor time, which does not count what others run
in between. More: wall time. Peak memory of both is printed too (VmHWM of a process that
does nothing else).
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "..", "models", "demo")


def make_models(cache):
    import torch
    from diffusers import AutoencoderKL, UNet2DModel

    torch.manual_seed(0)
    unet = os.path.join(cache, "sd_unet")
    if not os.path.exists(unet):
        UNet2DModel(
            sample_size=64, in_channels=4, out_channels=4,
            block_out_channels=(320, 640, 1280, 1280), layers_per_block=2,
            attention_head_dim=40, norm_num_groups=32,
            down_block_types=("AttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("AttnUpBlock2D",) * 3,
        ).save_pretrained(unet)
    vae = os.path.join(cache, "kl_vae")
    if not os.path.exists(vae):
        AutoencoderKL(
            in_channels=3, out_channels=3, latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512), layers_per_block=2,
            norm_num_groups=32, sample_size=512,
        ).save_pretrained(vae)


def cases(cache):
    sd, kl = os.path.join(cache, "sd_unet"), os.path.join(cache, "kl_vae")
    demo, tiny = os.path.join(MODELS, "strong"), os.path.join(MODELS, "vae")
    weak = os.path.join(MODELS, "weak")
    return {
        "demo_unet": dict(what="unet_eval", model=demo, vae=tiny, width=512,
                          label=3, guidance=2.0),
        "sd_unet": dict(what="unet_eval", model=sd, vae=None, width=64),
        "tiny_vae": dict(what="vae_decode", model=weak, vae=tiny, width=1024,
                         label=3),
        "kl_vae": dict(what="vae_decode", model=weak, vae=kl, width=512,
                       label=3),
        "kl_vae_xl": dict(what="vae_decode", model=weak, vae=kl, width=1024,
                          label=3),
    }


# ---- weft -------------------------------------------------------------------

def config(case, threads, runs, kernels):
    lines = ["models: { net: { path: %s } }" % case["model"],
             "schedule: { path: %s }" % os.path.join(MODELS, "scheduler"),
             "sample: { steps: 2, width: %d, height: %d, seed: 1, "
             "guidance: %g%s }" % (case["width"], case["width"],
                                   case.get("guidance", 1.0),
                                   ", label: %d" % case["label"]
                                   if "label" in case else ""),
             "run: { threads: %d, kernels: %s }" % (threads, kernels),
             "bench: { what: %s, runs: %d }" % (case["what"], runs)]
    if case["vae"]:
        lines.append("vae: { path: %s }" % case["vae"])
    return "\n".join(lines) + "\n"


def weft(args, case, threads, runs, kernels="fast"):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write(config(case, threads, runs, kernels))
        f.flush()
        command = [args.weft, "bench", f.name]
        done = subprocess.run(["/usr/bin/env", *command], text=True,
                              capture_output=True)
    if done.returncode:
        sys.exit(done.stderr)
    for line in done.stdout.splitlines():
        said = json.loads(line)
        if said["bench"] == case["what"]:
            return said["cpu_s" if threads == 1 else "median_s"]
    sys.exit("weft bench said nothing of " + case["what"])


# ---- torch ------------------------------------------------------------------

class Torch:
    def __init__(self, case, threads, channels_last):
        import torch
        from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DModel

        self.threads = threads
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        self.torch = torch
        form = torch.channels_last if channels_last else \
            torch.contiguous_format
        if case["what"] == "unet_eval":
            net = UNet2DModel.from_pretrained(case["model"])
            n = 2 if "guidance" in case else 1
            side = case["width"] // (4 if case["vae"] else 1)
            x = torch.randn(n, 4, side, side)
            labels = torch.tensor([3, 10][:n]) if "label" in case else None
            self.run = lambda: net(self.x, 500, class_labels=labels).sample
        else:
            kind = AutoencoderKL if "kl" in case["vae"] else AutoencoderTiny
            net = kind.from_pretrained(case["vae"])
            side = case["width"] // (8 if kind is AutoencoderKL else 4)
            x = torch.randn(1, 4, side, side)
            self.run = lambda: net.decode(self.x).sample
        self.net = net.eval().to(memory_format=form)
        self.x = x.contiguous(memory_format=form)
        self.seconds(1)

    def seconds(self, runs):
        from time import perf_counter, process_time
        clock = process_time if self.threads == 1 else perf_counter
        took = []
        with self.torch.inference_mode():
            for _ in range(runs):
                start = clock()
                self.run()
                took.append(clock() - start)
        return statistics.median(took)


# ---- both -------------------------------------------------------------------

def compare(args, name, case):
    forms = {"contiguous": Torch(case, args.threads, False),
             "channels_last": Torch(case, args.threads, True)}
    took = {"weft": [], **{k: [] for k in forms}}
    for _ in range(args.rounds):
        took["weft"].append(weft(args, case, args.threads, args.runs))
        for form, torch in forms.items():
            took[form].append(torch.seconds(args.runs))
    mid = {k: statistics.median(v) for k, v in took.items()}
    best = min(forms, key=lambda k: mid[k])
    print(json.dumps({
        "case": name, "threads": args.threads, "rounds": args.rounds,
        "weft_s": round(mid["weft"], 4), "torch_s": round(mid[best], 4),
        "torch_layout": best, "ratio": round(mid[best] / mid["weft"], 3),
        "ratios": [round(t / w, 3)
                   for t, w in zip(took[best], took["weft"])]}), flush=True)


def peak_of(command):
    """VmHWM of one process, in MiB, from its own account of it."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return int(done.stderr.strip().splitlines()[-1]) / 1024


def memory(args, name, case):
    time = ["/usr/bin/time", "-f", "%M"]
    row = {"case": name, "memory_mib": {}}
    for kernels in ("lean", "fast"):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write(config(case, args.threads, 1, kernels))
            f.flush()
            row["memory_mib"][kernels] = round(
                peak_of(time + [args.weft, "bench", f.name]))
    me = [sys.executable, os.path.abspath(__file__), "--weft", args.weft,
          "--cache", args.cache, "--threads", str(args.threads),
          "--torch-alone", name]
    row["memory_mib"]["torch"] = round(peak_of(time + me))
    print(json.dumps(row), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--weft", required=True)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--runs", type=int, default=1)
    p.add_argument("--only", default="demo_unet,sd_unet,tiny_vae,kl_vae")
    p.add_argument("--memory", action="store_true")
    p.add_argument("--torch-alone", help=argparse.SUPPRESS)
    p.add_argument("--cache", default=os.path.join(
        os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")),
        "weft-bench"))
    args = p.parse_args()
    args.weft = os.path.abspath(args.weft)
    os.makedirs(args.cache, exist_ok=True)
    if args.torch_alone:
        Torch(cases(args.cache)[args.torch_alone], args.threads, False)
        return
    make_models(args.cache)
    for name in args.only.split(","):
        (memory if args.memory else compare)(args, name,
                                             cases(args.cache)[name])


if __name__ == "__main__":
    main()
