#!/usr/bin/env python3
"""Samplings by several models, from the formulas, in torch.

    methods.py                    write method_*.safetensors beside this file
    methods.py --against FOLDER   say how far FOLDER/NAME.safetensors (final
                                  latents by weft) are from them, and how far
                                  the pictures are, decoded by diffusers

Nets, time steps and noise levels are diffusers'; everything between is written
here, in double: W2SD and Z-Sampling (arXiv 2502.00473), SuperDiff (arXiv
2412.17762) with the density of core/solve/superpose.h, guidance rescale (arXiv
2305.08891). The noise is torch's CPU generator: first the start, then one draw
for each step that adds noise; re-sampling draws before the step it precedes.
Each file's metadata says how weft makes the same.
"""
import argparse
import json
import math
import pathlib

import numpy
import torch
from diffusers import (AutoencoderTiny, DDIMScheduler,
                       EulerAncestralDiscreteScheduler, UNet2DModel)
from safetensors import safe_open
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
DEMO = HERE.parent.parent / "models" / "demo"
STEPS, SIZE, SEED, NULL = 30, 32, 7, 10

torch.set_grad_enabled(False)


# ---- nets -------------------------------------------------------------------

class Net:
    """One model under one condition: eps(x, t), in float32 inside."""
    loaded = {}

    def __init__(self, folder, label):
        if folder not in Net.loaded:
            Net.loaded[folder] = UNet2DModel.from_pretrained(
                DEMO / folder, torch_dtype=torch.float32).eval()
        self.net = Net.loaded[folder]
        self.label = torch.tensor([label])

    def __call__(self, x, t):
        return self.net(x.float(), t, class_labels=self.label).sample.double()


def guided(folder, label, w, rescale=0.0):
    """e_u + w(i) (e_c - e_u); w may depend on the step."""
    cond, uncond = Net(folder, label), Net(folder, NULL)

    def eps(x, t, i):
        scale = w(i) if callable(w) else w
        if scale == 1:
            return cond(x, t)
        c, u = cond(x, t), uncond(x, t)
        e = u + scale * (c - u)
        if rescale:
            e = rescale * e * (c.std() / e.std()) + (1 - rescale) * e
        return e
    return eps


# ---- levels -----------------------------------------------------------------

class Levels:
    """Times and cumulative alphas of the nodes of diffusers' scheduler."""

    def __init__(self, kind=DDIMScheduler):
        s = kind.from_pretrained(DEMO / "scheduler")
        s.set_timesteps(STEPS)
        self.t = s.timesteps
        if kind is DDIMScheduler:
            a = s.alphas_cumprod.double()
            self.abar = [a[int(t)].item() for t in s.timesteps]
            self.abar.append(float(s.final_alpha_cumprod))
            self.start = 1.0
        else:
            self.abar = [1 / (1 + float(v) ** 2) for v in s.sigmas]
            # diffusers' start in Karras' coordinates, here in VP
            self.start = (float(s.init_noise_sigma) *
                          math.sqrt(self.abar[0]))


class Noise:
    def __init__(self):
        self.generator = torch.Generator("cpu").manual_seed(SEED)

    def draw(self):
        return torch.randn((1, 4, SIZE, SIZE),
                           generator=self.generator).double()


def move(x, e, a, b):
    """DDIM from level a to level b, either way."""
    x0 = (x - math.sqrt(1 - a) * e) / math.sqrt(a)
    return math.sqrt(b) * x0 + math.sqrt(1 - b) * e


# ---- methods ----------------------------------------------------------------

def plain(eps):
    v, noise = Levels(), Noise()
    x = noise.draw()
    for i, t in enumerate(v.t):
        x = move(x, eps(x, t, i), v.abar[i], v.abar[i + 1])
    return x


def reflect(ordinary, strong, weak, count=STEPS - 1, rounds=1, offset=0):
    """weak None: fresh noise instead of the inverse."""
    v, noise = Levels(), Noise()
    x = noise.draw()
    for i, t in enumerate(v.t):
        hi, lo = v.abar[i], v.abar[i + 1]
        for _ in range(rounds if i < count else 0):
            x = move(x, strong(x, t, i), hi, lo)
            if weak is None:
                x = (math.sqrt(hi / lo) * x +
                     math.sqrt(1 - hi / lo) * noise.draw())
            else:
                x = move(x, weak(x, t, i), v.abar[i + 1 + offset],
                         v.abar[i + offset])
        x = move(x, ordinary(x, t, i), hi, lo)
    return x


def log_normal(x, mean, var):
    """But for what is the same in both kernels of a step."""
    return -((x - mean) ** 2).sum().item() / (2 * var)


