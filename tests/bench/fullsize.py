#!/usr/bin/env python3
"""Stable Diffusion's nets at full size, weft against diffusers and
transformers: fullsize.py WHAT [NAME...] --weft build/release/tests/weft_bench_net

  parity   one evaluation of each net: relative rms of weft's output
  patches  the same bytes from 1, 2, 3 and 5 patches
  speed    evaluations in alternation: medians, ratios (above 1: weft is
           faster)
  classes  time and rate by class of layer
  memory   peak of a process that does nothing but one evaluation, in MiB
  start    seconds from a pipeline's folder to the first evaluation, the text
           encoded: `weft sample` and diffusers' pipeline in turns, files
           cached, from the first statement of main and behind the imports

One thread: processor time, which does not count what others run in between.
More: wall time. Folders of random weights are made once in --cache, with the
configs of the published models: normal numbers of deviation 1 / sqrt(fan-in),
norms about 1, everything seeded by the tensor's name. 20 GB of disk; torch
needs 12 GB of memory for sdxl. Nothing here runs in CI.
"""
import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

CROSS = "CrossAttnDownBlock2D"
UNET = {"_class_name": "UNet2DConditionModel", "act_fn": "silu",
        "center_input_sample": False, "downsample_padding": 1,
        "flip_sin_to_cos": True, "freq_shift": 0, "in_channels": 4,
        "out_channels": 4, "layers_per_block": 2, "mid_block_scale_factor": 1,
        "norm_eps": 1e-5, "norm_num_groups": 32, "sample_size": 64}
SD = dict(UNET, block_out_channels=[320, 640, 1280, 1280],
          down_block_types=[CROSS] * 3 + ["DownBlock2D"],
          up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3)
SD15 = dict(SD, attention_head_dim=8, cross_attention_dim=768)
SD21 = dict(SD, attention_head_dim=[5, 10, 20, 20], cross_attention_dim=1024,
            use_linear_projection=True)
SDXL = dict(UNET, attention_head_dim=[5, 10, 20], cross_attention_dim=2048,
            block_out_channels=[320, 640, 1280],
            down_block_types=["DownBlock2D", CROSS, CROSS],
            up_block_types=["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"],
            addition_embed_type="text_time", addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
            transformer_layers_per_block=[1, 2, 10],
            use_linear_projection=True)
KL = {"_class_name": "AutoencoderKL", "act_fn": "silu", "in_channels": 3,
      "out_channels": 3, "latent_channels": 4, "layers_per_block": 2,
      "block_out_channels": [128, 256, 512, 512], "norm_num_groups": 32,
      "sample_size": 512, "scaling_factor": .18215,
      "down_block_types": ["DownEncoderBlock2D"] * 4,
      "up_block_types": ["UpDecoderBlock2D"] * 4}


def clip(hidden, layers, heads, act, projection, name="CLIPTextModel"):
    return {"architectures": [name], "model_type": "clip_text_model",
            "hidden_size": hidden, "intermediate_size": 4 * hidden,
            "num_hidden_layers": layers, "num_attention_heads": heads,
            "hidden_act": act, "projection_dim": projection,
            "vocab_size": 49408, "max_position_embeddings": 77,
            "layer_norm_eps": 1e-5, "bos_token_id": 0, "pad_token_id": 1,
            "eos_token_id": 2}


CLIP_G = clip(1280, 32, 20, "gelu", 1280, "CLIPTextModelWithProjection")
# Config, type of the file, part, limit of the relative rms.
NETS = {
    "sd15": (SD15, "F32", "net", 2e-5),
    "sd15_f16": (SD15, "F16", "net", 2e-5),
    "sd15_bf16": (SD15, "BF16", "net", 2e-5),
    "sd21": (SD21, "F32", "net", 2e-5),
    "sdxl_f16": (SDXL, "F16", "net", 2e-5),
    "clip_l": (clip(768, 12, 12, "quick_gelu", 768), "F32", "text", 1e-5),
    "clip_h": (clip(1024, 23, 16, "gelu", 512), "F32", "text", 1e-5),
    "clip_g": (CLIP_G, "F16", "text", 1e-5),
    "vae_decode": (KL, "F32", "decode", 1e-5),
    "vae_encode": (KL, "F32", "encode", 1e-5),
}
USUAL = [n for n in NETS if n != "sd15_bf16"]


# ---- folders ----------------------------------------------------------------

