"""Goldens: what diffusers computes, for tests/core/test_nets.c and tests/e2e.

    python tests/golden/nets.py nets           # net_*.safetensors
    python tests/golden/nets.py nets cond_sdxl cond_lcm     # these alone
    python tests/golden/nets.py demo           # demo_*.safetensors, demo_*.png
    python tests/golden/nets.py check          # recompute, compare, write nothing

needs torch and diffusers. Everything is float32 on the CPU.

net_NAME.safetensors holds "output", what diffusers returns for a net of random
weights, and as metadata all that is needed to repeat it:

    config   text of config.json
    tensors  "name dtype d0xd1x..;" for every tensor of the checkpoint, as
             diffusers itself names and shapes them
    part     net | decode | encode
    input    shape "n,c,h,w"; the values come from the generator below
    time, label   one number per sample
    tokens   of the text, where there is one
    ids      sizes that SDXL is told: those of sample s are greater by s
    control0, scale0 ..  config.json of a control net and what its additions
             are multiplied by; its tensors' names begin with "control0."

Neither weights nor inputs are stored: both sides make them. Element i of the
tensor NAME is

    k = splitmix64(fnv1a64(NAME) + i) >> 56          0 .. 255
    v = (k - 128) / 128 * 2^-s

with the least s >= 0 for which 4^s * 6 >= fan-in (the product of all but the
first dimension); s = 3 for vectors. Where a norm multiplies by it ("norm" in
the name, ".weight" at its end) it is

    v = 1 + (floor(k / 16) - 8) / 64

Every such number is exact in float16 and bfloat16. Inputs are the tensor
"input" in 16 bits: (k - 32768) / 16384 with k = splitmix64(..) >> 48; so are
texts, "text" [n][tokens][c], the control nets' pictures, "hint0" and so on, as
large as a batch of pictures, pooled texts, "added" [n][c], whose c counts the
sizes' channels behind it too, and "guide" [n][c].

demo_*.safetensors hold "latents", the final latents of a whole sampling with
the demo models; metadata says which. demo_*.png are decoded from them.
"""
import argparse
import json
import pathlib
import tempfile

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import diffusers
from diffusers import (AutoencoderKL, AutoencoderTiny, ControlNetModel,
                       UNet2DConditionModel, UNet2DModel)

HERE = pathlib.Path(__file__).resolve().parent
DEMO = HERE.parent.parent / "models" / "demo"
U64 = (1 << 64) - 1
DTYPE = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


# ---- the generator shared with tests/golden.h ---------------------------

def fnv1a64(name):
    h = 0xcbf29ce484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001b3) & U64
    return h


