"""Golden trajectories of pictures that are painted over, from diffusers' own
StableDiffusionImg2ImgPipeline and StableDiffusionInpaintPipeline, for
tests/core/test_repaint.c.

    python tests/golden/repaint.py         # repaint.txt

needs torch and diffusers. The pipelines have no text encoder and no VAE: they
are given latents. Their net is the toy of solvers.py on [4][4][3], to which a
net of nine channels adds .2 of the mask and .3 of the masked picture. The
picture is cos(k) at element k, the masked picture sin(k); a pixel p of the mask
is 1 unless p is a multiple of 3.

repaint.txt   case KIND SOLVER STEPS STRENGTH CONFIG, KIND img2img, inpaint or
              nine, then x: the latents at the end, [C][H][W]
"""
import itertools
import json
from pathlib import Path

import torch
from diffusers import (DPMSolverSinglestepScheduler, LMSDiscreteScheduler,
                       PNDMScheduler, StableDiffusionImg2ImgPipeline,
                       StableDiffusionInpaintPipeline, UniPCMultistepScheduler)

from solvers import BETAS, CLASSES, SEED, numbers, toy

# Solvers to which it matters that a walk begins in the middle.
HISTORY = {"pndm": PNDMScheduler, "unipc": UniPCMultistepScheduler,
           "lms": LMSDiscreteScheduler,
           "dpmpp_2s": DPMSolverSinglestepScheduler}

HERE = Path(__file__).resolve().parent
SHAPE = (1, 4, 4, 3)


class Config(dict):
    __getattr__ = dict.get


class Vae:
    config = Config(block_out_channels=[1] * 4, latent_channels=4,
                    scaling_factor=1)


class Net(torch.nn.Module):
    dtype = torch.float32
    device = torch.device("cpu")

    def __init__(self, channels):
        super().__init__()
        self.config = Config(in_channels=channels, sample_size=64,
                             _diffusers_version="0.42.1")

    def forward(self, x, t, **_):
        y = toy(x[:, :4], t)
        if x.shape[1] == 9:
            y = (y.double() + .2 * x[:, 4:5] + .3 * x[:, 5:]).float()
        return (y,)


def picture(f):
    return f(torch.arange(48, dtype=torch.float64)).float().reshape(SHAPE)


def pipeline(cls, channels, scheduler):
    return cls(vae=Vae(), text_encoder=None, tokenizer=None, unet=Net(channels),
               scheduler=scheduler, safety_checker=None, feature_extractor=None,
               requires_safety_checker=False)


def run(kind, solver, steps, strength, config):
    cls = (StableDiffusionImg2ImgPipeline if kind == "img2img"
           else StableDiffusionInpaintPipeline)
    pipe = pipeline(cls, 9 if kind == "nine" else 4, (CLASSES | HISTORY)[solver](**config))
    pipe.set_progress_bar_config(disable=True)
    more = {}
    if kind != "img2img":
        pixel = (torch.arange(12) % 3 != 0).float().reshape(1, 1, 4, 3)
        more = {"mask_image": pixel.repeat_interleave(8, 2).repeat_interleave(8, 3),
                "masked_image_latents": picture(torch.sin),
                "height": 32, "width": 24}
    return pipe(prompt_embeds=torch.zeros(1, 1, 1), guidance_scale=1,
                image=picture(torch.cos), strength=strength,
                num_inference_steps=steps, output_type="latent",
                generator=torch.Generator().manual_seed(SEED), **more).images


def write(out, kind, solver, steps, strength, config):
    x = run(kind, solver, steps, strength, config)
    assert x.shape == SHAPE and torch.isfinite(x).all()
    out.write("case %s %s %d %g %s\n" % (kind, solver, steps, strength,
                                         json.dumps(config)))
    out.write(numbers("x", x.flatten().tolist()))


def main():
    solvers = [s for s in CLASSES if s != "heun"]
    with (HERE / "repaint.txt").open("w") as out:
        for kind, solver, (steps, strength), prediction in itertools.product(
                ("img2img", "inpaint", "nine"), solvers,
                ((10, .6), (7, .29), (5, 1)), ("epsilon", "v_prediction")):
            config = dict(BETAS, steps_offset=1, prediction_type=prediction,
                          timestep_spacing="leading")
            if solver == "ddim":
                config["clip_sample"] = False
            write(out, kind, solver, steps, strength, config)
        for solver, (steps, strength), prediction in itertools.product(
                HISTORY, ((10, 1), (10, .95), (10, .8), (10, .5), (10, .1)),
                ("epsilon", "v_prediction")):
            config = dict(BETAS, steps_offset=1, prediction_type=prediction)
            if solver == "pndm":
                config["skip_prk_steps"] = True
            if solver == "dpmpp_2s":
                del config["steps_offset"]
                config["solver_order"] = 3
            write(out, "img2img", solver, steps, strength, config)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