def paths(args, name):
    """Config, weights, inputs, the reference's output, weft's output."""
    config, dtype, part, _ = NETS[name]
    what = hashlib.sha256(json.dumps([config, dtype]).encode()).hexdigest()[:8]
    folder = os.path.join(args.cache, f"{name.split('_')[0]}_{what}")
    os.makedirs(folder, exist_ok=True)
    weights = ("model" if part == "text" else "diffusion_pytorch_model")
    return [os.path.join(folder, x) for x in
            ("config.json", weights + ".safetensors",
             part + "_in.safetensors", part + "_torch.safetensors",
             part + "_weft.safetensors")]


def numbers(name, shape, scale=1.):
    import torch
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
    made = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=made) * scale


def tensor(name, shape):
    if len(shape) < 2:
        norm = "norm" in name and name.endswith("weight")
        return numbers(name, shape, .1) + (1 if norm else 0)
    fan_in = 1
    for n in shape[1:]:
        fan_in *= n
    return numbers(name, shape, fan_in ** -.5)


def empty(config):
    """The net without weights."""
    import torch
    with torch.device("meta"):
        return net_class(config)[0]()


def net_class(config):
    """How to make the net, and how to read it from a folder."""
    if "model_type" in config:
        import transformers
        cls = getattr(transformers, config["architectures"][0])
        return (lambda: cls(transformers.CLIPTextConfig(**config))), cls
    import diffusers
    cls = getattr(diffusers, config["_class_name"])
    return (lambda: cls.from_config(config)), cls


def make_inputs(name, config, part, path):
    import torch
    from safetensors.torch import save_file
    if part == "text":
        ids = torch.randint(5, 49000, (1, 77),
                            generator=torch.Generator().manual_seed(1))
        ids[0, 40:] = 49407
        inputs = {"ids": ids.float()}
    elif part == "net":
        inputs = {"input": numbers("input", (1, 4, 64, 64)),
                  "time": torch.tensor([500.]),
                  "text": numbers("text", (1, 77,
                                           config["cross_attention_dim"]))}
        if "addition_embed_type" in config:
            inputs["added"] = numbers("added", (1, 2816))
            inputs["added"][:, 1280:] = sizes([512, 512, 0, 0, 512, 512])
    else:
        c, side = (4, 64) if part == "decode" else (3, 512)
        inputs = {"input": numbers("input", (1, c, side, side))}
    save_file(inputs, path)


def sizes(ids):
    """What SDXL makes of the sizes that it is told."""
    import torch
    from diffusers.models.embeddings import get_timestep_embedding
    return get_timestep_embedding(torch.tensor(ids, dtype=torch.float32), 256,
                                  flip_sin_to_cos=True,
                                  downscale_freq_shift=0).reshape(1, -1)


def make(args, name):
    import torch
    from safetensors.torch import save_file
    config, dtype, part, _ = NETS[name]
    at = paths(args, name)
    kind = {"F32": torch.float32, "F16": torch.float16,
            "BF16": torch.bfloat16}[dtype]
    if not os.path.exists(at[1]):
        with open(at[0], "w") as f:
            json.dump(config, f, indent=1)
        made = {k: tensor(k, tuple(v.shape)).to(kind)
                for k, v in empty(config).state_dict().items()
                if v.is_floating_point()}
        save_file(made, at[1] + ".tmp", metadata={"format": "pt"})
        os.rename(at[1] + ".tmp", at[1])
    if not os.path.exists(at[2]):
        make_inputs(name, config, part, at[2])


# ---- torch ------------------------------------------------------------------

class Torch:
    """The net as diffusers reads it, in float32."""

    def __init__(self, args, name, last=False, compiled=False):
        import torch
        from safetensors.torch import load_file
        self.torch = torch
        torch.set_num_threads(args.threads)
        self.one = args.threads == 1
        torch.set_flush_denormal(True)
        torch.set_grad_enabled(False)
        config, _, self.part, _ = NETS[name]
        at = paths(args, name)
        self.net = net_class(config)[1].from_pretrained(
            os.path.dirname(at[0]), torch_dtype=torch.float32).eval()
        self.inputs = load_file(at[2])
        self.scale = config.get("scaling_factor")
        if last:
            self.net.to(memory_format=torch.channels_last)
            self.inputs["input"] = self.inputs["input"].contiguous(
                memory_format=torch.channels_last)
        if compiled:
            self.call = torch.compile(self.call)

    def call(self):
        i = self.inputs
        if self.part == "text":
            out = self.net(i["ids"].long())
            return out[1] if hasattr(out, "pooler_output") else \
                out.last_hidden_state, out[0]
        if self.part == "encode":
            return self.net.encode(i["input"]).latent_dist.parameters
        if self.part == "decode":
            return self.net.decode(i["input"] / self.scale).sample
        added = {}
        if "added" in i:
            ids = self.torch.tensor([[512., 512, 0, 0, 512, 512]])
            added = {"text_embeds": i["added"][:, :1280], "time_ids": ids}
        return self.net(i["input"], i["time"], i["text"],
                        added_cond_kwargs=added or None).sample

    def seconds(self):
        clock = time.process_time if self.one else time.perf_counter
        start = clock()
        self.call()
        return clock() - start


