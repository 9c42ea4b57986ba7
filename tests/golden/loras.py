"""Goldens of LoRA: what diffusers and PEFT make of nets with LoRAs, for
tests/core/test_lora.c.

    python tests/golden/loras.py            # lora_*.safetensors
    python tests/golden/loras.py NAME...    # these alone

needs torch, diffusers, transformers and peft. Nets, inputs and weights are
those of nets.py and text.py; the numbers of LoRAs are made in the same way,
but that matrices called up or B are divided by 16, so that a net changes by a
part only, and what ends in .alpha is 1 + floor(k / 16) / 4.

lora_NAME.safetensors holds "output" (of a text encoder "last" and "pooled")
and as metadata

    base      the golden of the net: "net_cond_sd15"
    part      unet | text_encoder | text_encoder_2
    lora0     "name dtype d0xd1..;" for every tensor of the first LoRA
    scale0    what it is multiplied by
    adapter0  its __metadata__ lora_adapter_metadata, if it has any
    config0   adapter_config.json beside it, if there is one
    lora1 ..  of the second
"""
import argparse
import json
import pathlib
import re
import tempfile

import torch
from safetensors.torch import save_file

import diffusers
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from peft import PeftModel

import nets
import text
from nets import DTYPE, HERE, distance


# ---- which layers, and what they are called -----------------------------------

def layers(net, pattern):
    """name: (out, in, kernel..) of the linear layers and convolutions."""
    return {n: tuple(m.weight.shape) for n, m in net.named_modules()
            if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d))
            and re.search(pattern, n)}


