"""Goldens of text to image: what whole diffusers pipelines draw, for
tests/e2e/test_text.sh.

    python tests/golden/pipelines.py            # pipe_*.safetensors
    python tests/golden/pipelines.py NAME...    # these alone
    python tests/golden/pipelines.py paint      # paint_*, see PAINTED
    python tests/golden/pipelines.py nine       # nine_*, see NINE
    python tests/golden/pipelines.py refine     # refine_*, see REFINED
    python tests/golden/pipelines.py control    # control_*, see CONTROLLED

needs torch, diffusers and transformers. Float32 on the CPU; nets of random
weights, made as in nets.py, have all the structure of the real ones and a few
channels; the tokenizer is that of tokens/. A picture's `latents` are what the
pipeline gives with output_type="latent"; pipe_sd15.png is what its VAE makes of
them. The metadata make the pipeline again, and the config that draws the picture:

    model_index, unet, vae, text_encoder, ..., scheduler
                        text of the component's JSON
    FOLDER.tensors      "name dtype d0xd1x..;" for every tensor of a component
    tokenizer, tokenizer_2
                        which of tokens/*.config.json it is
    sample              members of `sample:`, as JSON
    models              names of models, all of this pipeline, as JSON; only of
                        methods, which are those of methods.py
    control0, control1  likewise a component's, beside those of the pipeline
    controls            `controls:` of its model, as JSON, for FOLDER "model"
"""
import argparse
import json
import pathlib
import shutil
import tempfile

import diffusers
import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file

import methods
from nets import C, D, DTYPE, HERE, cond, control, distance, kl, weight
from text import write

TOKENS = HERE / "tokens"


def clip(cls, **more):
    return {"architectures": [cls], "model_type": "clip_text_model",
            "vocab_size": 1214, "hidden_size": 24, "intermediate_size": 40,
            "num_hidden_layers": 3, "num_attention_heads": 3,
            "max_position_embeddings": 77, "projection_dim": 20,
            "bos_token_id": 1212, "eos_token_id": 2, "hidden_act": "quick_gelu",
            **more}


def ddim(**more):
    return {"_class_name": "DDIMScheduler", "num_train_timesteps": 1000,
            "beta_start": 0.00085, "beta_end": 0.012,
            "beta_schedule": "scaled_linear", "clip_sample": False,
            "set_alpha_to_one": False, "steps_offset": 1, **more}


# Where diffusers looks for the last norm; transformers 5 has it in the model.
if not hasattr(transformers.CLIPTextModel, "text_model"):
    transformers.CLIPTextModel.text_model = property(lambda self: self)

VAE = kl([8, 8, 12, 12], scaling_factor=0.18215)
TEXT, PROJECTED = "CLIPTextModel", "CLIPTextModelWithProjection"

MODELS = {
    "sd15": dict(
        model_index={"_class_name": "StableDiffusionPipeline"},
        unet=cond([C, C, C, D], [16, 16, 32, 32]), vae=VAE,
        text_encoder=clip(TEXT), tokenizer="old", scheduler=ddim()),
    "sd21": dict(
        model_index={"_class_name": "StableDiffusionPipeline"},
        unet=cond([C, C, C, D], [8, 16, 32, 32], dual_cross_attention=False,
                  attention_head_dim=[1, 2, 4, 4], upcast_attention=True,
                  use_linear_projection=True), vae=VAE,
        text_encoder=clip(TEXT, hidden_act="gelu"), tokenizer="new",
        scheduler=ddim(prediction_type="v_prediction")),
    "sdxl": dict(
        model_index={"_class_name": "StableDiffusionXLPipeline",
                     "force_zeros_for_empty_prompt": True},
        unet=cond([D, C, C], [16, 32, 64], attention_head_dim=[1, 2, 4],
                  transformer_layers_per_block=[1, 2, 3],
                  use_linear_projection=True, cross_attention_dim=56,
                  addition_embed_type="text_time", addition_time_embed_dim=8,
                  projection_class_embeddings_input_dim=68),
        vae=kl([8, 8, 12, 12], scaling_factor=0.13025),
        text_encoder=clip(TEXT), tokenizer="old",
        text_encoder_2=clip(PROJECTED, hidden_act="gelu", hidden_size=32,
                            num_attention_heads=2, num_hidden_layers=4),
        tokenizer_2="new", scheduler=ddim()),
    "lcm": dict(
        model_index={"_class_name": "LatentConsistencyModelPipeline",
                     "requires_safety_checker": False},
        unet=cond([C, C, D], [16, 16, 32], time_cond_proj_dim=33), vae=VAE,
        text_encoder=clip(TEXT), tokenizer="old",
        scheduler=ddim() | {"_class_name": "LCMScheduler",
                            "original_inference_steps": 50}),
}
MODELS["inpaint"] = MODELS["sd15"] | {
    "model_index": {"_class_name": "StableDiffusionInpaintPipeline",
                    "_diffusers_version": "0.42.1"},
    "unet": MODELS["sd15"]["unet"] | {"in_channels": 9, "sample_size": 64,
                                      "_diffusers_version": "0.42.1"}}