def torch_alone(args, name):
    """In a process of its own: the reference's output, its time and memory."""
    from safetensors.torch import save_file
    start = time.perf_counter()
    t = Torch(args, name)
    loaded = time.perf_counter() - start
    if t.part == "text":
        out = t.net(t.inputs["ids"].long(), output_hidden_states=True)
        outputs = {"output": out.last_hidden_state.contiguous(),
                   "pooled": (out.pooler_output if "pooler_output" in out
                              else out.text_embeds)}
    else:
        outputs = {"output": t.call().contiguous()}
    save_file(outputs, paths(args, name)[3])
    took = t.seconds()
    with open("/proc/self/status") as f:
        peak = [int(x.split()[1]) for x in f if x.startswith("VmHWM")][0]
    print(json.dumps({"load_s": loaded, "run_s": took,
                      "peak_bytes": peak * 1024}))


def run_torch(args, name):
    return run_self(args, "torch", name)


def run_self(args, what, name):
    done = subprocess.run(
        [sys.executable, os.path.abspath(__file__), what, name,
         "--weft", args.weft, "--cache", args.cache,
         "--threads", str(args.threads)], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout.splitlines()[-1])


# ---- weft -------------------------------------------------------------------

def command(args, name, **keys):
    at = paths(args, name)
    keys = {"threads": args.threads, "isa": args.isa, **keys}
    return [args.weft, NETS[name][2], at[0], at[1], at[2], at[4],
            *(f"{k}={v}" for k, v in keys.items() if v is not None)]


def run_weft(args, name, **keys):
    done = subprocess.run(command(args, name, **keys), stdout=subprocess.PIPE,
                          text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout.splitlines()[-1])


def distance(args, name):
    from safetensors.torch import load_file
    a, b = (load_file(paths(args, name)[i]) for i in (4, 3))
    worst = {}
    for key in b:
        got, want = a[key].double().flatten(), b[key].double().flatten()
        worst[key] = float((got - want).norm() / want.norm())
    return worst


# ---- what is asked ----------------------------------------------------------

def parity(args, name):
    if not os.path.exists(paths(args, name)[3]):
        run_torch(args, name)
    for kernels in args.kernels.split(","):
        run_weft(args, name, kernels=kernels, runs=0)
        off = distance(args, name)
        print(json.dumps({"net": name, "kernels": kernels,
                          "rms": {k: float(f"{v:.2e}")
                                  for k, v in off.items()},
                          "limit": NETS[name][3],
                          "ok": max(off.values()) <= NETS[name][3]}),
              flush=True)


def patches(args, name):
    for kernels in args.kernels.split(","):
        seen = {}
        for n in (1, 2, 3, 5):
            run_weft(args, name, kernels=kernels, runs=0, patches=n, threads=1)
            with open(paths(args, name)[4], "rb") as f:
                seen[n] = hashlib.sha256(f.read()).hexdigest()[:16]
        print(json.dumps({"net": name, "kernels": kernels, "sha256": seen,
                          "same": len(set(seen.values())) == 1}), flush=True)


class Asked:
    """weft, waiting to be told to run."""

    def __init__(self, args, name, kernels):
        self.clock = 1 if args.threads == 1 else 0
        self.p = subprocess.Popen(
            command(args, name, kernels=kernels, runs=64, ask=1),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self):
        self.p.stdin.write("\n")
        self.p.stdin.flush()
        return float(self.p.stdout.readline().split()[self.clock])

    def close(self):
        self.p.stdin.close()
        self.p.wait()


def speed(args, name):
    """Those of --sides in turns."""
    sides, times = {}, {}
    for side in args.sides.split(","):
        sides[side] = (Asked(args, name, side) if side in ("fast", "lean") else
                       Torch(args, name, last="last" in side,
                             compiled="compiled" in side))
        sides[side].seconds()
        times[side] = []
    end = time.time() + args.budget
    while time.time() < end or not times[side]:
        for side, x in sides.items():
            times[side].append(x.seconds())
            time.sleep(.02)  # torch's threads stop spinning
    mid = {k: statistics.median(v) for k, v in times.items()}
    for k, v in times.items():
        print(json.dumps({"net": name, "side": k, "threads": args.threads,
                          "median_s": round(mid[k], 4),
                          "s": [round(x, 3) for x in v],
                          "times_of": {j: round(mid[j] / mid[k], 3)
                                       for j in mid}}), flush=True)
    for x in sides.values():
        if isinstance(x, Asked):
            x.close()


