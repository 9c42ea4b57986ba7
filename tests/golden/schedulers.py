#!/usr/bin/env python3
"""Golden trajectories of the schedulers that solvers.py has not, and of options.

    tests/golden/schedulers.py     writes schedulers.txt beside it

From diffusers; dpmpp_2m_sde, dpmpp_3m_sde and dpmpp_2s_ancestral, which it does
not have, from k-diffusion at the nodes of a diffusers class. Wants scipy,
torchsde and k-diffusion beside torch and diffusers. The net, the shape and the
lines are those of solvers.py.

torch's square root in float32 misses the last place of a sixth of all sigmas,
as its logarithms do, and how depends on the processor; a Brownian path is rough
enough to show that. So these functions are taken in double here and rounded.
"""
import importlib
import importlib.util
import json
import sys
import types

import torch
import diffusers as d

from solvers import BETAS, HERE, SEED, SHAPE, Drop, numbers, toy

CLASSES = {"ddim": d.DDIMScheduler, "euler": d.EulerDiscreteScheduler,
           "euler_ancestral": d.EulerAncestralDiscreteScheduler,
           "heun": d.HeunDiscreteScheduler,
           "dpmpp_2m": d.DPMSolverMultistepScheduler,
           "dpmpp_2s": d.DPMSolverSinglestepScheduler,
           "dpmpp_sde": d.DPMSolverSDEScheduler,
           "unipc": d.UniPCMultistepScheduler, "lms": d.LMSDiscreteScheduler,
           "pndm": d.PNDMScheduler, "lcm": d.LCMScheduler,
           "tcd": d.TCDScheduler}
POWER = torch.Tensor.__pow__


def rounded(function):
    """In double, then rounded: the nearest float32."""
    return lambda x: function(x.double()).to(x.dtype)


for _name in ("sqrt", "log", "exp"):
    _exact = rounded(getattr(torch.Tensor, _name))
    setattr(torch.Tensor, _name, _exact)
    setattr(torch, _name, _exact)
torch.Tensor.__pow__ = lambda x, e: (
    x.sqrt() if isinstance(e, float) and e == .5 else POWER(x, e))
TWICE = ("heun", "dpmpp_sde")       # classes that list inner nodes too
ALL = ("epsilon", "v_prediction", "sample")


def rng():
    return torch.Generator().manual_seed(SEED)


def set_steps(name, s, steps):
    s.set_timesteps(steps)
    if name not in ("ddim", "pndm"):
        s.set_begin_index(0)


def extras(name, s, eta, g):
    if name in ("ddim", "tcd"):
        return {"eta": eta, "generator": g}
    if name in ("euler_ancestral", "lcm") or "sde" in str(
            s.config.get("algorithm_type")):
        return {"generator": g}
    return {}


def nodes_of(name, s):
    """The class's own list of times, each node once."""
    t = s.timesteps.tolist()
    if name in TWICE:
        return t[:1] + t[2::2] if name == "dpmpp_sde" else t[:1] + t[1::2]
    if name == "pndm":
        return s._timesteps[::-1].tolist()
    return t


def run(name, config, steps, eta=0, wide=False):
    """In double where `wide`: some of the classes lose digits in float32."""
    more = {"noise_sampler_seed": SEED} if name == "dpmpp_sde" else {}
    ends = {a: config[a] for a in ("sigma_min", "sigma_max") if a in config}
    s = CLASSES[name](**{a: b for a, b in config.items() if a not in ends},
                      **more)
    s.register_to_config(**ends)        # as from_config does
    set_steps(name, s, steps)
    g = rng()
    x = torch.randn(SHAPE, generator=g) * s.init_noise_sigma
    if wide:
        x = x.double()
        s.alphas_cumprod = s.alphas_cumprod.double()
        s.final_alpha_cumprod = s.alphas_cumprod[0]
        if hasattr(s, "sigmas"):
            s.sigmas = s.sigmas.double()
    nodes = nodes_of(name, s)
    for k, t in enumerate(s.timesteps):
        m = toy(s.scale_model_input(x, t), t)
        if name in ("ddim", "pndm") and s.config.timestep_spacing != "leading":
            gap(name, s, nodes, k)
        x = s.step(m, t, x, **extras(name, s, eta, g)).prev_sample
    return s, x