def superpose(nets, kind, w=1.0, unconds=None, temperature=1.0, bias=None,
              lift=0.0, quirk=False, levels=DDIMScheduler):
    """VP coordinates throughout: Euler ancestral is the same process."""
    v, noise, m = Levels(levels), Noise(), len(nets)
    bias = numpy.zeros(m) if bias is None else numpy.array(bias)
    x = v.start * noise.draw()
    ll = numpy.full(m, -(x ** 2).sum().item() / 2 -
                    x.numel() / 2 * math.log(2 * math.pi))
    for i, t in enumerate(v.t):
        hi, lo, z = v.abar[i], v.abar[i + 1], noise.draw()
        e = [net(x, t) for net in nets]
        g = e
        if w != 1:
            u = [net(x, t) for net in unconds]
            g = [u[k if len(u) > 1 else 0] + w * (e[k] -
                 u[k if len(u) > 1 else 0]) for k in range(m)]
        beta = 1 - hi / lo
        spread = math.sqrt((1 - lo) / (1 - hi) * beta)

        def mean(eps):
            """Of x_lo given x_hi: DDPM's."""
            return (x - beta / math.sqrt(1 - hi) * eps) / math.sqrt(1 - beta)

        if kind == "or":
            kappa = numpy.exp(temperature * (ll - ll.max()) + bias)
            kappa /= kappa.sum()
        elif kind == "and":
            kappa = and_weights(e, g, z, beta, hi, spread,
                                (bias + numpy.array([-lift, lift] if m == 2
                                                    else [0.0] * m) / 2)
                                / STEPS)
        else:
            kappa = bias / bias.sum() if bias.any() else numpy.ones(m) / m
        new = mean(sum(k * gk for k, gk in zip(kappa, g))) + spread * z
        back = log_normal(x, math.sqrt(1 - beta) * new, beta)
        for k in range(m):
            ll[k] += log_normal(new, mean(e[k]), beta) - back
            if quirk:
                ll[k] += (beta / (1 - hi) / (1 - beta) *
                          (e[k] ** 2).sum().item())
        x = new
    return x if levels is DDIMScheduler else x / math.sqrt(v.abar[-1]), ll


def and_weights(e, g, z, beta, hi, spread, steer):
    """kappa and the common rate c of the (M + 1) system, by elimination."""
    m = len(e)
    slope = -beta / math.sqrt((1 - beta) * (1 - hi))
    system, right = numpy.zeros((m + 1, m + 1)), numpy.zeros(m + 1)
    for i in range(m):
        for j in range(m):
            system[i, j] = slope ** 2 / beta * (g[j] * e[i]).sum().item()
        right[i] = (slope ** 2 / beta * (e[i] ** 2).sum().item() / 2 -
                    slope * spread / beta * (e[i] * z).sum().item() + steer[i])
    system[:m, m], system[m, :m], right[m] = -1, 1, 1
    return numpy.linalg.solve(system, right)[:m]


def average(nets, weights):
    v, noise = Levels(), Noise()
    x = noise.draw()
    for i, t in enumerate(v.t):
        e = sum(w * net(x, t, i) for w, net in zip(weights, nets))
        x = move(x, e, v.abar[i], v.abar[i + 1])
    return x


# ---- cases ------------------------------------------------------------------

PAIR = {"strong": "strong", "weak": "weak"}
HALVES = {"half_a": "half_a", "half_b": "half_b"}
THREE = {"half_a": "half_a", "half_b": "half_b", "strong": "strong"}
ABEL = {"half_a": 1, "half_b": 7}
THRABEL = {"half_a": 1, "half_b": 7, "strong": 1}


def halves(labels=ABEL):
    return [Net(k, v) for k, v in labels.items()]


def nulls(labels=ABEL):
    return [Net(k, NULL) for k in labels]


def strong(w, label=3, **more):
    return guided("strong", label, w, **more)


def weak(w, label=3):
    return guided("weak", label, w)