MODELS["xlpaint"] = MODELS["sdxl"] | {
    "model_index": MODELS["sdxl"]["model_index"] | {
        "_class_name": "StableDiffusionXLInpaintPipeline",
        "_diffusers_version": "0.42.1"},
    "unet": MODELS["sdxl"]["unet"] | {"in_channels": 9}}
# Stable Diffusion 2's, which predicts eps as its base does, and with v.
MODELS["paint2"] = MODELS["sd21"] | {
    "model_index": MODELS["inpaint"]["model_index"],
    "unet": MODELS["sd21"]["unet"] | {"in_channels": 9, "sample_size": 64,
                                      "_diffusers_version": "0.42.1"},
    "scheduler": ddim()}
MODELS["paint2v"] = MODELS["paint2"] | {"scheduler": MODELS["sd21"]["scheduler"]}
MODELS["refiner"] = {k: v for k, v in MODELS["sdxl"].items()
                     if k not in ("text_encoder", "tokenizer")} | {
    "model_index": {"_class_name": "StableDiffusionXLImg2ImgPipeline",
                    "force_zeros_for_empty_prompt": False,
                    "requires_aesthetics_score": True,
                    "text_encoder": [None, None], "tokenizer": [None, None]},
    "unet": cond([D, C, C, D], [16, 32, 64, 64], attention_head_dim=[1, 2, 4, 4],
                 transformer_layers_per_block=2, use_linear_projection=True,
                 cross_attention_dim=32, addition_embed_type="text_time",
                 addition_time_embed_dim=8,
                 projection_class_embeddings_input_dim=60)}