def gap(name, s, nodes, k):
    """The previous time is the next node of the grid."""
    grid = nodes + [-1]
    if name == "pndm":
        if not s.config.skip_prk_steps:
            if k < 12:
                return
            k -= 9
        elif k:
            k -= 1
    s.num_inference_steps = Drop(int(grid[k] - grid[k + 1]))


def sigmas_of(name, s):
    if name in ("ddim", "pndm", "lcm", "tcd"):
        a = s.alphas_cumprod[torch.tensor(nodes_of(name, s)).long()]
        return ((1 - a) / a).sqrt().tolist()
    sigma = s.sigmas.tolist()
    return sigma[:1] + sigma[1:-1:2] if name in TWICE else sigma


def write(out, name, config, steps, eta, t, sigma, x):
    assert torch.isfinite(x).all(), (name, config, steps)
    out.write("case %s %d %g %s\n" % (name, steps, eta, json.dumps(config)))
    out.write(numbers("t", t[:steps]) + numbers("s", sigma[:steps])
              + numbers("x", x.flatten().tolist()))


def case(out, name, config, steps, eta=0, wide=False):
    s, x = run(name, config, steps, eta, wide)
    write(out, name, config, steps, eta, nodes_of(name, s),
          sigmas_of(name, s), x)


# ---- k-diffusion -----------------------------------------------------------

def k_sampling():
    """k_diffusion.sampling without the rest of its package."""
    found = importlib.util.find_spec("k_diffusion")
    package = types.ModuleType("k_diffusion")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["k_diffusion"] = package
    utils = types.ModuleType("utils")
    utils.append_dims = lambda x, n: x[(...,) + (None,) * (n - x.ndim)]
    package.utils = sys.modules["k_diffusion.utils"] = utils
    ode = types.ModuleType("torchdiffeq")
    ode.odeint = None
    sys.modules["torchdiffeq"] = ode
    return importlib.import_module("k_diffusion.sampling")


def denoiser(s, prediction):
    """The toy as k-diffusion asks it: x0 of x = x0 + sigma eps."""
    table = ((1 - s.alphas_cumprod) / s.alphas_cumprod) ** .5
    logs = table.log().numpy()
    known = dict(zip(s.sigmas.tolist(), s.timesteps.tolist()))

    def ask(x, sigma):
        v = sigma[0]
        t = known.get(v.item())
        if t is None:
            at = v.double().numpy()
            t = float(d.EulerDiscreteScheduler._sigma_to_t(s, at, logs))
        m = toy(x / (v ** 2 + 1) ** .5, torch.tensor(t, dtype=torch.float32))
        if prediction == "sample":
            return m
        if prediction == "epsilon":
            return x - v * m
        return x / (v ** 2 + 1) - m * v / (v ** 2 + 1) ** .5
    return ask


def k_case(out, k, name, config, steps):
    """Nodes of DPMSolverMultistepScheduler in VP coordinates, or those of
    DPMSolverSDEScheduler (whose times EulerDiscreteScheduler has too)."""
    vp = name != "dpmpp_2s_ancestral"
    shared = {a: b for a, b in config.items() if a != "solver_type" or vp}
    s = (d.DPMSolverMultistepScheduler(**shared) if vp else
         d.EulerDiscreteScheduler(**dict(
             {"beta_start": .00085, "beta_end": .012}, **shared)))
    s.set_timesteps(steps)
    g = rng()
    sigma = s.sigmas
    x = torch.randn(SHAPE, generator=g) * s.init_noise_sigma
    if vp:
        x = x * (1 + sigma[0] ** 2) ** .5
    args = {"noise_sampler": k.BrownianTreeNoiseSampler(
        x, sigma[sigma > 0].min(), sigma.max(), seed=SEED)
            if vp and sigma[sigma > 0].numel() > 1
            else lambda a, b: torch.randn(SHAPE, generator=g)}
    x, sigma = x.double(), sigma.double()   # but for the tree and the net
    if name == "dpmpp_2m_sde":
        args["solver_type"] = config.get("solver_type", "midpoint")
    x = getattr(k, "sample_" + name)(
        denoiser(s, config.get("prediction_type", "epsilon")), x, sigma,
        disable=True, **args)
    if vp:
        x = x / (1 + sigma[-1] ** 2) ** .5
    write(out, name, config, steps, 0, s.timesteps.tolist(), sigma.tolist(), x)


