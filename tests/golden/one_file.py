"""Goldens of text to image from checkpoints in one file: what diffusers'
pipelines draw of its own conversion of them, for tests/e2e/test_one_file.sh.

    python tests/golden/one_file.py            # file_*.safetensors
    python tests/golden/one_file.py NAME...    # these alone

As pipelines.py, whose metadata these have, but for the nets: `file.tensors` are
those of the checkpoint in the original layout, `control.tensors` those of a
control net in its authors'. file_control is of sd1 and such a control net.
"""
import json
import pathlib
import sys
import tempfile

import diffusers
import torch
import transformers

import original
from nets import DTYPE, HERE, distance, weight
from original import (G, LINEAR, Shapes, autoencoder, by, convert,
                      convert_control, denoiser, shapes, text)
from pipelines import (PROMPT, STEPS, ddim, draw, follow, index,
                       write_tokenizer)
from text import write

TOKENS = {"vocab_size": 1214, "max_position_embeddings": 77,
          "bos_token_id": 1212}
L = text("CLIPTextModel", 64, 2, "quick_gelu") | TOKENS
H = text("CLIPTextModel", 64, 23, "gelu", 64) | TOKENS
BIG_G = text(G, 128, 2, "gelu", 128) | TOKENS
MULTS = [1, 1, 2, 2]
NAMES = {"UNet2DConditionModel": "unet", "AutoencoderKL": "vae"}

# name: class, kind as in original.py, scheduler, tokenizers, what is asked
CASES = {
    "sd1": ("StableDiffusionPipeline",
            ("F16", denoiser(32, [1, 2, 2], 1, [1, 2], 64, num_heads=8),
             autoencoder(1, MULTS), 0.18215,
             [("text_encoder", "cond_stage_model.transformer.text_model.",
               False, L, 2)]),
            ddim(), {"tokenizer": "old"},
            {"guidance": 5, "width": 96, "height": 64, "seed": 21}),
    "sd2": ("StableDiffusionPipeline",
            ("F16", denoiser(64, [1, 1], 1, [1, 2], 64, **LINEAR),
             autoencoder(1, MULTS), 0.18215,
             [("text_encoder", "cond_stage_model.model.", True, H, 24)]),
            ddim(prediction_type="v_prediction"), {"tokenizer": "new"},
            {"guidance": 3, "width": 64, "height": 64, "seed": 22}),
    "sdxl": ("StableDiffusionXLPipeline",
             ("F16", denoiser(64, [1, 1, 2], 1, [2, 4], 192, [1, 1, 2],
                              num_classes="sequential",
                              adm_in_channels=128 + 6 * 256, **LINEAR),
              autoencoder(1, MULTS), 0.13025,
              [("text_encoder",
                "conditioner.embedders.0.transformer.text_model.", False, L,
                2),
               ("text_encoder_2", "conditioner.embedders.1.model.", True,
                BIG_G, 2)]),
             ddim(), {"tokenizer": "old", "tokenizer_2": "new"},
             {"guidance": 4, "width": 64, "height": 96, "seed": 23}),
}


def save(folder, component, config, tensors):
    if component in ("unet", "vae"):
        cls = (diffusers.UNet2DConditionModel if component == "unet"
               else diffusers.AutoencoderKL)
        net = cls(**config)
    else:
        cls = getattr(transformers, config["architectures"][0])
        net = cls(transformers.CLIPTextConfig(
            **{k: v for k, v in config.items() if k != "architectures"}))
    original.take_all(net, tensors)
    net.save_pretrained(folder / component)


def write_model(folder, name):
    cls, kind, scheduler, tokenizers, _ = CASES[name]
    named = shapes(*kind[1:3], kind[4])
    checkpoint = {k: weight(k, s).to(DTYPE["F16"]) for k, s in named.items()}
    model = {"model_index": {"_class_name": cls}, "scheduler": scheduler}
    for component, config, tensors in convert(kind, checkpoint):
        save(folder, component, config, tensors)
        model[component] = (config if "architectures" in config else
                            {"_class_name": {v: k for k, v in
                                             NAMES.items()}[component]})
    for component, which in tokenizers.items():
        write_tokenizer(folder / component, which)
    (folder / "scheduler").mkdir()
    (folder / "scheduler/scheduler_config.json").write_text(
        json.dumps(scheduler))
    (folder / "model_index.json").write_text(
        json.dumps(index(model | tokenizers)))
    return "".join(f"{k} F16 {by(s)};" for k, s in named.items() if s)


def about(tensors, name, sample):
    return CASES[name][3] | {
        "file.tensors": tensors,
        "sample": json.dumps({"steps": STEPS, "solver": "ddim",
                              "rng": "torch-cpu", **sample}),
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__}


def make(name):
    sample = {"prompt": PROMPT, "negative_prompt": "rain"} | CASES[name][4]
    with tempfile.TemporaryDirectory() as folder:
        tensors = write_model(pathlib.Path(folder), name)
        latents, _ = draw(folder, sample, torch.float32)
        exact, _ = draw(folder, sample, torch.float64)
    print(f"{name:6} float32 against float64: latents "
          f"{distance(latents, exact):.1e}; rms {latents.std():.2f}")
    assert latents.isfinite().all()
    write(HERE / f"file_{name}.safetensors", {"latents": latents},
          about(tensors, name, sample))


def control_net():
    """sd1's, and the names of its tensors."""
    unet = CASES["sd1"][1][1] | {"hint_channels": 3}
    named = Shapes()
    named.control("control_model.", unet)
    checkpoint = {k: weight(k, s).to(DTYPE["F16"]) for k, s in named.items()}
    (_, config, tensors), = convert_control(unet, checkpoint)
    net = diffusers.ControlNetModel(**config)
    original.take_all(net, tensors)
    return net, "".join(f"{k} F16 {by(s)};" for k, s in named.items())


def make_control():
    how = {"image": "control_xl.png", "scale": 1.5}
    sample = {"prompt": PROMPT, "guidance": 4, "width": 96, "height": 192,
              "seed": 24}
    net, names = control_net()
    with tempfile.TemporaryDirectory() as folder:
        tensors = write_model(pathlib.Path(folder), "sd1")
        plain, _ = draw(folder, sample, torch.float32)
        pipe = diffusers.DiffusionPipeline.from_pretrained(folder)
        x = [follow(pipe, sample,
                    diffusers.MultiControlNetModel([net.to(dtype)]), [how],
                    dtype) for dtype in (torch.float32, torch.float64)]
    print(f"control float32 against float64: {distance(x[0], x[1]):.1e}, "
          f"against no control {distance(x[0], plain):.1e}")
    assert x[0].isfinite().all() and distance(x[0], plain) > .01
    path = {"path": "model/control.safetensors:controlnet"}
    write(HERE / "file_control.safetensors", {"latents": x[0]},
          about(tensors, "sd1", sample) | {
              "control.tensors": names, "controls": json.dumps([path | how])})


if __name__ == "__main__":
    for case in sys.argv[1:] or [*CASES, "control"]:
        make_control() if case == "control" else make(case)