PROMPT = "a photo of a cat, 8k (masterpiece)"
# picture: model, what the pipeline is asked
CASES = {
    "sd15": ("sd15", dict(prompt=PROMPT, negative_prompt="blurry, they'll",
                          guidance=7.5, width=64, height=320, seed=3)),
    "sd21": ("sd21", dict(prompt=PROMPT, guidance=5, width=192, height=128,
                          seed=5, clip_skip=1)),
    "sdxl": ("sdxl", dict(prompt=PROMPT, guidance=5, width=96, height=192,
                          seed=7)),
    "sdxl_sizes": ("sdxl", dict(prompt=PROMPT, negative_prompt="",
                                guidance=3, width=96, height=192, seed=8,
                                clip_skip=1, original_size=[700, 512],
                                crop_top_left=[12, 0],
                                target_size=[1024, 512])),
    "lcm": ("lcm", dict(prompt=PROMPT, guidance=8.5, width=64, height=128,
                        seed=9, steps=8, solver="lcm")),
}
# picture: model, names of models, what is asked; all of 128 x 128
PAIR = {"strong": PROMPT, "weak": "a dog"}
METHODS = {
    "w2sd": ("sd15", dict(method="w2sd", prompts=PAIR, guidance=3, seed=11)),
    "and": ("sd15", dict(method="superdiff_and", prompts=PAIR, guidance=2,
                         negative_prompt="rain", seed=12)),
}
# What begins with pipe_sd15.png: paint_NAME.safetensors has the latents alone,
# of the pipeline sd15 and what CASES asks it; paint_mask.png is the mask.
PAINTED = {
    "image": dict(strength=.6),
    "mask": dict(strength=.7, mask=True),
    "all": dict(strength=1, mask=True),
    "euler_a": dict(strength=.5, mask=True, solver="euler_ancestral"),
}
# What models of nine channels make of pipe_sd15.png and paint_mask.png.
NINE = {
    "part": ("inpaint", dict(strength=.7)),
    "all": ("inpaint", dict(strength=1)),
    "xl": ("xlpaint", dict(strength=.8)),
    "sd2": ("paint2", dict(strength=.75)),
    "sd2_v": ("paint2v", dict(strength=1)),
}
# The base is the pipeline sdxl, `from` where the refiner goes on; or the
# refiner alone, from pipe_sd15.png. The metadata are of the refiner.
REFINED = {
    "hand_over": dict(width=64, height=320, seed=13, **{"from": .8}),
    "multistep": dict(width=128, height=192, seed=14, solver="dpmpp_2m",
                      negative_prompt="rain", **{"from": .55}),
    "picture": dict(width=64, height=320, seed=15, strength=.4,
                    aesthetic_score=7, negative_aesthetic_score=1.5),
}
# What follows pictures: control_NAME.safetensors has the latents alone. Model,
# what is asked, and of each control net its config, its picture and the rest.
SEEN = dict(conditioning_embedding_out_channels=[8, 12, 16, 24])
CONTROLLED = {
    "sd15": ("sd15", dict(prompt=PROMPT, negative_prompt="rain", guidance=5,
                          width=64, height=320, seed=21), [
        (control([C, C, C, D], [16, 16, 32, 32], **SEEN), "pipe_sd15.png",
         dict(scale=.75))]),
    "two": ("sd15", dict(prompt=PROMPT, guidance=3, width=64, height=320,
                         seed=22), [
        (control([C, C, C, D], [16, 16, 32, 32], **SEEN), "paint_mask.png",
         dict(scale=1, start=.1, end=.7)),
        (control([C, C, C, D], [16, 16, 32, 32], **SEEN,
                 controlnet_conditioning_channel_order="bgr"), "pipe_sd15.png",
         dict(scale=-.5, end=.45))]),
    "sdxl": ("sdxl", dict(prompt=PROMPT, guidance=4, width=96, height=192,
                          seed=23), [
        (control([D, C, C], [16, 32, 64], attention_head_dim=[1, 2, 4],
                 transformer_layers_per_block=[1, 2, 3],
                 use_linear_projection=True, cross_attention_dim=56,
                 addition_embed_type="text_time", addition_time_embed_dim=8,
                 projection_class_embeddings_input_dim=68, **SEEN),
         "control_xl.png", dict(scale=1.25))]),
}
STEPS = 20
LIBRARY = {"unet": "diffusers", "vae": "diffusers", "scheduler": "diffusers",
           "text_encoder": "transformers", "text_encoder_2": "transformers",
           "tokenizer": "transformers", "tokenizer_2": "transformers"}


def class_of(conf):
    if isinstance(conf, str):
        return "CLIPTokenizer"
    return conf.get("_class_name") or conf["architectures"][0]


def index(model):
    """The model_index.json, with every component the library asks for."""
    nothing = [None, None]
    return model["model_index"] | {
        "safety_checker": nothing, "feature_extractor": nothing,
        "image_encoder": nothing} | {
        k: [LIBRARY[k], class_of(v)] for k, v in model.items()
        if k != "model_index"}


def write_tokenizer(folder, which):
    folder.mkdir()
    for name in "vocab.json", "merges.txt":
        shutil.copy(TOKENS / name, folder)
    shutil.copy(TOKENS / f"{which}.config.json",
                folder / "tokenizer_config.json")
    if which == "old":
        shutil.copy(TOKENS / "old.map.json", folder / "special_tokens_map.json")


def write_net(folder, conf):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(conf))
    if "_class_name" in conf:
        net = getattr(diffusers, conf["_class_name"]).from_config(conf)
        name = "diffusion_pytorch_model.safetensors"
    else:
        cls = getattr(transformers, conf["architectures"][0])
        net = cls(transformers.CLIPTextConfig(
            **{k: v for k, v in conf.items() if k != "architectures"}))
        name = "model.safetensors"
    shapes = {k: tuple(v.shape) for k, v in net.state_dict().items()
              if not k.endswith("position_ids")}
    save_file({k: weight(k, s).to(DTYPE["F16"]) for k, s in shapes.items()},
              folder / name, metadata={"format": "pt"})
    return "".join(f"{k} F16 {'x'.join(map(str, s))};"
                   for k, s in shapes.items())