# ---- cases -----------------------------------------------------------------

def multistep_cases(out):
    for spacing in ("leading", "linspace", "trailing"):
        for p in ALL:
            base = dict(BETAS, timestep_spacing=spacing, steps_offset=1,
                        prediction_type=p)
            for steps in (1, 6, 20):
                case(out, "lms", base, steps)
                case(out, "unipc", base, steps)
            if p != "sample":
                case(out, "pndm", base, 7)
                for steps in (1, 2, 6, 20):
                    case(out, "pndm", dict(base, skip_prk_steps=True), steps,
                         wide=steps == 2)
    for name in ("lms", "unipc", "pndm", "dpmpp_2s", "lcm", "tcd"):
        case(out, name, {}, 8)
        case(out, name, {"beta_schedule": "squaredcos_cap_v2"}, 8)
    case(out, "pndm", dict(BETAS, set_alpha_to_one=True), 4)
    case(out, "pndm", dict(BETAS, steps_offset=1), 20)
    low = {"final_sigmas_type": "sigma_min"}
    for order in (1, 2, 3):
        for kind in ("bh1", "bh2"):
            c = dict(BETAS, solver_order=order, solver_type=kind)
            if kind == "bh2":   # of diffusers, bh1 ends as not a number
                case(out, "unipc", c, 12)
            case(out, "unipc", dict(c, **low), 12)
            case(out, "unipc", dict(c, **low, predict_x0=False), 12)
            case(out, "unipc", dict(c, **low, lower_order_final=False), 9)
    case(out, "unipc", dict(BETAS, solver_order=3, disable_corrector=[0, 4]), 9)
    case(out, "unipc", dict(BETAS, solver_type="midpoint"), 9)


def dpm_cases(out):
    low = {"final_sigmas_type": "sigma_min"}
    for algorithm in ("dpmsolver++", "dpmsolver", "sde-dpmsolver++",
                      "sde-dpmsolver"):
        ends = low if algorithm in ("dpmsolver", "sde-dpmsolver") else {}
        for kind in ("midpoint", "heun"):
            for order in (1, 2, 3):
                c = dict(BETAS, algorithm_type=algorithm, solver_type=kind,
                         solver_order=order, **ends)
                sde = "sde" in algorithm and order == 3
                if not sde:
                    for steps in (4, 18):
                        case(out, "dpmpp_2m", c, steps)
                    if not ends:
                        case(out, "dpmpp_2m", dict(c, **low), 18)
                if algorithm == "sde-dpmsolver" or sde and kind == "heun":
                    continue
                for steps in (7, 12):
                    case(out, "dpmpp_2s", c, steps)
                case(out, "dpmpp_2s", dict(c, **low, lower_order_final=True),
                     12)
    for p in ("v_prediction", "sample"):
        for a in ("dpmsolver++", "sde-dpmsolver"):
            case(out, "dpmpp_2m", dict(BETAS, **low, algorithm_type=a,
                                       prediction_type=p), 9)
        case(out, "dpmpp_2s", dict(BETAS, prediction_type=p,
                                   solver_order=3), 9)
    case(out, "dpmpp_2m", dict(BETAS, **low, algorithm_type="deis"), 5)
    for order in (1, 3):
        for e in ({"euler_at_final": True}, {"lower_order_final": False}):
            case(out, "dpmpp_2m", dict(BETAS, **low, **e, solver_order=order),
                 16)
    case(out, "dpmpp_2s", {"beta_schedule": "squaredcos_cap_v2",
                           "lambda_min_clipped": -5.1}, 9)


