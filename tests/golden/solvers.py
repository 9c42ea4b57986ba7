#!/usr/bin/env python3
"""Golden noise and trajectories, from torch and diffusers.

    tests/golden/solvers.py        writes noise.txt and solvers.txt beside it

The net of the trajectories is a toy that tests/core/test_solver.c has too:
.3 x + .1 sin(t / 100 + k) at element k of [C][H][W], in double.

noise.txt     noise SEED C H W DRAW, then x: the first and last 20 elements
solvers.txt   case SOLVER STEPS ETA CONFIG, or back .. for the inversion of a
              start from the last step up to the first, then
              n or g: nodes (times) or sigmas of one's own, if any
              t: the class's timesteps   s: its sigmas   (one per node)
              x: the latents at the end, [C][H][W]
"""
import itertools
import json
from pathlib import Path

import torch
from diffusers import (DDIMInverseScheduler, DDIMScheduler,
                       DPMSolverMultistepScheduler,
                       EulerAncestralDiscreteScheduler, EulerDiscreteScheduler,
                       HeunDiscreteScheduler)

HERE = Path(__file__).resolve().parent
SHAPE = (1, 2, 4, 3)
SEED = 11
CLASSES = {"ddim": DDIMScheduler, "euler": EulerDiscreteScheduler,
           "euler_ancestral": EulerAncestralDiscreteScheduler,
           "heun": HeunDiscreteScheduler,
           "dpmpp_2m": DPMSolverMultistepScheduler}
BETAS = {"beta_start": .00085, "beta_end": .012,
         "beta_schedule": "scaled_linear"}


class Drop:
    """T // Drop(d) is d: lets DDIMScheduler step by any difference."""

    def __init__(self, by):
        self.by = by

    def __rfloordiv__(self, _):
        return self.by


def toy(x, t):
    k = torch.arange(x.numel(), dtype=torch.float64).reshape(x.shape)
    y = .3 * x.double() + .1 * torch.sin(float(t) / 100 + k)
    return y.float()


def step_extras(name, s, i, eta, generator):
    """Keyword arguments of step(), and DDIM's next node."""
    if name == "ddim":
        if s.config.timestep_spacing != "leading":
            t = s.timesteps.tolist() + [-1]
            s.num_inference_steps = Drop(t[i] - t[i + 1])
        return {"eta": eta, "generator": generator if eta else None}
    return {"generator": generator} if name == "euler_ancestral" else {}


def build(name, config):
    """EulerAncestral knows no sample prediction: it gets epsilon instead."""
    config = dict(config)
    if name == "euler_ancestral" and config.get("prediction_type") == "sample":
        config["prediction_type"] = "epsilon"
    return CLASSES[name](**config)


def run(name, config, steps, eta=0, nodes=None, sigmas=None):
    s = build(name, config)
    if nodes:
        s.set_timesteps(timesteps=nodes)
    elif sigmas:
        s.set_timesteps(sigmas=sigmas + [0])
    else:
        s.set_timesteps(steps)
    as_epsilon = (config.get("prediction_type") == "sample"
                  and s.config.prediction_type == "epsilon")
    generator = torch.Generator().manual_seed(SEED)
    x = torch.randn(SHAPE, generator=generator) * s.init_noise_sigma
    for i, t in enumerate(s.timesteps):
        m = toy(s.scale_model_input(x, t), t)
        if as_epsilon:
            m = (x - m) / s.sigmas[i]
        extras = step_extras(name, s, i, eta, generator)
        x = s.step(m, t, x, **extras).prev_sample
    return s, x


def levels(name, s, steps):
    """Times and sigmas by node; Heun lists its inner nodes twice."""
    t = s.timesteps.tolist()
    if name == "ddim":
        a = s.alphas_cumprod[s.timesteps]
        return t, ((1 - a) / a).sqrt().tolist()
    sigma = s.sigmas.tolist()
    if name == "heun":
        t, sigma = t[:1] + t[1::2], sigma[:1] + sigma[1:-1:2]
    return t[:steps], sigma[:steps]


def numbers(tag, values):
    return " ".join([tag] + ["%.9g" % v for v in values]) + "\n"


def write_case(out, name, config, steps, eta=0, nodes=None, sigmas=None):
    s, x = run(name, config, steps, eta, nodes, sigmas)
    t, sigma = levels(name, s, steps)
    assert len(t) == steps and torch.isfinite(x).all(), (name, config, steps)
    out.write("case %s %d %g %s\n" % (name, steps, eta, json.dumps(config)))
    if nodes:
        out.write(numbers("n", nodes))
    if sigmas:
        out.write(numbers("g", sigmas))
    out.write(numbers("t", t) + numbers("s", sigma)
              + numbers("x", x.flatten().tolist()))