def classes(args, name):
    for kernels in args.kernels.split(","):
        said = run_weft(args, name, kernels=kernels, runs=3)
        total = sum(s for s, _ in said["classes"].values())
        print(f"{name} {kernels}: {total:.3f} s, "
              f"{sum(f for _, f in said['classes'].values()) / 1e9:.1f} GFLOP")
        for kind, (s, f) in sorted(said["classes"].items(),
                                   key=lambda x: -x[1][0]):
            print(f"  {kind:18} {s:8.4f} s {100 * s / total:5.1f} %  "
                  f"{f / 1e9:8.1f} GFLOP {f / s / 1e9 if s else 0:7.1f} GF/s",
                  flush=True)


def memory(args, name):
    row = {"net": name, "mib": {}}
    mib = 1 << 20
    if not args.skip_torch:
        row["mib"]["torch"] = run_torch(args, name)["peak_bytes"] // mib
    for kernels in args.kernels.split(","):
        said = run_weft(args, name, kernels=kernels, runs=1)
        row["mib"][kernels] = {k[:-6]: said[k] // mib for k in said
                               if k.endswith("_bytes")}
    row["mib"]["file"] = os.path.getsize(paths(args, name)[1]) // mib
    print(json.dumps(row), flush=True)


# ---- start ------------------------------------------------------------------

def vocabulary(folder):
    """As large as CLIP's: bytes, and pairs of them."""
    os.makedirs(folder, exist_ok=True)
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    one = [chr(b) for b in kept]
    one += [chr(256 + i) for i in range(256 - len(one))]
    pairs = [(a, b) for a in one for b in one][:49408 - 2 * 256 - 2]
    tokens = [*one, *(x + "</w>" for x in one), *(a + b for a, b in pairs),
              "<|startoftext|>", "<|endoftext|>"]
    with open(os.path.join(folder, "vocab.json"), "w") as f:
        json.dump({t: i for i, t in enumerate(tokens)}, f)
    with open(os.path.join(folder, "merges.txt"), "w") as f:
        f.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in pairs))
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
        json.dump({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77,
                   "bos_token": tokens[-2], "eos_token": tokens[-1],
                   "pad_token": tokens[-1], "unk_token": tokens[-1]}, f)


def halves(path, to):
    """The file's numbers as F16."""
    from safetensors.torch import load_file, save_file
    if not os.path.exists(to):
        save_file({k: v.half() for k, v in load_file(path).items()}, to)


def link(args, name, to, half):
    """A component's folder: the net's files, or their halves."""
    make(args, name)
    os.makedirs(to, exist_ok=True)
    for path in paths(args, name)[:2]:
        at = os.path.join(to, os.path.basename(path))
        if half and path.endswith(".safetensors"):
            halves(path, at)
        elif not os.path.exists(at):
            os.symlink(path, at)


def pipeline(args, name):
    """A folder of the whole pipeline."""
    xl, half = name.startswith("sdxl"), name.endswith("f16")
    root = os.path.join(args.cache, "start_" + name)
    index = {"_class_name": f"StableDiffusion{'XL' * xl}Pipeline",
             "_diffusers_version": "0.30.0",
             "scheduler": ["diffusers", "PNDMScheduler"],
             "unet": ["diffusers", "UNet2DConditionModel"],
             "vae": ["diffusers", "AutoencoderKL"]}
    if not xl:
        index.update({"safety_checker": [None, None],
                      "feature_extractor": [None, None],
                      "requires_safety_checker": False})
    encoders = {"": ("clip_l", "CLIPTextModel")}
    if xl:
        encoders["_2"] = ("clip_g", "CLIPTextModelWithProjection")
    for end, (encoder, cls) in encoders.items():
        index["text_encoder" + end] = ["transformers", cls]
        index["tokenizer" + end] = ["transformers", "CLIPTokenizer"]
        link(args, encoder, os.path.join(root, "text_encoder" + end),
             half and NETS[encoder][1] == "F32")
        vocabulary(os.path.join(root, "tokenizer" + end))
    link(args, name, os.path.join(root, "unet"), False)
    link(args, "vae_decode", os.path.join(root, "vae"), half)
    os.makedirs(os.path.join(root, "scheduler"), exist_ok=True)
    with open(os.path.join(root, "scheduler", "scheduler_config.json"),
              "w") as f:
        json.dump({"_class_name": "PNDMScheduler", "beta_start": .00085,
                   "beta_end": .012, "beta_schedule": "scaled_linear",
                   "num_train_timesteps": 1000, "set_alpha_to_one": False,
                   "skip_prk_steps": True, "steps_offset": 1}, f)
    with open(os.path.join(root, "model_index.json"), "w") as f:
        json.dump(index, f)
    return root