def splitmix64(x):
    with np.errstate(over="ignore"):
        z = x * np.uint64(0x9e3779b97f4a7c15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
        return z ^ (z >> np.uint64(31))


def bits(name, count):
    with np.errstate(over="ignore"):
        return splitmix64(np.arange(count, dtype=np.uint64)
                          + np.uint64(fnv1a64(name)))


def is_norm(name):
    return "norm" in name and name.endswith(".weight")


def weight(name, shape):
    k = (bits(name, int(np.prod(shape))) >> np.uint64(56)).astype(np.float64)
    if is_norm(name):
        v = 1 + (np.floor(k / 16) - 8) / 64
        return torch.from_numpy(v.astype(np.float32).reshape(shape))
    fan_in = int(np.prod(shape[1:], dtype=np.int64))
    s = 3
    if len(shape) > 1:
        s = 0
        while 4 ** s * 6 < fan_in:
            s += 1
    v = (k - 128) / 128 * 2.0 ** -s
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


def net_input(shape, name="input"):
    k = (bits(name, int(np.prod(shape))) >> np.uint64(48)).astype(np.float64)
    return torch.from_numpy(((k - 32768) / 16384).astype(np.float32)
                            .reshape(shape))


# ---- nets of random weights ---------------------------------------------------

def unet(blocks, channels, up=None, **more):
    """A UNet2DModel config; up blocks mirror the down blocks by default."""
    mirror = {"DownBlock2D": "UpBlock2D", "AttnDownBlock2D": "AttnUpBlock2D",
              "ResnetDownsampleBlock2D": "ResnetUpsampleBlock2D"}
    return {"_class_name": "UNet2DModel", "in_channels": 4, "out_channels": 4,
            "down_block_types": blocks, "block_out_channels": channels,
            "up_block_types": up or [mirror[b] for b in reversed(blocks)],
            "norm_num_groups": 4, "layers_per_block": 1, **more}


def cond(blocks, channels, **more):
    """A UNet2DConditionModel config; up blocks mirror the down blocks."""
    mirror = {"DownBlock2D": "UpBlock2D",
              "CrossAttnDownBlock2D": "CrossAttnUpBlock2D"}
    return {"_class_name": "UNet2DConditionModel",
            "down_block_types": blocks, "block_out_channels": channels,
            "up_block_types": [mirror[b] for b in reversed(blocks)],
            "norm_num_groups": 4, "cross_attention_dim": 24,
            "attention_head_dim": 4, **more}


def control(blocks, channels, **more):
    """A ControlNetModel config."""
    return {"_class_name": "ControlNetModel", "down_block_types": blocks,
            "block_out_channels": channels, "norm_num_groups": 4,
            "cross_attention_dim": 24, "attention_head_dim": 4, **more}


def tiny(channels, down, up, **more):
    return {"_class_name": "AutoencoderTiny", "act_fn": "relu",
            "encoder_block_out_channels": channels[:len(down)],
            "decoder_block_out_channels": channels[:len(up)],
            "num_encoder_blocks": down, "num_decoder_blocks": up, **more}


def kl(channels, **more):
    n = len(channels)
    return {"_class_name": "AutoencoderKL", "block_out_channels": channels,
            "down_block_types": ["DownEncoderBlock2D"] * n,
            "up_block_types": ["UpDecoderBlock2D"] * n,
            "norm_num_groups": 4, **more}


D, A, R = "DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"
C = "CrossAttnDownBlock2D"
U, AU, RU = "UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"

# name: (config, part, input shape, {time, label, dtype, old})
NETS = {
    "unet_plain": (unet([D, D], [8, 16], attention_head_dim=8), "net",
                   (2, 4, 8, 12), dict(time=[981, 21])),
    "unet_labels": (unet([D, D, A], [8, 16, 24], attention_head_dim=8,
                         num_class_embeds=11), "net", (2, 4, 16, 12),
                    dict(time=[700, 700], label=[3, 10], dtype="F16")),
    "unet_attention": (unet([A, D, A], [8, 12, 16], attention_head_dim=None,
                            layers_per_block=2), "net", (1, 4, 8, 16),
                       dict(time=[437.25], dtype="BF16")),
    "unet_head_dim": (unet([A, A], [16, 20], attention_head_dim=6), "net",
                      (1, 4, 6, 10), dict(time=[5])),
    "unet_scale_shift": (unet([D, A], [8, 16], attention_head_dim=4,
                              resnet_time_scale_shift="scale_shift",
                              act_fn="relu"), "net", (2, 4, 8, 8),
                         dict(time=[999, 0])),
    "unet_mid_groups": (unet([D, D], [8, 16], attention_head_dim=8,
                             resnet_time_scale_shift="scale_shift",
                             attn_norm_num_groups=2, dropout=.1), "net",
                        (1, 4, 8, 8), dict(time=[312])),
    "unet_resnet_sampling": (unet([R, R, D], [8, 12, 16],
                                  attention_head_dim=8, layers_per_block=2),
                             "net", (2, 4, 8, 12), dict(time=[81, 500])),
    "unet_attention_resnet": (unet([A, A, D], [8, 8, 16],
                                   attention_head_dim=4,
                                   downsample_type="resnet",
                                   upsample_type="resnet"), "net",
                              (1, 4, 12, 8), dict(time=[640])),
    "unet_ddpm": (unet([D, A, D], [8, 8, 12], attention_head_dim=None,
                       downsample_padding=0, flip_sin_to_cos=False,
                       freq_shift=1, norm_eps=1e-6, layers_per_block=2,
                       act_fn="gelu", in_channels=3, out_channels=3), "net",
                  (1, 3, 12, 16), dict(time=[250], old=True)),
    "unet_fourier": (unet([D, A], [8, 16], attention_head_dim=8,
                          time_embedding_type="fourier",
                          center_input_sample=True, act_fn="mish",
                          downsample_padding=0), "net", (2, 4, 8, 8),
                     dict(time=[3.5, 41])),
    "unet_class_time": (unet([D, D], [8, 16], attention_head_dim=8,
                             class_embed_type="timestep",
                             time_embedding_dim=20), "net", (2, 4, 8, 8),
                        dict(time=[900, 30], label=[17, 400])),
    "unet_class_fourier": (unet([D, D], [8, 12], attention_head_dim=12,
                                class_embed_type="timestep",
                                time_embedding_type="fourier"), "net",
                           (1, 4, 4, 8), dict(time=[2.25], label=[7])),
    "unet_no_mid": (unet([D, A], [8, 16], mid_block_type=None,
                         attention_head_dim=16, out_channels=6), "net",
                    (1, 4, 8, 8), dict(time=[77])),
    "unet_mid_scale": (unet([D, D], [8, 16], attention_head_dim=8,
                            mid_block_scale_factor=1.4142135), "net",
                       (1, 4, 8, 8), dict(time=[123])),
    "unet_no_attention": (unet([D, D], [8, 16], add_attention=False,
                               mid_block_scale_factor=2), "net", (1, 4, 8, 8),
                          dict(time=[123])),
    "unet_one_level": (unet([D], [16], attention_head_dim=8,
                            time_embedding_dim=24, in_channels=1,
                            out_channels=2), "net", (1, 1, 5, 7),
                       dict(time=[640])),
    "unet_mixed_up": (unet([D, A, R], [8, 16, 8], up=[AU, U, RU],
                           attention_head_dim=8), "net", (1, 4, 8, 8),
                      dict(time=[640])),
    "unet_defaults": ({"_class_name": "UNet2DModel",
                       "block_out_channels": [32, 32, 64, 32]}, "net",
                      (1, 3, 16, 8), dict(time=[440])),
    # Stable Diffusion 1.5, 2.1, XL, its refiner, the upscaler, LCM; in small
    "cond_sd15": (cond([C, C, C, D], [16, 16, 32, 32]), "net", (2, 4, 40, 8),
                  dict(time=[981, 500], tokens=77)),
    "cond_sd21": (cond([C, C, C, D], [8, 16, 32, 32], dual_cross_attention=False,
                       attention_head_dim=[1, 2, 4, 4], upcast_attention=True,
                       use_linear_projection=True, layers_per_block=1),
                  "net", (1, 4, 16, 24),
                  dict(time=[601], tokens=77, dtype="F16")),
    "cond_sdxl": (cond([D, C, C], [16, 32, 64], attention_head_dim=[1, 2, 4],
                       transformer_layers_per_block=[1, 2, 3],
                       use_linear_projection=True, upcast_attention=None,
                       addition_embed_type="text_time",
                       addition_time_embed_dim=8,
                       addition_embed_type_num_heads=64,
                       projection_class_embeddings_input_dim=68), "net",
                  (2, 4, 20, 16), dict(time=[999, 41], tokens=77, dtype="F16",
                                       ids=[1024, 768, 0, 16, 1024, 768])),
    # SSD-1B and Segmind-Vega: SDXL with layers taken out.
    "cond_distilled": (cond([D, C, C], [8, 16, 32], attention_head_dim=[1, 2, 4],
                            mid_block_type=None, use_linear_projection=True,
                            transformer_layers_per_block=[1, [2, 1], [1, 3]],
                            reverse_transformer_layers_per_block=[
                                [1, 0, 2], [2, 1, 1], 1],
                            addition_embed_type="text_time",
                            addition_time_embed_dim=8,
                            projection_class_embeddings_input_dim=68), "net",
                       (1, 4, 8, 12), dict(time=[321], tokens=77, dtype="F16",
                                           ids=[512, 640, 8, 0, 6, 1])),
    "cond_refiner": (cond([D, C, C, D], [8, 16, 32, 32], layers_per_block=1,
                          attention_head_dim=[1, 2, 4, 4],
                          transformer_layers_per_block=2,
                          use_linear_projection=True,
                          addition_embed_type="text_time",
                          addition_time_embed_dim=6,
                          projection_class_embeddings_input_dim=50), "net",
                     (1, 4, 8, 16), dict(time=[199], tokens=77,
                                         ids=[512, 640, 8, 0, 6])),
    "cond_upscaler": (cond([D, C, C, C], [8, 16, 16, 24], in_channels=7,
                           num_class_embeds=20, layers_per_block=1,
                           only_cross_attention=[True, True, True, False],
                           use_linear_projection=True), "net", (2, 7, 8, 8),
                      dict(time=[300, 7], label=[19, 0], tokens=77)),
    # Control nets: of SD 1.5; two at once; of SDXL
    "control_sd15": (cond([C, C, D], [16, 16, 32]), "net", (2, 4, 20, 8),
                     dict(time=[981, 20], tokens=77, controls=[
                         (control([C, C, D], [16, 16, 32],
                                  conditioning_embedding_out_channels=[
                                      8, 16, 12, 24]), .75)])),
    "control_two": (cond([C, D], [8, 16], layers_per_block=1), "net",
                    (1, 4, 10, 12), dict(time=[500], tokens=9, controls=[
                        (control([C, D], [8, 16], layers_per_block=1,
                                 conditioning_embedding_out_channels=[8, 8],
                                 conditioning_channels=1), 1),
                        (control([D, D], [8, 16], layers_per_block=1,
                                 mid_block_type="UNetMidBlock2D",
                                 controlnet_conditioning_channel_order="bgr",
                                 conditioning_embedding_out_channels=[4, 8,
                                                                      16]),
                         -.5)])),
    "control_sdxl": (cond([D, C], [16, 32], attention_head_dim=[1, 2],
                          transformer_layers_per_block=[1, 2],
                          use_linear_projection=True,
                          addition_embed_type="text_time",
                          addition_time_embed_dim=8,
                          projection_class_embeddings_input_dim=68), "net",
                     (2, 4, 10, 8), dict(
                         time=[999, 41], tokens=77, dtype="F16",
                         ids=[1024, 768, 0, 16, 1024, 768], controls=[
                             (control([D, C], [16, 32],
                                      attention_head_dim=[1, 2],
                                      transformer_layers_per_block=[1, 2],
                                      use_linear_projection=True,
                                      addition_embed_type="text_time",
                                      addition_time_embed_dim=8,
                                      projection_class_embeddings_input_dim=68,
                                      conditioning_embedding_out_channels=[
                                          16, 24, 32, 48]), 1.5)])),
    "cond_lcm": (cond([C, D], [16, 16], time_cond_proj_dim=12,
                      only_cross_attention=True), "net", (2, 4, 10, 8),
                 dict(time=[259, 999], tokens=154, guide=True)),
    "cond_plain_mid": (cond([C, D], [8, 16], mid_block_type="UNetMidBlock2D",
                            resnet_time_scale_shift="scale_shift",
                            act_fn="gelu", conv_out_kernel=1,
                            conv_in_kernel=1, mid_block_scale_factor=1.25,
                            class_embed_type="timestep"), "net", (2, 4, 8, 6),
                       dict(time=[12, 900], label=[33, 250], tokens=5)),
    "cond_odd": (cond([C, C], [20, 12], mid_block_type=None, freq_shift=1,
                      flip_sin_to_cos=False, layers_per_block=[1, 2],
                      attention_head_dim=3, cross_attention_dim=[24, 24],
                      transformer_layers_per_block=[0, 1], act_fn="mish",
                      time_embedding_dim=20, downsample_padding=0,
                      center_input_sample=True, dropout=.1), "net",
                 (1, 4, 6, 10), dict(time=[700.5], tokens=300, dtype="BF16")),
    "cond_defaults": ({"_class_name": "UNet2DConditionModel",
                       "block_out_channels": [32, 32, 64, 32]}, "net",
                      (1, 4, 16, 16), dict(time=[440], tokens=77)),
    "tiny_decode": (tiny([16, 16, 16], [1, 2, 1], [2, 1, 1],
                         scaling_factor=.5, shift_factor=.25), "decode",
                    (2, 4, 6, 4), dict(dtype="F16")),
    "tiny_encode": (tiny([16, 16, 16], [1, 2, 1], [2, 1, 1]), "encode",
                    (2, 3, 12, 20), {}),
    "tiny_gelu": (tiny([8, 8], [1, 1], [1, 2], act_fn="gelu",
                       latent_channels=8, out_channels=1, in_channels=1),
                  "decode", (1, 8, 5, 7), {}),
    "tiny_defaults": ({"_class_name": "AutoencoderTiny"}, "decode",
                      (1, 4, 3, 2), {}),
    "kl_decode": (kl([8, 16], layers_per_block=1, scaling_factor=.18215),
                  "decode", (1, 4, 6, 8), {}),
    "kl_encode": (kl([8, 16], layers_per_block=1), "encode", (2, 3, 12, 16),
                  {}),
    "kl_shift": (kl([8, 12, 16], layers_per_block=2, scaling_factor=.3611,
                    shift_factor=.1159, use_quant_conv=False,
                    use_post_quant_conv=False, latent_channels=16), "decode",
                 (2, 16, 4, 4), dict(dtype="BF16")),
    "kl_no_quant": (kl([8, 12], use_quant_conv=False,
                       use_post_quant_conv=False, act_fn="mish"), "encode",
                    (1, 3, 8, 8), {}),
    "kl_no_attention": (kl([8], layers_per_block=2,
                           mid_block_add_attention=False), "decode",
                        (1, 4, 5, 7), {}),
    "kl_mean_std": (kl([8, 8], latents_mean=[-1.5, .25, .5, 2],
                       latents_std=[8, 5, 4, .5], scaling_factor=.5),
                    "decode", (2, 4, 4, 6), {}),
    "kl_old_names": (kl([8, 16]), "decode", (1, 4, 6, 4), dict(old=True)),
    "kl_defaults": ({"_class_name": "AutoencoderKL"}, "encode", (1, 3, 6, 4),
                    {}),
}

CLASSES = {"UNet2DModel": UNet2DModel, "AutoencoderTiny": AutoencoderTiny,
           "AutoencoderKL": AutoencoderKL, "ControlNetModel": ControlNetModel,
           "UNet2DConditionModel": UNet2DConditionModel}


def stored_name(name, old):
    if old and ".attentions." in name:
        for new, was in OLD.items():
            name = name.replace(f".{new}.", f".{was}.")
    return name


def load(config, dtype, old, prefix=""):
    """The net as diffusers itself reads it from a folder, and its tensors."""
    cls = CLASSES[config["_class_name"]]
    shapes = {stored_name(k, old): tuple(v.shape)
              for k, v in cls.from_config(config).state_dict().items()}
    tensors = {k: weight(prefix + k, s).to(DTYPE[dtype])
               for k, s in shapes.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "config.json").write_text(json.dumps(config))
        save_file(tensors, path / "diffusion_pytorch_model.safetensors",
                  metadata={"format": "pt"})
        net, info = cls.from_pretrained(folder, output_loading_info=True,
                                        torch_dtype=torch.float32)
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys")), info
    return net.eval(), {prefix + k: s for k, s in shapes.items()}


def decode(net, z):
    """As a pipeline: undo scale and shift, or mean and deviation."""
    c = net.config
    mean, std = c.get("latents_mean"), c.get("latents_std")
    if mean is not None and std is not None:
        mean = torch.tensor(mean, dtype=z.dtype).view(1, -1, 1, 1)
        std = torch.tensor(std, dtype=z.dtype).view(1, -1, 1, 1)
        z = z * std / c.scaling_factor + mean
    else:
        z = z / c.scaling_factor + (c.get("shift_factor") or 0)
    return net.decode(z).sample


def numbers(values, dtype):
    whole = all(float(v).is_integer() for v in values)
    return torch.tensor(values, dtype=torch.long if whole else dtype)


def given(net, x, tokens, ids, guide):
    """What a UNet2DConditionModel is told of a text, as its arguments."""
    n, c = len(x), net.config
    text = c.cross_attention_dim
    text = text[0] if isinstance(text, list) else text
    more = {"encoder_hidden_states":
            net_input((n, tokens, text), "text").to(x.dtype)}
    if ids:
        pooled = c.projection_class_embeddings_input_dim
        added = net_input((n, pooled), "added").to(x.dtype)
        pooled -= len(ids) * c.addition_time_embed_dim
        more["added_cond_kwargs"] = {
            "text_embeds": added[:, :pooled],
            "time_ids": torch.tensor([[i + s for i in ids] for s in range(n)])}
    if guide:
        more["timestep_cond"] = net_input((n, c.time_cond_proj_dim),
                                          "guide").to(x.dtype)
    return more


def add_controls(controls, x, time, more):
    """What the control nets, (net, scale) each, add to a U-Net."""
    more = dict(more)
    for i, (net, scale) in enumerate(controls):
        c = net.config
        size = 2 ** (len(c.conditioning_embedding_out_channels) - 1)
        shape = (len(x), c.conditioning_channels, size * x.shape[2],
                 size * x.shape[3])
        told = {k: v for k, v in more.items() if "residual" not in k}
        down, mid = net(x, time, controlnet_cond=net_input(
            shape, f"hint{i}").to(x.dtype), conditioning_scale=scale,
            return_dict=False, **told)
        before = more.get("down_block_additional_residuals", [0] * len(down))
        more["down_block_additional_residuals"] = [
            a + b for a, b in zip(before, down)]
        more["mid_block_additional_residual"] = mid + more.get(
            "mid_block_additional_residual", 0)
    return more


@torch.no_grad()
def evaluate(net, part, x, time=None, label=None, tokens=None, ids=None,
             guide=False, controls=()):
    if part == "decode":
        return decode(net, x)
    if part == "encode" and isinstance(net, AutoencoderKL):
        return net.encode(x).latent_dist.parameters
    if part == "encode":
        return net.encode(x).latents
    more = {"class_labels": numbers(label, x.dtype)} if label else {}
    if tokens:
        more |= given(net, x, tokens, ids, guide)
    time = numbers(time, x.dtype)
    more = add_controls(controls, x, time, more)
    return net(x, time, **more).sample


def to_double(net):
    """float64, to know how far float32 is off. diffusers does not cast the
    sinusoids of a label."""
    if net.config.get("class_embed_type") == "timestep":
        net.class_embedding.register_forward_pre_hook(
            lambda _, args: (args[0].double(),))
    return net.double()


def write(path, name, tensor, metadata):
    """A safetensors file of one float32 tensor; the same call, the same
    bytes, which safetensors' own writer does not promise."""
    data = tensor.contiguous().numpy().astype("<f4").tobytes()
    head = json.dumps({"__metadata__": metadata, name: {
        "dtype": "F32", "shape": list(tensor.shape),
        "data_offsets": [0, len(data)]}}).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(len(head).to_bytes(8, "little") + head + data)


def distance(a, b):
    """Relative root mean square of the difference."""
    return ((a.double() - b.double()).square().mean().sqrt()
            / b.double().square().mean().sqrt()).item()


def net_case(name):
    config, part, shape, more = NETS[name]
    more = dict(more)
    dtype, old = more.pop("dtype", "F32"), more.pop("old", False)
    net, shapes = load(config, dtype, old)
    said = {k: v for k, v in more.items() if k != "controls"}
    controls = []
    for i, (c, scale) in enumerate(more.pop("controls", [])):
        copy, extra = load(c, dtype, False, f"control{i}.")
        controls.append((copy, scale))
        shapes |= extra
        said |= {f"control{i}": json.dumps(c), f"scale{i}": scale}
    x = net_input(shape)
    y = evaluate(net, part, x, controls=controls, **more)
    exact = evaluate(to_double(net), part, x.double(), controls=[
        (to_double(c), s) for c, s in controls], **more)
    print(f"{name:24} {str(tuple(y.shape)):18} rms {y.square().mean().sqrt():8.4f}"
          f"  float32 against float64 {distance(y, exact):.1e}")
    meta = {"config": json.dumps(config), "part": part,
            "input": ",".join(map(str, shape)),
            "tensors": "".join(f"{k} {dtype} {'x'.join(map(str, s))};"
                               for k, s in shapes.items()),
            "diffusers": diffusers.__version__}
    meta |= {k: ",".join(map(str, v)) if isinstance(v, list) else str(v)
             for k, v in said.items() if k != "guide"}
    return y, meta


# ---- whole samplings of the demo models ----------------------------------------

SCHEDULERS = {
    "ddim": diffusers.DDIMScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "euler_a": diffusers.EulerAncestralDiscreteScheduler,
    "heun": diffusers.HeunDiscreteScheduler,
    "dpmpp_2m": diffusers.DPMSolverMultistepScheduler,
}

# name: model, solver, label, seed, width, height, eta
DEMOS = {
    "strong": ("strong", "ddim", 2, 7, 256, 256, 0),
    "weak": ("weak", "ddim", 9, 11, 256, 256, 0),
    "half_a": ("half_a", "ddim", 1, 5, 256, 256, 0),
    "half_b": ("half_b", "ddim", 7, 3, 256, 256, 0),
    "strong_wide": ("strong", "ddim", 5, 21, 320, 192, 0),
    "strong_euler": ("strong", "euler", 0, 1, 128, 128, 0),
    "strong_euler_a": ("strong", "euler_a", 3, 2, 128, 128, 0),
    "strong_heun": ("strong", "heun", 4, 3, 128, 128, 0),
    "strong_dpmpp_2m": ("strong", "dpmpp_2m", 6, 4, 128, 128, 0),
    "strong_ddim_eta": ("strong", "ddim", 8, 2**32 - 1, 128, 128, .6),
}
PICTURES = ["strong", "weak", "strong_wide"]
STEPS, GUIDANCE, NULL = 30, 2.0, 10


@torch.no_grad()
def sample(model, solver, label, seed, width, height, eta):
    net = UNet2DModel.from_pretrained(DEMO / model).float().eval()
    base = diffusers.DDIMScheduler.from_pretrained(DEMO / "scheduler")
    sch = SCHEDULERS[solver].from_config(base.config)
    sch.set_timesteps(STEPS)
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn((1, 4, height // 4, width // 4), generator=rng)
    x = x * sch.init_noise_sigma
    more = {"generator": rng} if solver in ("ddim", "euler", "euler_a") else {}
    if solver == "ddim":
        more["eta"] = eta
    for t in sch.timesteps:
        xi = sch.scale_model_input(x, t)
        e = net(torch.cat([xi, xi]), t,
                class_labels=torch.tensor([label, NULL])).sample
        e = e[1:] + GUIDANCE * (e[:1] - e[1:])
        x = sch.step(e, t, x, **more).prev_sample
    return x


def demo_case(name):
    model, solver, label, seed, width, height, eta = DEMOS[name]
    x = sample(*DEMOS[name])
    print(f"{name:24} {str(tuple(x.shape)):18} std {x.std():.4f}")
    meta = dict(model=model, solver=solver, label=label, seed=seed, width=width,
                height=height, steps=STEPS, guidance=GUIDANCE,
                null_label=NULL, rng="torch-cpu",
                diffusers=diffusers.__version__)
    if eta:
        meta["eta"] = eta
    return x, {k: str(v) for k, v in meta.items()}


@torch.no_grad()
def picture(latents):
    vae = AutoencoderTiny.from_pretrained(DEMO / "vae").float().eval()
    image = (decode(vae, latents) / 2 + .5).clamp(0, 1)
    image = image[0].permute(1, 2, 0).numpy()
    return (image * 255).round().astype("uint8")  # half to even


# ---- commands --------------------------------------------------------------------

def write_nets(out, names):
    for name in names or NETS:
        y, meta = net_case(name)
        write(out / f"net_{name}.safetensors", "output", y, meta)


def write_demo(out):
    from PIL import Image
    for name in DEMOS:
        x, meta = demo_case(name)
        write(out / f"demo_{name}.safetensors", "latents", x, meta)
        if name in PICTURES:
            Image.fromarray(picture(x)).save(
                out / f"demo_{name}.png", optimize=True)


def check():
    """Recompute everything that is stored here."""
    worst = 0.
    for kind, names, make, key in (("net", NETS, net_case, "output"),
                                   ("demo", DEMOS, demo_case, "latents")):
        for name in names:
            y, meta = make(name)
            with safe_open(HERE / f"{kind}_{name}.safetensors", "pt") as f:
                was = f.metadata()
                assert {k: v for k, v in was.items() if k != "diffusers"} == \
                    {k: v for k, v in meta.items() if k != "diffusers"}, name
                worst = max(worst, distance(f.get_tensor(key), y))
    print(f"worst relative difference {worst:.1e}")
    return worst < 1e-4


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("what", choices=["nets", "demo", "check"])
    ap.add_argument("names", nargs="*", help="nets: these alone")
    ap.add_argument("--out", type=pathlib.Path, default=HERE)
    ap.add_argument("--threads", type=int, default=2)
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    if a.what == "check":
        raise SystemExit(0 if check() else 1)
    a.out.mkdir(parents=True, exist_ok=True)
    if a.what == "nets":
        write_nets(a.out, a.names)
    else:
        write_demo(a.out)


if __name__ == "__main__":
    main()
