"""Goldens of checkpoints in one file: what diffusers makes of the original
layout of Stable Diffusion 1, 2, XL, XL's refiner and of control nets, for
tests/core/test_original.c.

    python tests/golden/original.py        # original.txt

needs torch, diffusers and transformers. The nets are small and have all that
the families have. For each kind the file says

    kind NAME DTYPE
    config COMPONENT JSON     config.json as diffusers infers it, the keys that
                              shapes decide
    t NAME SHAPE              every tensor of the checkpoint, in its order
    = COMPONENT NAME SHAPE SUM
                              every tensor of diffusers' conversion

Element i of tensor number t of a checkpoint is value(t, i); SUM is over a
tensor's words: the sum of (i + 1) * word[i], modulo 2^64. Every conversion is
loaded into the class that it is for, which takes all of it and misses nothing.
"""
import inspect
import json
import pathlib

import numpy as np
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.loaders import single_file_utils as single
from transformers import (CLIPTextConfig, CLIPTextModel,
                          CLIPTextModelWithProjection)

HERE = pathlib.Path(__file__).parent
DTYPES = {"F32": (np.float32, np.uint32), "F16": (np.float16, np.uint16)}


def value(number, count, dtype):
    """Multiples of 2^-10 from -1 to 1, exact in every type."""
    with np.errstate(over="ignore"):
        h = (np.uint32(number) * np.uint32(0x9E3779B1)
             + np.arange(count, dtype=np.uint32) * np.uint32(0x85EBCA77))
        h ^= h >> np.uint32(15)
        h *= np.uint32(0x2C1B3C6D)
        h ^= h >> np.uint32(12)
    return (((h & np.uint32(2047)).astype(np.float32) - 1024) / 1024).astype(
        DTYPES[dtype][0])