def respaced_cases(out):
    low = {"final_sigmas_type": "sigma_min"}
    for key in ("karras", "exponential", "beta"):
        on = {"use_%s_sigmas" % key: True}
        for name in ("euler", "heun", "lms", "dpmpp_2m", "dpmpp_2s", "unipc",
                     "dpmpp_sde"):
            for steps in (1, 9):
                case(out, name, dict(BETAS, **on), steps)
            if name in ("euler", "dpmpp_2m", "unipc"):
                case(out, name, dict(BETAS, **on, **low), 9)
                case(out, name, dict(BETAS, **on, timestep_spacing="leading",
                                     steps_offset=1), 9)
            case(out, name, {"beta_schedule": "squaredcos_cap_v2", **on}, 9,
                 wide=name == "heun")
            case(out, name, dict(BETAS, **on, sigma_min=.1, sigma_max=9.5), 9)
    case(out, "dpmpp_2m", dict(BETAS, use_lu_lambdas=True), 9)
    case(out, "dpmpp_2m", {"beta_schedule": "squaredcos_cap_v2",
                           "use_lu_lambdas": True}, 9)


def table_cases(out):
    """Zero terminal SNR, and the betas of DDPMScheduler and of Heun's."""
    zero = dict(BETAS, rescale_betas_zero_snr=True,
                timestep_spacing="trailing")
    for name in ("ddim", "euler", "euler_ancestral", "dpmpp_2m", "unipc"):
        more = {"clip_sample": False} if name == "ddim" else {}
        for p in ALL:
            if name == "euler_ancestral" and p == "sample":
                continue
            if name == "ddim" and p == "epsilon":
                continue
            case(out, name, dict(zero, **more, prediction_type=p), 8)
    for name in ("lcm", "tcd"):
        case(out, name, dict(BETAS, rescale_betas_zero_snr=True,
                             prediction_type="v_prediction"), 4)
    case(out, "ddim", dict(zero, clip_sample=False,
                           prediction_type="v_prediction"), 8, .5)
    case(out, "heun", dict(BETAS, beta_schedule="exp"), 6)
    for kind in ("sigmoid", "laplace"):
        c = {"beta_schedule": kind, "timestep_spacing": "leading",
             "steps_offset": 30}
        s = d.DDPMScheduler(beta_schedule=kind)
        trained = dict(c, beta_schedule="linear",
                       trained_betas=s.betas.tolist())
        s, x = run("euler", trained, 6)
        write(out, "euler", c, 6, 0, nodes_of("euler", s),
              sigmas_of("euler", s), x)


def distilled_cases(out):
    for p in ALL:
        for steps in (1, 2, 4, 7):
            case(out, "lcm", {"prediction_type": p}, steps)
            case(out, "tcd", {"prediction_type": p}, steps, .3)
        case(out, "tcd", {"prediction_type": p}, 4)
        case(out, "lcm", {"prediction_type": p, "clip_sample": True,
                          "clip_sample_range": .5}, 4)
    case(out, "tcd", {}, 8, 1)
    for name in ("lcm", "tcd"):
        case(out, name, {"original_inference_steps": 100}, 8, 0)
    case(out, "lcm", {"timestep_scaling": .01}, 4)


def tree_cases(out):
    k = k_sampling()
    for spacing in ("leading", "linspace", "trailing"):
        c = dict(BETAS, timestep_spacing=spacing, steps_offset=1)
        for p in ALL:
            c = dict(c, prediction_type=p)
            for steps in (1, 3, 20):
                k_case(out, k, "dpmpp_2s_ancestral", c, steps)
                if steps > 1:
                    k_case(out, k, "dpmpp_2m_sde", c, steps)
                    k_case(out, k, "dpmpp_3m_sde", c, steps)
                if p != "sample":
                    case(out, "dpmpp_sde", c, steps)
    k_case(out, k, "dpmpp_2m_sde", dict(BETAS, solver_type="heun"), 9)
    for name in ("dpmpp_2m_sde", "dpmpp_3m_sde", "dpmpp_2s_ancestral"):
        k_case(out, k, name, dict(BETAS, use_karras_sigmas=True), 9)
        k_case(out, k, name, {}, 9)
    for name in ("dpmpp_2m_sde", "dpmpp_3m_sde"):
        k_case(out, k, name, dict(BETAS, final_sigmas_type="sigma_min"), 9)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with open(HERE / "schedulers.txt", "w") as f:
        multistep_cases(f)
        dpm_cases(f)
        respaced_cases(f)
        table_cases(f)
        distilled_cases(f)
        tree_cases(f)