def grid_cases(out):
    """Every solver, spacing, prediction and count of steps."""
    for name, spacing, prediction, steps in itertools.product(
            CLASSES, ("leading", "linspace", "trailing"),
            ("epsilon", "v_prediction", "sample"), (1, 2, 3, 7, 30)):
        config = dict(BETAS, timestep_spacing=spacing, steps_offset=1,
                      prediction_type=prediction)
        if name == "ddim":
            config["clip_sample"] = False
        write_case(out, name, config, steps)
        if name == "ddim" and steps in (3, 7):
            write_case(out, name, config, steps, eta=.7)


def option_cases(out):
    """Options one at a time, and every class's defaults."""
    for name in CLASSES:
        write_case(out, name, {}, 7)
        write_case(out, name, {"beta_schedule": "squaredcos_cap_v2",
                               "num_train_timesteps": 100}, 7)
    for a in (False, True):
        write_case(out, "ddim", dict(BETAS, set_alpha_to_one=a), 7, eta=1)
    for p in ("epsilon", "v_prediction", "sample"):
        write_case(out, "ddim", dict(BETAS, prediction_type=p,
                                     clip_sample_range=.5), 7)
        write_case(out, "heun", dict(BETAS, prediction_type=p,
                                     clip_sample=True), 7)
    write_case(out, "ddim", dict(BETAS, num_train_timesteps=100,
                                 steps_offset=2), 90)
    for name in ("euler", "dpmpp_2m"):
        write_case(out, name, dict(BETAS, final_sigmas_type="sigma_min"), 7)
        write_case(out, name, dict(BETAS, final_sigmas_type="sigma_min"), 16)
    for more in ({"euler_at_final": True}, {"lower_order_final": False},
                 {"solver_order": 1}, {"solver_type": "bh2"}):
        final = {"final_sigmas_type": "sigma_min"}
        write_case(out, "dpmpp_2m", dict(BETAS, **final, **more), 16)
        write_case(out, "dpmpp_2m", dict(BETAS, **more), 7)
    for spacing in ("leading", "linspace"):
        write_case(out, "dpmpp_2m", {"beta_schedule": "squaredcos_cap_v2",
                                     "lambda_min_clipped": -5.1,
                                     "timestep_spacing": spacing}, 16)
    trained = [.01 + .002 * i for i in range(20)]
    for name in CLASSES:
        write_case(out, name, {"trained_betas": trained,
                               "num_train_timesteps": 20}, 5)


def inversion_cases(out):
    """DDIM backwards, the net told the time of the noisier node."""
    for prediction, to_one in itertools.product(
            ("epsilon", "v_prediction", "sample"), (False, True)):
        if to_one and prediction == "sample":
            continue
        config = dict(BETAS, steps_offset=1, prediction_type=prediction,
                      set_alpha_to_one=to_one, clip_sample=False)
        s = DDIMScheduler(**config)
        s.set_timesteps(7)
        back = DDIMInverseScheduler(**config)
        back.set_timesteps(7)
        x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(SEED))
        for t in reversed(s.timesteps.tolist()):
            x = back.step(toy(x, t), t, x).prev_sample
        out.write("back ddim 7 0 %s\n" % json.dumps(config))
        t, sigma = levels("ddim", s, 7)
        out.write(numbers("t", t) + numbers("s", sigma)
                  + numbers("x", x.flatten().tolist()))


def own_cases(out):
    """Nodes of one's own, where the classes take them."""
    for name in ("euler", "heun"):
        write_case(out, name, BETAS, 5, nodes=[999, 700.25, 400.5, 77.125, 3])
    write_case(out, "dpmpp_2m", BETAS, 5, nodes=[998, 700, 400, 77, 3])
    write_case(out, "euler", BETAS, 5, sigmas=[14, 6.5, 2, .7, .05])
    write_case(out, "euler", BETAS, 3, sigmas=[80, 1, .01])


def write_noise(out):
    for seed in (0, 42, 2**32 + 5, 2**64 - 1):
        for c, h, w in ((1, 1, 1), (1, 3, 5), (1, 1, 3), (1, 4, 4), (1, 1, 17),
                        (1, 1, 20), (3, 5, 7), (4, 33, 31), (4, 64, 64)):
            g = torch.Generator().manual_seed(seed)
            for draw in range(3):
                x = torch.randn(1, c, h, w, generator=g).flatten()
                x = x if x.numel() < 40 else torch.cat([x[:20], x[-20:]])
                out.write("noise %d %d %d %d %d\n" % (seed, c, h, w, draw))
                out.write(numbers("x", x.tolist()))


if __name__ == "__main__":
    torch.set_num_threads(1)
    with open(HERE / "noise.txt", "w") as f:
        write_noise(f)
    with open(HERE / "solvers.txt", "w") as f:
        grid_cases(f)
        option_cases(f)
        inversion_cases(f)
        own_cases(f)