def total(tensor, dtype):
    words = tensor.contiguous().numpy().reshape(-1).view(DTYPES[dtype][1])
    index = np.arange(1, words.size + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        return int((words.astype(np.uint64) * index).sum(dtype=np.uint64))


# ---------------------------------------------------- the original's layout
class Shapes(dict):
    def linear(self, name, cout, cin, bias=True):
        self[name + ".weight"] = (cout, cin)
        if bias:
            self[name + ".bias"] = (cout,)

    def conv(self, name, cout, cin, k):
        self[name + ".weight"] = (cout, cin, k, k)
        self[name + ".bias"] = (cout,)

    def norm(self, name, c):
        self[name + ".weight"] = self[name + ".bias"] = (c,)

    def unet_resnet(self, p, cin, cout, emb):
        self.norm(p + ".in_layers.0", cin)
        self.conv(p + ".in_layers.2", cout, cin, 3)
        self.linear(p + ".emb_layers.1", cout, emb)
        self.norm(p + ".out_layers.0", cout)
        self.conv(p + ".out_layers.3", cout, cout, 3)
        if cin != cout:
            self.conv(p + ".skip_connection", cout, cin, 1)

    def transformer(self, p, c, depth, context, linear):
        self.norm(p + ".norm", c)
        project = self.linear if linear else (
            lambda name, a, b: self.conv(name, a, b, 1))
        project(p + ".proj_in", c, c)
        for d in range(depth):
            b = f"{p}.transformer_blocks.{d}"
            for attn, width in (("attn1", c), ("attn2", context)):
                self.linear(f"{b}.{attn}.to_q", c, c, False)
                self.linear(f"{b}.{attn}.to_k", c, width, False)
                self.linear(f"{b}.{attn}.to_v", c, width, False)
                self.linear(f"{b}.{attn}.to_out.0", c, c)
            self.linear(b + ".ff.net.0.proj", 8 * c, c)
            self.linear(b + ".ff.net.2", c, 4 * c)
            for i in (1, 2, 3):
                self.norm(f"{b}.norm{i}", c)
        project(p + ".proj_out", c, c)

    def look(self, name, u, level, width):
        depth = u["transformer_depth"]
        self.transformer(name, width,
                         depth if isinstance(depth, int) else depth[level],
                         u["context_dim"],
                         u.get("use_linear_in_transformer", False))

    def half(self, p, u):
        """A U-Net's way down and its middle; the widths of what is kept."""
        c, emb = u["model_channels"], 4 * u["model_channels"]
        layers, levels = u["num_res_blocks"], len(u["channel_mult"])
        self.linear(p + "time_embed.0", emb, c)
        self.linear(p + "time_embed.2", emb, emb)
        if "adm_in_channels" in u:
            self.linear(p + "label_emb.0.0", emb, u["adm_in_channels"])
            self.linear(p + "label_emb.0.2", emb, emb)
        self.conv(p + "input_blocks.0.0", c, u["in_channels"], 3)
        skips, at, width = [c], 1, c
        for level, mult in enumerate(u["channel_mult"]):
            for _ in range(layers):
                b = f"{p}input_blocks.{at}"
                self.unet_resnet(b + ".0", width, c * mult, emb)
                width = c * mult
                if 2 ** level in u["attention_resolutions"]:
                    self.look(b + ".1", u, level, width)
                skips.append(width)
                at += 1
            if level + 1 < levels:
                self.conv(f"{p}input_blocks.{at}.0.op", width, width, 3)
                skips.append(width)
                at += 1
        self.unet_resnet(p + "middle_block.0", width, width, emb)
        self.look(p + "middle_block.1", u, levels - 1, width)
        self.unet_resnet(p + "middle_block.2", width, width, emb)
        return skips

    def control(self, p, u):
        skips = self.half(p, u)
        for i, width in enumerate(skips):
            self.conv(f"{p}zero_convs.{i}.0", width, width, 1)
        hint = [u["hint_channels"], 16, 16, 32, 32, 96, 96, 256, skips[0]]
        for i in range(8):
            self.conv(f"{p}input_hint_block.{2 * i}", hint[i + 1], hint[i], 3)
        self.conv(p + "middle_block_out.0", skips[-1], skips[-1], 1)

    def unet(self, p, u):
        c, emb = u["model_channels"], 4 * u["model_channels"]
        layers, levels = u["num_res_blocks"], len(u["channel_mult"])
        skips = self.half(p, u)
        width = skips[-1]
        at = 0
        for level in reversed(range(levels)):
            mult = u["channel_mult"][level]
            for i in range(layers + 1):
                b = f"{p}output_blocks.{at}"
                self.unet_resnet(b + ".0", width + skips.pop(), c * mult, emb)
                width = c * mult
                sees = 2 ** level in u["attention_resolutions"]
                if sees:
                    self.look(b + ".1", u, level, width)
                if level and i == layers:
                    self.conv(f"{b}.{1 + sees}.conv", width, width, 3)
                at += 1
        self.norm(p + "out.0", width)
        self.conv(p + "out.2", u["out_channels"], width, 3)

    def vae_resnet(self, p, cin, cout):
        self.norm(p + ".norm1", cin)
        self.conv(p + ".conv1", cout, cin, 3)
        self.norm(p + ".norm2", cout)
        self.conv(p + ".conv2", cout, cout, 3)
        if cin != cout:
            self.conv(p + ".nin_shortcut", cout, cin, 1)

    def vae_middle(self, p, c):
        self.vae_resnet(p + ".block_1", c, c)
        self.norm(p + ".attn_1.norm", c)
        for name in ("q", "k", "v", "proj_out"):
            self.conv(f"{p}.attn_1.{name}", c, c, 1)
        self.vae_resnet(p + ".block_2", c, c)

    def vae(self, p, v):
        ch, mults, z = v["ch"], v["ch_mult"], v["z_channels"]
        self.conv(p + "encoder.conv_in", ch, v["in_channels"], 3)
        width = ch
        for level, mult in enumerate(mults):
            for i in range(v["num_res_blocks"]):
                self.vae_resnet(f"{p}encoder.down.{level}.block.{i}", width,
                                ch * mult)
                width = ch * mult
            if level + 1 < len(mults):
                self.conv(f"{p}encoder.down.{level}.downsample.conv", width,
                          width, 3)
        for side in ("encoder", "decoder"):
            self.vae_middle(f"{p}{side}.mid", width)
        self.norm(p + "encoder.norm_out", width)
        self.conv(p + "encoder.conv_out", 2 * z, width, 3)
        self.conv(p + "decoder.conv_in", width, z, 3)
        for level in reversed(range(len(mults))):
            for i in range(v["num_res_blocks"] + 1):
                self.vae_resnet(f"{p}decoder.up.{level}.block.{i}", width,
                                ch * mults[level])
                width = ch * mults[level]
            if level:
                self.conv(f"{p}decoder.up.{level}.upsample.conv", width, width,
                          3)
        self.norm(p + "decoder.norm_out", width)
        self.conv(p + "decoder.conv_out", v["out_ch"], width, 3)
        self.conv(p + "quant_conv", 2 * z, 2 * z, 1)
        self.conv(p + "post_quant_conv", z, z, 1)

    def clip(self, p, t):
        c, inner = t["hidden_size"], t["intermediate_size"]
        self[p + "embeddings.token_embedding.weight"] = (t["vocab_size"], c)
        self[p + "embeddings.position_embedding.weight"] = (
            t["max_position_embeddings"], c)
        for i in range(t["num_hidden_layers"]):
            b = f"{p}encoder.layers.{i}"
            for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                self.linear(f"{b}.self_attn.{name}", c, c)
            self.linear(b + ".mlp.fc1", inner, c)
            self.linear(b + ".mlp.fc2", c, inner)
            self.norm(b + ".layer_norm1", c)
            self.norm(b + ".layer_norm2", c)
        self.norm(p + "final_layer_norm", c)

    def open_clip(self, p, t, layers):
        c, inner = t["hidden_size"], t["intermediate_size"]
        self[p + "positional_embedding"] = (t["max_position_embeddings"], c)
        self[p + "text_projection"] = (c, t["projection_dim"])
        self[p + "logit_scale"] = ()
        self[p + "token_embedding.weight"] = (t["vocab_size"], c)
        for i in range(layers):
            b = f"{p}transformer.resblocks.{i}"
            self[b + ".attn.in_proj_weight"] = (3 * c, c)
            self[b + ".attn.in_proj_bias"] = (3 * c,)
            self.linear(b + ".attn.out_proj", c, c)
            self.linear(b + ".mlp.c_fc", inner, c)
            self.linear(b + ".mlp.c_proj", c, inner)
            self.norm(b + ".ln_1", c)
            self.norm(b + ".ln_2", c)
        self.norm(p + "ln_final", c)


# ----------------------------------------------------------------- the kinds
def text(cls, hidden, layers, act, projection=0):
    more = {"projection_dim": projection} if projection else {}
    return {"architectures": [cls], "hidden_act": act, "vocab_size": 50,
            "max_position_embeddings": 9, "hidden_size": hidden,
            "intermediate_size": 2 * hidden, "num_hidden_layers": layers,
            "num_attention_heads": hidden // 64, "eos_token_id": 2, **more}


def autoencoder(layers, mults):
    return {"ch": 32, "ch_mult": mults, "num_res_blocks": layers,
            "z_channels": 4, "in_channels": 3, "out_ch": 3}


def denoiser(channels, mults, layers, seen, context, depth=1, **more):
    return {"model_channels": channels, "channel_mult": mults,
            "num_res_blocks": layers, "attention_resolutions": seen,
            "context_dim": context, "transformer_depth": depth,
            "in_channels": 4, "out_channels": 4, **more}


LINEAR = {"use_linear_in_transformer": True, "num_head_channels": 64}
G = "CLIPTextModelWithProjection"

# kind: type, U-Net, autoencoder, factor, and of each text encoder: component,
# what its names begin with, whether they are OpenCLIP's, config, layers in the
# file
KINDS = {
    "sd1": ("F32", denoiser(32, [1, 2], 2, [1], 64, num_heads=8,
                            in_channels=9),
            autoencoder(2, [1, 2]), 0.18215,
            [("text_encoder", "cond_stage_model.transformer.text_model.",
              False, text("CLIPTextModel", 64, 2, "quick_gelu"), 2)]),
    "sd2": ("F16", denoiser(64, [1, 2], 1, [1], 64, **LINEAR),
            autoencoder(1, [1, 2, 2]), 0.18215,
            [("text_encoder", "cond_stage_model.model.", True,
              text("CLIPTextModel", 64, 23, "gelu", 64), 24)]),
    "xl": ("F16", denoiser(64, [1, 2, 2], 1, [2, 4], 2048, [1, 1, 2],
                           num_classes="sequential", adm_in_channels=96,
                           **LINEAR),
           autoencoder(1, [1, 2]), 0.13025,
           [("text_encoder", "conditioner.embedders.0.transformer.text_model.",
             False, text("CLIPTextModel", 64, 1, "quick_gelu"), 1),
            ("text_encoder_2", "conditioner.embedders.1.model.", True,
             text(G, 128, 2, "gelu", 96), 2)]),
    "refiner": ("F32", denoiser(64, [1, 2, 2], 1, [2], 1280, 2,
                                num_classes="sequential", adm_in_channels=80,
                                **LINEAR),
                autoencoder(1, [1, 1]), 0.13025,
                [("text_encoder_2", "conditioner.embedders.0.model.", True,
                  text(G, 64, 2, "gelu", 64), 2)]),
}


# Control nets: type, what their names begin with, the U-Net that they follow
CONTROLS = {
    "control1": ("F32", "control_model.",
                 denoiser(32, [1, 2], 2, [1, 2], 64, num_heads=8,
                          hint_channels=3)),
    "controlxl": ("F16", "",
                  denoiser(64, [1, 2, 2], 1, [2, 4], 2048, [1, 1, 2],
                           num_classes="sequential", adm_in_channels=96,
                           hint_channels=3, **LINEAR)),
}


def shapes(unet, vae, encoders):
    s = Shapes()
    s["betas"] = (5,)
    s.unet("model.diffusion_model.", unet)
    s["model_ema.diffusion_modeltime_embed0bias"] = (3,)
    s.vae("first_stage_model.", vae)
    for _, prefix, is_open, config, layers in encoders:
        if is_open:
            s.open_clip(prefix, config, layers)
        else:
            s.clip(prefix, config)
            s[prefix + "embeddings.position_ids"] = (1, 9)
    return s


# --------------------------------------------------------- what diffusers does
def take_all(model, tensors):
    """All of it is used, and nothing is missing. Some text encoders are
    without the "text_model." before their names today."""
    own = model.state_dict()
    flat = not any(k.startswith("text_model.") for k in own)
    renamed = {k.removeprefix("text_model.") if flat else k: v.float()
               for k, v in tensors.items()}
    missing = own.keys() - renamed.keys()
    assert not missing and not renamed.keys() - own.keys(), (
        missing, renamed.keys() - own.keys())
    model.load_state_dict(renamed)


def convert_text(checkpoint, prefix, is_open, config):
    cls = (CLIPTextModelWithProjection if config["architectures"] == [G]
           else CLIPTextModel)
    model = cls(CLIPTextConfig(**config)).eval()
    if is_open:
        tensors = single.convert_open_clip_checkpoint(model, checkpoint,
                                                      prefix=prefix)
    else:
        tensors = single.convert_ldm_clip_checkpoint(
            {k: v for k, v in checkpoint.items() if k.startswith(prefix)})
    tensors.pop("text_model.embeddings.position_ids", None)
    if config["architectures"] != [G]:
        tensors.pop("text_projection.weight", None)
    take_all(model, tensors)
    return tensors


def unet_config(given, checkpoint):
    """diffusers knows XL's by a text as wide as the real ones' only."""
    config = single.create_unet_diffusers_config_from_ldm(given, checkpoint,
                                                          image_size=64)
    config.pop("sample_size")
    if config["class_embed_type"] == "projection":
        config |= {"class_embed_type": None, "addition_embed_type": "text_time",
                   "addition_time_embed_dim": 256}
    return config


def convert(kind, checkpoint):
    _, unet, vae, factor, encoders = kind
    given = {"model": {"params": {
        "unet_config": {"params": unet}, "scale_factor": factor,
        "first_stage_config": {"params": {"ddconfig": vae}}}}}
    config = unet_config(given, checkpoint)
    tensors = single.convert_ldm_unet_checkpoint(checkpoint, config)
    take_all(UNet2DConditionModel(**config), tensors)
    yield "unet", config, tensors
    config = single.create_vae_diffusers_config_from_ldm(given, checkpoint,
                                                         image_size=64)
    config.pop("sample_size")
    tensors = single.convert_ldm_vae_checkpoint(checkpoint, config)
    take_all(AutoencoderKL(**config), tensors)
    yield "vae", config, tensors
    for component, prefix, is_open, config, _ in encoders:
        yield component, config, convert_text(checkpoint, prefix, is_open,
                                              config)


def convert_control(unet, checkpoint):
    """diffusers infers no XL control net from this layout; the conversion is
    that of all."""
    vae = {"params": {"ddconfig": autoencoder(1, [1, 2])}}
    config = unet_config({"model": {"params": {
        "unet_config": {"params": unet}, "first_stage_config": vae}}},
        checkpoint)
    for key in ("out_channels", "up_block_types"):
        config.pop(key)
    config |= {"conditioning_channels": unet["hint_channels"],
               "conditioning_embedding_out_channels": [16, 32, 96, 256]}
    known = inspect.signature(ControlNetModel.__init__).parameters
    config = {k: v for k, v in config.items() if k in known}
    tensors = single.convert_controlnet_checkpoint(checkpoint, config)
    if "adm_in_channels" in unet:
        for i, layer in ((1, 0), (2, 2)):
            for kind in ("weight", "bias"):
                tensors[f"add_embedding.linear_{i}.{kind}"] = checkpoint[
                    f"label_emb.0.{layer}.{kind}"]
    take_all(ControlNetModel(**config), tensors)
    yield "controlnet", config, tensors


def by(shape):
    return "x".join(str(n) for n in shape) or "-"


def write(kind, dtype, names, make, out):
    out.append(f"kind {kind} {dtype}")
    checkpoint = {}
    for number, (name, shape) in enumerate(names.items()):
        count = int(np.prod(shape, dtype=np.int64))
        checkpoint[name] = torch.from_numpy(
            value(number, count, dtype).reshape(shape))
        out.append(f"t {name} {by(shape)}")
    for component, config, tensors in make(checkpoint):
        config = {k: v for k, v in config.items() if v is not None}
        out.append(f"config {component} {json.dumps(config)}")
        for name, t in tensors.items():
            out.append(f"= {component} {name} {by(t.shape)} {total(t, dtype)}")


def main():
    out = []
    for name, kind in KINDS.items():
        write(name, kind[0], shapes(kind[1], kind[2], kind[4]),
              lambda c, k=kind: convert(k, c), out)
    for name, (dtype, prefix, unet) in CONTROLS.items():
        names = Shapes()
        names.control(prefix, unet)
        write(name, dtype, names, lambda c, u=unet: convert_control(u, c), out)
    (HERE / "original.txt").write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