def cases():
    """name, models, keys of sample, latents (and log-densities)."""
    yield ("w2sd", PAIR, {"method": "w2sd", "label": 3, "guidance": 2},
           lambda: reflect(strong(2), strong(1), weak(1)))
    yield ("w2sd_guided", PAIR,
           {"method": "w2sd", "label": 3, "guidance": 2, "lambda": 12,
            "guidance_strong": 3, "guidance_weak": 0},
           lambda: reflect(strong(2), strong(3), weak(0), 12))
    yield ("w2sd_offset", PAIR,
           {"method": "w2sd", "label": 3, "guidance": 2, "inverse_offset": 1,
            "lambda": 10},
           lambda: reflect(strong(2), strong(1), weak(1), 10, offset=1))
    yield ("w2sd_labels", {"strong": "strong", "weak": "strong"},
           {"method": "w2sd", "labels": {"strong": 3, "weak": 8},
            "guidance": 2, "lambda": 15},
           lambda: reflect(strong(2), strong(1), strong(1, 8), 15))
    yield ("zsampling", {"strong": "strong"},
           {"method": "zsampling", "label": 3, "gamma1": 3, "gamma2": 0},
           lambda: reflect(strong(3), strong(3), strong(0)))
    yield ("zsampling_rounds", {"strong": "strong"},
           {"method": "zsampling", "label": 3, "gamma1": 2, "gamma2": 0.5,
            "rounds": 2, "lambda": 8},
           lambda: reflect(strong(2), strong(2), strong(.5), 8, 2))
    yield ("resampling", {"strong": "strong"},
           {"method": "resampling", "label": 3, "guidance": 2},
           lambda: reflect(strong(2), strong(1), None))
    yield ("autoguidance", PAIR,
           {"method": "autoguidance", "label": 3, "autoguidance": 0.5},
           lambda: average([strong(1), weak(1)], [1.5, -.5]))
    yield ("average", HALVES,
           {"method": "average", "labels": ABEL, "guidance": 1.5,
            "bias": {"half_a": 1, "half_b": 3}},
           lambda: average([guided("half_a", 1, 1.5),
                            guided("half_b", 7, 1.5)], [.25, .75]))
    yield ("average_eta", HALVES,
           {"method": "average", "labels": ABEL, "eta": 1},
           lambda: superpose(halves(), "average"))
    yield ("or", HALVES, {"method": "superdiff_or", "labels": ABEL},
           lambda: superpose(halves(), "or"))
    yield ("or_guided", HALVES,
           {"method": "superdiff_or", "labels": ABEL, "guidance": 2,
            "temperature": 0.01, "bias": {"half_b": 0.5},
            "superdiff_quirk": True},
           lambda: superpose(halves(), "or", 2, nulls(), .01, [0, .5],
                             quirk=True))
    yield ("and", HALVES, {"method": "superdiff_and", "labels": ABEL},
           lambda: superpose(halves(), "and"))
    yield ("and_guided", HALVES,
           {"method": "superdiff_and", "labels": ABEL, "guidance": 1.5,
            "lift": 20},
           lambda: superpose(halves(), "and", 1.5, nulls(), lift=20))
    yield ("and_karras", HALVES,
           {"method": "superdiff_and", "labels": ABEL,
            "solver": "euler_ancestral"},
           lambda: superpose(halves(), "and",
                             levels=EulerAncestralDiscreteScheduler))
    yield ("and_labels", {"a": "strong", "b": "strong"},
           {"method": "superdiff_and", "labels": {"a": 3, "b": 8},
            "guidance": 2},
           lambda: superpose([Net("strong", 3), Net("strong", 8)], "and", 2,
                             [Net("strong", NULL)]))
    yield ("and_three", THREE,
           {"method": "superdiff_and", "labels": THRABEL},
           lambda: superpose(halves(THRABEL), "and"))
    yield ("rescale", {"strong": "strong"},
           {"label": 3, "guidance": 5, "guidance_rescale": 0.7},
           lambda: plain(strong(5, rescale=.7)))
    yield ("interval", {"strong": "strong"},
           {"label": 3, "guidance": 4, "guidance_interval": [0.2, 0.7]},
           lambda: plain(strong(lambda i: 4 if 6 <= i < 21 else 1)))
    yield ("linear", {"strong": "strong"},
           {"label": 3, "guidance": 4, "guidance_schedule": "linear",
            "guidance_end": 1},
           lambda: plain(strong(lambda i: 4 - 3 * i / (STEPS - 1))))


def write():
    for name, models, keys, make in cases():
        latents, *ll = made if isinstance(made := make(), tuple) else (made,)
        keys = {"solver": "ddim", **keys, "steps": STEPS, "seed": SEED,
                "rng": "torch-cpu", "width": 4 * SIZE, "height": 4 * SIZE}
        said = {"models": json.dumps(models), "sample": json.dumps(keys)}
        if ll:
            said["log_density"] = json.dumps(dict(zip(models, ll[0])))
        save_file({"latents": latents.float().contiguous()},
                  HERE / f"method_{name}.safetensors", metadata=said)
        print(f"{name}: std {latents.std():.3f}",
              *(f"{v:.1f}" for v in (ll[0] if ll else [])), flush=True)


# ---- comparing --------------------------------------------------------------

def picture(vae, latents):
    x = vae.decode(latents / vae.config.scaling_factor).sample
    return (x / 2 + .5).clamp(0, 1).mul(255).round()


def read(path):
    with safe_open(path, "pt") as f:
        return f.get_tensor("latents")


def against(folder):
    vae = AutoencoderTiny.from_pretrained(DEMO / "vae").eval()
    for golden in sorted(HERE.glob("method_*.safetensors")):
        want, got = read(golden), read(pathlib.Path(folder) / golden.name)
        rms = ((got - want).pow(2).mean() / want.pow(2).mean()).sqrt()
        off = (picture(vae, got) - picture(vae, want)).abs()
        print(f"{golden.stem[7:]:18} relative rms {rms:.2e}, picture: "
              f"{(off > 1).float().mean():.5f} of the pixels differ by more "
              f"than 1 of 255, {int(off.max())} at most")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--against", metavar="FOLDER")
    args = parser.parse_args()
    against(args.against) if args.against else write()