def original(name, per_block):
    """The original code's name of a module of an SDXL U-Net."""
    single = {"conv_in": "input_blocks.0.0", "conv_out": "out.2",
              "time_embedding.linear_1": "time_embed.0",
              "time_embedding.linear_2": "time_embed.2",
              "add_embedding.linear_1": "label_emb.0.0",
              "add_embedding.linear_2": "label_emb.0.2"}
    if name in single:
        return single[name]
    inner = {"conv1": "in_layers.2", "conv2": "out_layers.3",
             "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}
    kind, rest = name.split(".", 1)
    if kind == "mid_block":
        what, i, rest = rest.split(".", 2)
        block = 1 if what == "attentions" else 2 * int(i)
        return f"middle_block.{block}.{inner.get(rest, rest)}"
    level, what, i, rest = rest.split(".", 3)
    level, i = int(level), int(i)
    if kind == "down_blocks":
        first = 1 + level * (per_block + 1)
        if what == "downsamplers":
            return f"input_blocks.{first + per_block}.0.op"
        return (f"input_blocks.{first + i}.{int(what == 'attentions')}."
                f"{inner.get(rest, rest)}")
    first = level * (per_block + 1)
    if what == "upsamplers": # of SDXL's first two blocks, which have attention
        return f"output_blocks.{first + per_block}.2.conv"
    return (f"output_blocks.{first + i}.{int(what == 'attentions')}."
            f"{inner.get(rest, rest)}")


def processor(name):
    """As diffusers called attention's layers until 2023."""
    return re.sub(r"\.(to_[qkv]|to_out)(\.0)?$", r".processor.\1_lora", name)


def old_text(name):
    return re.sub(r"\.([qkv]|out)_proj$", r".to_\1_lora", name)


STYLES = {  # module name to the beginning of a tensor's; its ends
    "kohya": (lambda p, n: f"lora_{p}_" + n.replace(".", "_"),
              (".lora_down.weight", ".lora_up.weight")),
    "peft": (lambda p, n: f"base_model.model.{n}",
             (".lora_A.weight", ".lora_B.weight")),
    "adapter": (lambda p, n: f"base_model.model.{n}",
                (".lora_A.style.weight", ".lora_B.style.weight")),
    "ab": (lambda p, n: f"{p}.{n}", (".lora_A.weight", ".lora_B.weight")),
    "lora": (lambda p, n: f"{p}.{n}",
             (".lora.down.weight", ".lora.up.weight")),
    "processor": (lambda p, n: f"{p}.{processor(n)}",
                  (".down.weight", ".up.weight")),
    "linear": (lambda p, n: f"{p}.{n}", (".lora_linear_layer.down.weight",
                                         ".lora_linear_layer.up.weight")),
    "old_text": (lambda p, n: f"{p}.{old_text(n)}",
                 (".down.weight", ".up.weight")),
}


def tensors(found, part, style, rank, alpha, rename=lambda n: n):
    """name: shape of a LoRA of these layers; convolutions have half the
    rank."""
    begin, (down, up) = STYLES[style]
    out = {}
    for name, (cout, *rest) in found.items():
        r = rank if len(rest) == 1 else max(rank // 2, 1)
        base = begin(part, rename(name))
        out[base + down] = (r, *rest)
        out[base + up] = (cout, r, *[1] * (len(rest) - 1))
        if alpha:
            out[base + ".alpha"] = ()
    return out


def number(name, shape):
    if name.endswith(".alpha"):
        return torch.tensor(1 + (int(nets.bits(name, 1)[0]) >> 60) / 4)
    up = name.endswith("up.weight") or "lora_B" in name
    return nets.weight(name, shape) / (16 if up else 1)


# ---- cases ---------------------------------------------------------------------

ATTENTION = r"attn\d\.to_|\.ff\.net|proj_in|proj_out"
CONV = r"resnets|samplers|conv_in|conv_out|time_emb|add_emb"
TEXT = r"self_attn|mlp|text_projection"


def full_text_name(name):
    """transformers drops text_model. from the names of some classes."""
    return name if name.startswith("text_") else "text_model." + name


def sgm(name):
    return original(name, 2)


# name: base, part, [(style, pattern, rank, alpha, scale, dtype, more)]
CASES = {
    "sd15_kohya": ("net_cond_sd15", "unet", [
        ("kohya", ATTENTION + "|" + CONV, 4, True, .8, "F16", {})]),
    "sd15_negative": ("net_cond_sd15", "unet", [
        ("kohya", ATTENTION, 3, True, -1.5, "F32", {})]),
    "sd15_processor": ("net_cond_sd15", "unet", [
        ("processor", r"attn\d\.to_", 4, False, 1.25, "F32", {})]),
    "sd15_two": ("net_cond_sd15", "unet", [
        ("kohya", r"attn1|ff|resnets", 6, True, .5, "BF16", {}),
        ("ab", r"attn\d\.to_[kv]|conv1", 2, False, -.75, "F32", {})]),
    "sd15_metadata": ("net_cond_sd15", "unet", [
        ("ab", r"attn\d\.to_", 4, False, 1, "F32", dict(adapter={
            "unet.r": 4, "unet.lora_alpha": 7, "unet.use_rslora": True,
            "unet.alpha_pattern": {"attn1.to_q": 2.5},
            "unet.target_modules": ["to_q", "to_k", "to_v", "to_out.0"]}))]),
    "sd15_peft": ("net_cond_sd15", "unet", [
        ("peft", r"attn\d\.to_|conv2", 4, False, 1, "F32", dict(config={
            "peft_type": "LORA", "r": 4, "lora_alpha": 6,
            "rank_pattern": {"conv2": 2}, "alpha_pattern": {"to_k": 9},
            "target_modules": ["to_q", "to_k", "to_v", "to_out.0",
                               "conv2"]}))]),
    "sd21_lora": ("net_cond_sd21", "unet", [
        ("lora", ATTENTION, 5, False, .6, "F32", {})]),
    "sdxl_kohya": ("net_cond_sdxl", "unet", [
        ("kohya", ATTENTION + "|" + CONV, 4, True, .8, "F16",
         dict(rename=sgm))]),
    "sdxl_ab": ("net_cond_sdxl", "unet", [
        ("ab", ATTENTION, 8, False, 1.5, "BF16", {})]),
    "clip_l_kohya": ("text_clip_l", "text_encoder", [
        ("kohya", TEXT, 4, True, 1.2, "F16", dict(part="te"))]),
    "clip_l_te1": ("text_clip_l", "text_encoder", [
        ("kohya", TEXT, 2, True, -.5, "F32", dict(part="te1"))]),
    "clip_l_old": ("text_clip_l", "text_encoder", [
        ("old_text", r"self_attn", 4, False, .7, "F32", {})]),
    "clip_h_linear": ("text_clip_h", "text_encoder", [
        ("linear", TEXT, 4, False, .9, "F32", {})]),
    "clip_g_te2": ("text_clip_g", "text_encoder_2", [
        ("kohya", TEXT, 4, True, .8, "F16", dict(part="te2"))]),
    "clip_g_ab": ("text_clip_g", "text_encoder_2", [
        ("ab", r"self_attn|mlp", 3, False, -1, "F32", {})]),
}


def load_net(base):
    kind, name = base.split("_", 1)
    if kind == "net":
        config, _, shape, more = nets.NETS[name]
        more = dict(more)
        net, _ = nets.load(config, more.pop("dtype", "F32"), False)
        return net, lambda n: {"output": nets.evaluate(
            n, "net", nets.net_input(shape), **more)}
    config, ids, dtype, prefixed = text.CASES[name]
    net, _ = text.load(config, dtype, prefixed)
    return net, lambda n: {k: v for k, v in text.evaluate(n, ids).items()
                           if k in ("last", "pooled")}


def add_lora(net, part, folder, adapter, names):
    """Into the net, not yet active; the net, or PEFT's in its place."""
    path = folder / "adapter_model.safetensors"
    if (folder / "adapter_config.json").exists():
        return PeftModel.from_pretrained(net, folder, adapter_name=adapter)
    pipe = (StableDiffusionXLPipeline if any("_blocks_4_1_" in n or "te2" in n
                                             or "_2." in n for n in names)
            else StableDiffusionPipeline)
    state, alphas, metadata = pipe.lora_state_dict(
        path, return_lora_metadata=True,
        unet_config=net.config if part == "unet" else None)
    if part == "unet":
        pipe.load_lora_into_unet(state, alphas, net, adapter_name=adapter,
                                 metadata=metadata)
    else:
        pipe.load_lora_into_text_encoder(
            state, alphas, net, prefix=part, adapter_name=adapter,
            metadata=metadata)
    return net


def set_alphas(net, adapter, found, alpha_of):
    """diffusers 0.42 passes over the alphas of attention's layers where they
    differ from the commonest (PEFT warns that their names match nothing), so
    each is set as the file has it."""
    modules = dict(net.named_modules())
    for name in found:
        modules[name].lora_alpha[adapter] = alpha_of(name)
        modules[name].set_scale(adapter, 1)


def make(name, out):
    base, part, loras = CASES[name]
    net, evaluate = load_net(base)
    plain = evaluate(net)
    meta = {"base": base, "part": part, "diffusers": diffusers.__version__}
    everything = layers(net, "")
    scales = []
    for i, (style, pattern, rank, alpha, scale, dtype, more) in enumerate(loras):
        found = {n: s for n, s in everything.items() if re.search(pattern, n)}
        prefix = more.get("part", part)
        rename = (more.get("rename", lambda n: n) if part == "unet"
                  else full_text_name)
        shapes = tensors(found, prefix, style, rank, alpha, rename)
        values = {k: number(k, s).to(DTYPE[dtype]) for k, s in shapes.items()}
        with tempfile.TemporaryDirectory() as tmp:
            folder = pathlib.Path(tmp)
            extra = {"format": "pt"}
            if "adapter" in more:
                extra["lora_adapter_metadata"] = json.dumps(more["adapter"])
                meta[f"adapter{i}"] = extra["lora_adapter_metadata"]
            if "config" in more:
                meta[f"config{i}"] = json.dumps(more["config"])
                (folder / "adapter_config.json").write_text(
                    meta[f"config{i}"])
            save_file({k: v.contiguous() for k, v in values.items()},
                      folder / "adapter_model.safetensors", metadata=extra)
            net = add_lora(net, part, folder, f"a{i}", shapes)
        if alpha:
            set_alphas(net, f"a{i}", found, lambda n: float(
                values[STYLES[style][0](prefix, rename(n)) + ".alpha"]))
        scales.append(scale)
        meta |= {f"scale{i}": str(scale), f"lora{i}": "".join(
            f"{k} {dtype} {'x'.join(map(str, s))};" for k, s in shapes.items())}
    if not isinstance(net, PeftModel):
        adapters = [f"a{i}" for i in range(len(loras))]
        if part == "unet":
            net.set_adapters(adapters, scales)
        else:
            diffusers.loaders.lora_base.set_adapters_for_text_encoder(
                adapters, net, scales)
    y = evaluate(net.eval())
    print(f"{name:16}", *(f"{k} moved {distance(y[k], plain[k]):.2f}"
                          for k in y))
    text.write(out / f"lora_{name}.safetensors", y, meta)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("names", nargs="*")
    ap.add_argument("--out", type=pathlib.Path, default=HERE)
    a = ap.parse_args()
    for name in a.names or CASES:
        make(name, a.out)


if __name__ == "__main__":
    main()