class Begun(Exception):
    """The first evaluation."""


def torch_start(args, name):
    """In a process of its own, behind its imports."""
    import diffusers
    import torch
    import transformers  # noqa: F401
    torch.set_num_threads(args.threads)
    root = os.path.join(args.cache, "start_" + name)
    cls = getattr(diffusers, f"StableDiffusion{'XL' * name.startswith('sdxl')}"
                             "Pipeline")
    kind = torch.float16 if name.endswith("f16") else torch.float32
    began = time.perf_counter()
    pipe = cls.from_pretrained(root, torch_dtype=kind)

    def stop(*args, **kwargs):
        raise Begun

    pipe.unet.forward = stop
    try:
        pipe("a photo of a cat", negative_prompt="blurry", width=512,
             height=512, num_inference_steps=2)
    except Begun:
        print(json.dumps({"start_s": time.perf_counter() - began}))


def weft_start(args, root, program):
    with tempfile.TemporaryDirectory() as out:
        config, report = (os.path.join(out, x) for x in ("c.yaml", "r.jsonl"))
        with open(config, "w") as f:
            json.dump({"pipeline": root, "sample": {
                "prompt": "a photo of a cat", "negative_prompt": "blurry",
                "solver": "ddim", "steps": 1, "guidance": 7.5, "seed": 1,
                "width": args.pixels, "height": args.pixels}}, f)
        subprocess.run(
            [program, "sample", config, f"run.threads={args.threads}",
             f"output.latents={out}/o.safetensors", f"output.report={report}"],
            check=True, stderr=subprocess.PIPE)
        with open(report) as f:
            return json.loads(f.readlines()[-1])["seconds_first_eval"]


# Large pages, as weights have: the next process gets these and no others.
TOUCH = """
import ctypes, mmap
m = mmap.mmap(-1, %d, flags=mmap.MAP_PRIVATE)
m.madvise(mmap.MADV_HUGEPAGE)
ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(m)), 1, len(m))
"""


def settle(args, root):
    """Files in the cache; and so much memory there, which a virtual machine
    may have given back to its host."""
    for folder, _, files in os.walk(root, followlinks=True):
        for x in files:
            with open(os.path.join(folder, x), "rb") as f:
                while f.read(1 << 24):
                    pass
    if args.touch:
        subprocess.run([sys.executable, "-c", TOUCH % (args.touch << 30)],
                       check=True)


def start(args, name):
    root = pipeline(args, name)
    sides = {p: [] for p in args.program.split(",")}
    if not args.skip_torch:
        sides["diffusers"] = []
    for _ in range(args.rounds):
        for side, took in sides.items():
            settle(args, root)
            took.append(run_self(args, "torch_start", name)["start_s"]
                        if side == "diffusers"
                        else weft_start(args, root, os.path.abspath(side)))
            print(f"{name} {side}: {took[-1]:.3f} s", flush=True)
    for side, took in sides.items():
        print(json.dumps({"net": name, "side": side,
                          "median_s": round(statistics.median(took), 3),
                          "s": [round(x, 3) for x in took]}), flush=True)


WHAT = {"make": make, "torch": torch_alone, "torch_start": torch_start, "parity": parity,
        "patches": patches, "speed": speed, "classes": classes,
        "memory": memory, "start": start}


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("what", choices=WHAT)
    p.add_argument("name", nargs="*", default=USUAL)
    p.add_argument("--weft", required=True)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--isa")
    p.add_argument("--kernels", default="lean,fast")
    p.add_argument("--sides", default="fast,lean,eager,eager_last",
                   help="of fast, lean, eager, compiled, ..._last "
                        "(channels_last)")
    p.add_argument("--budget", type=float, default=60, help="seconds each")
    p.add_argument("--skip-torch", action="store_true")
    p.add_argument("--program", default="build/release/weft",
                   help="one or more, for start")
    p.add_argument("--rounds", type=int, default=5, help="of start")
    p.add_argument("--touch", type=int, default=0,
                   help="GiB that are used once before each start")
    p.add_argument("--pixels", type=int, default=512, help="of start")
    p.add_argument("--cache", default=os.path.join(
        os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")),
        "weft-fullsize"))
    args = p.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    args.weft = os.path.abspath(args.weft)
    for name in args.name:
        if not args.what.startswith("torch"):
            make(args, name)
        WHAT[args.what](args, name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