def write_model(folder, model):
    """The pipeline's folder; returns the golden's metadata."""
    meta = {}
    for name, conf in model.items():
        if isinstance(conf, str):
            write_tokenizer(folder / name, conf)
            meta[name] = conf
            continue
        meta[name] = json.dumps(conf)
        if name == "model_index":
            meta[name] = json.dumps(index(model))
            (folder / "model_index.json").write_text(meta[name])
        elif name == "scheduler":
            (folder / name).mkdir()
            (folder / name / "scheduler_config.json").write_text(meta[name])
        else:
            meta[f"{name}.tensors"] = write_net(folder / name, conf)
    return meta


def noise(sample, generator):
    return torch.randn((1, 4, sample["height"] // 8, sample["width"] // 8),
                       generator=generator)


@torch.no_grad()
def draw(folder, sample, dtype):
    pipe = diffusers.DiffusionPipeline.from_pretrained(
        folder, torch_dtype=torch.float32).to(dtype)
    pipe.set_progress_bar_config(disable=True)
    more = {k: sample[k] for k in ("prompt", "negative_prompt", "width",
                                   "height", "clip_skip") if k in sample}
    for key, name in (("original_size", "original_size"),
                      ("crop_top_left", "crops_coords_top_left"),
                      ("target_size", "target_size")):
        if key in sample:
            more[name] = tuple(sample[key])
    generator = torch.Generator().manual_seed(sample["seed"])
    start = noise(sample, generator)
    latents = pipe(num_inference_steps=sample.get("steps", STEPS),
                   latents=start.to(dtype), generator=generator,
                   guidance_scale=sample["guidance"], output_type="latent",
                   **more).images
    picture = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    return latents, picture


def write_picture(path, x):
    pixels = ((x / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path, optimize=True)


def make(name, out):
    which, sample = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        meta = write_model(pathlib.Path(folder), MODELS[which])
        latents, picture = draw(folder, sample, torch.float32)
        # What LCM draws in its steps would be other numbers in double.
        exact = draw(folder, sample, torch.float64) if name != "lcm" else (
            latents, picture)
    print(f"{name:12} float32 against float64: latents "
          f"{distance(latents, exact[0]):.1e} picture "
          f"{distance(picture, exact[1]):.1e}; rms {latents.std():.2f}, "
          f"picture beyond [-1, 1] {(picture.abs() > 1).float().mean():.2f}")
    assert latents.isfinite().all()
    if name == "sd15":
        write_picture(out / "pipe_sd15.png", picture[0])
    write(out / f"pipe_{name}.safetensors", {"latents": latents},
          meta | {"sample": json.dumps(
              {"steps": STEPS, "solver": "ddim", "rng": "torch-cpu", **sample}),
              "diffusers": diffusers.__version__,
              "transformers": transformers.__version__})


class Eps:
    """A pipeline's net under one prompt."""

    def __init__(self, pipe, prompt):
        self.net = pipe.unet
        self.text = pipe.encode_prompt(prompt, "cpu", 1, False)[0]

    def __call__(self, x, t, i=0):
        return self.net(x.float(), t,
                        encoder_hidden_states=self.text).sample.double()


@torch.no_grad()
def draw_method(folder, sample):
    pipe = diffusers.DiffusionPipeline.from_pretrained(
        folder, torch_dtype=torch.float32)
    methods.DEMO, methods.STEPS, methods.SIZE = folder, STEPS, 16
    methods.SEED = sample["seed"]
    strong, weak = (Eps(pipe, p) for p in sample["prompts"].values())
    none = Eps(pipe, sample.get("negative_prompt", ""))
    w = sample["guidance"]
    if sample["method"] == "superdiff_and":
        return methods.superpose([strong, weak], "and", w, [none])[0]
    return methods.reflect(
        lambda x, t, i: none(x, t) + w * (strong(x, t) - none(x, t)),
        strong, weak, STEPS - 1)


def make_method(name, out):
    which, sample = METHODS[name]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        meta = write_model(folder, MODELS[which])
        latents = draw_method(folder, sample)
    print(f"{name:12} rms {latents.std():.2f}")
    write(out / f"pipe_{name}.safetensors", {"latents": latents.float()},
          meta | {"models": json.dumps(list(sample["prompts"])),
                  "sample": json.dumps({"steps": STEPS, "solver": "ddim",
                                        "rng": "torch-cpu", "width": 128,
                                        "height": 128, **sample}),
                  "diffusers": diffusers.__version__})


def mask_picture(width, height):
    """A disc and a few grey rows, half of which count."""
    y, x = np.mgrid[:height, :width]
    m = np.where((x - 30) ** 2 + (y - 150) ** 2 < 2500, 255, 0)
    m[250:270] = 127
    m[270:290] = 128
    return Image.fromarray(m.astype(np.uint8))


@torch.no_grad()
def paint(pipe, how, sample, dtype):
    cls = (diffusers.StableDiffusionInpaintPipeline if "mask" in how
           else diffusers.StableDiffusionImg2ImgPipeline)
    more = {"mask_image": Image.open(HERE / "paint_mask.png"),
            "width": sample["width"], "height": sample["height"]
            } if "mask" in how else {}
    parts = dict(pipe.components)
    if "solver" in how:
        parts["scheduler"] = diffusers.EulerAncestralDiscreteScheduler.from_config(
            pipe.scheduler.config)
    return cls(**parts, requires_safety_checker=False).to(dtype)(
        prompt=sample["prompt"], negative_prompt=sample["negative_prompt"],
        guidance_scale=sample["guidance"], num_inference_steps=STEPS,
        image=Image.open(HERE / "pipe_sd15.png"), strength=how["strength"],
        generator=torch.Generator().manual_seed(sample["seed"]),
        output_type="latent", **more).images


def make_painted(out):
    which, sample = CASES["sd15"]
    mask_picture(sample["width"], sample["height"]).save(out / "paint_mask.png")
    with tempfile.TemporaryDirectory() as folder:
        write_model(pathlib.Path(folder), MODELS[which])
        pipe = diffusers.DiffusionPipeline.from_pretrained(
            folder, torch_dtype=torch.float32)
        pipe.unet.register_to_config(sample_size=64) # these pipelines ask
        for name, how in PAINTED.items():
            x = paint(pipe, how, sample, torch.float32)
            print(f"{name:12} rms {x.std():.2f}")
            assert x.isfinite().all()
            write(out / f"paint_{name}.safetensors", {"latents": x},
                  {"how": json.dumps(how),
                   "diffusers": diffusers.__version__})


def load(folder, model):
    """The pipeline of a model that is written to a folder, and its metadata."""
    meta = write_model(folder, MODELS[model])
    pipe = diffusers.DiffusionPipeline.from_pretrained(
        folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe, meta


def write_how(out, name, latents, how, meta):
    print(f"{name:20} rms {latents.std():.2f}")
    assert latents.isfinite().all()
    write(out / f"{name}.safetensors", {"latents": latents},
          meta | {"sample": json.dumps(
              {"steps": STEPS, "solver": "ddim", "rng": "torch-cpu", **how}),
              "diffusers": diffusers.__version__})


@torch.no_grad()
def make_nine(out):
    _, asked = CASES["sd15"]
    for name, (which, how) in NINE.items():
        with tempfile.TemporaryDirectory() as folder:
            pipe, meta = load(pathlib.Path(folder), which)
            x = pipe(prompt=asked["prompt"],
                     negative_prompt=asked["negative_prompt"],
                     guidance_scale=asked["guidance"],
                     num_inference_steps=STEPS, strength=how["strength"],
                     image=Image.open(HERE / "pipe_sd15.png"),
                     mask_image=Image.open(HERE / "paint_mask.png"),
                     width=asked["width"], height=asked["height"],
                     generator=torch.Generator().manual_seed(asked["seed"]),
                     output_type="latent").images
        write_how(out, f"nine_{name}", x, asked | how, meta)


def refine(base, refiner, how):
    asked = {"prompt": PROMPT, "guidance_scale": 4, "num_inference_steps": STEPS,
             "negative_prompt": how.get("negative_prompt"),
             "output_type": "latent"}
    generator = torch.Generator().manual_seed(how["seed"])
    if "strength" in how:
        return refiner(image=Image.open(HERE / "pipe_sd15.png"),
                       strength=how["strength"], generator=generator,
                       aesthetic_score=how["aesthetic_score"],
                       negative_aesthetic_score=how["negative_aesthetic_score"],
                       **asked).images
    if "solver" in how:
        for pipe in base, refiner:
            pipe.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(
                pipe.scheduler.config)
    x = base(latents=noise(how, generator), denoising_end=how["from"],
             width=how["width"], height=how["height"], **asked).images
    return refiner(image=x, denoising_start=how["from"], **asked).images


@torch.no_grad()
def make_refined(out):
    for name, how in REFINED.items():
        with (tempfile.TemporaryDirectory() as one,
              tempfile.TemporaryDirectory() as two):
            base, _ = load(pathlib.Path(one), "sdxl")
            refiner, meta = load(pathlib.Path(two), "refiner")
            x = refine(base, refiner, how)
        asked = {"prompt": PROMPT, "guidance": 4} | how
        if "from" in asked:
            asked |= {"refiner": "refiner", "refine_from": asked.pop("from")}
        write_how(out, f"refine_{name}", x, asked, meta)


def stripes(width, height):
    """A picture of smooth colours and hard edges."""
    y, x = np.mgrid[:height, :width]
    c = [x * 255 // (width - 1), y * 255 // (height - 1),
         np.where((x + y) // 24 % 2, 230, 40)]
    return Image.fromarray(np.stack(c, -1).astype(np.uint8))


@torch.no_grad()
def follow(pipe, sample, nets, controls, dtype):
    cls = (diffusers.StableDiffusionXLControlNetPipeline
           if hasattr(pipe, "text_encoder_2")
           else diffusers.StableDiffusionControlNetPipeline)
    more = {} if hasattr(pipe, "text_encoder_2") else {
        "requires_safety_checker": False}
    of = cls(**pipe.components, controlnet=nets, **more).to(dtype)
    of.set_progress_bar_config(disable=True)
    start = noise(sample, torch.Generator().manual_seed(sample["seed"]))
    return of(prompt=sample["prompt"],
              negative_prompt=sample.get("negative_prompt"),
              guidance_scale=sample["guidance"], num_inference_steps=STEPS,
              width=sample["width"], height=sample["height"],
              latents=start.to(dtype), output_type="latent",
              image=[Image.open(HERE / c["image"]) for c in controls],
              controlnet_conditioning_scale=[c["scale"] for c in controls],
              control_guidance_start=[c.get("start", 0.) for c in controls],
              control_guidance_end=[c.get("end", 1.) for c in controls]).images


def make_controlled(name, out):
    which, sample, asked = CONTROLLED[name]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        meta = write_model(folder, MODELS[which])
        controls = []
        for i, (conf, image, how) in enumerate(asked):
            part = f"control{i}"
            meta[part] = json.dumps(conf)
            meta[f"{part}.tensors"] = write_net(folder / part, conf)
            controls.append({"path": f"model/{part}", "image": image, **how})
        pipe = diffusers.DiffusionPipeline.from_pretrained(
            folder, torch_dtype=torch.float32)
        plain, _ = draw(folder, sample, torch.float32)
        x = []
        for dtype in torch.float32, torch.float64:
            nets = diffusers.MultiControlNetModel([
                diffusers.ControlNetModel.from_pretrained(
                    folder / f"control{i}", torch_dtype=torch.float32).to(dtype)
                for i in range(len(asked))])
            x.append(follow(pipe, sample, nets, controls, dtype))
    print(f"control_{name:8} float32 against float64 {distance(x[0], x[1]):.1e}"
          f", against no control {distance(x[0], plain):.1e}; "
          f"rms {x[0].std():.2f}")
    assert x[0].isfinite().all() and distance(x[0], plain) > .01
    write(out / f"control_{name}.safetensors", {"latents": x[0]},
          meta | {"controls": json.dumps(controls), "sample": json.dumps(
              {"steps": STEPS, "solver": "ddim", "rng": "torch-cpu", **sample}),
              "diffusers": diffusers.__version__})


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("names", nargs="*")
    ap.add_argument("--out", type=pathlib.Path, default=HERE)
    a = ap.parse_args()
    if a.names == ["paint"]:
        return make_painted(a.out)
    if a.names == ["nine"]:
        return make_nine(a.out)
    if a.names == ["refine"]:
        return make_refined(a.out)
    if a.names == ["control"]:
        stripes(96, 192).save(a.out / "control_xl.png", optimize=True)
        for name in CONTROLLED:
            make_controlled(name, a.out)
        return
    for name in a.names or [*CASES, *METHODS]:
        (make if name in CASES else make_method)(name, a.out)


if __name__ == "__main__":
    main()
