"""Goldens of text encoders: what transformers computes, for
tests/core/test_text.c.

    python tests/golden/text.py            # text_*.safetensors
    python tests/golden/text.py NAME...    # these alone

needs torch and transformers. Float32 on the CPU; weights and how they are made
as in nets.py. text_NAME.safetensors holds, for encoders of random weights,

    last      what all layers make of the text, after the last norm
    skip1     without the last layer, no norm (as SDXL)
    skip2     without the last two, with the norm (clip skip of SD)
    pooled    the vector for the text, projected where the class does it; T5
              makes none

and as metadata

    config    text of config.json
    tensors   "name dtype d0xd1x..;" for every tensor of the checkpoint
    ids       token ids, samples one after the other
    length    T5: tokens of a sample
"""
import argparse
import json
import pathlib
import tempfile

import torch
import transformers
from safetensors.torch import save_file
from transformers import (CLIPTextConfig, CLIPTextModel,
                          CLIPTextModelWithProjection, T5Config,
                          T5EncoderModel)

from nets import DTYPE, HERE, distance, weight

CLASSES = {"CLIPTextModel": CLIPTextModel,
           "CLIPTextModelWithProjection": CLIPTextModelWithProjection,
           "T5EncoderModel": T5EncoderModel}
BOS, EOS = 98, 99


def config(cls, **more):
    return {"architectures": [cls], "model_type": "clip_text_model",
            "vocab_size": 100, "hidden_size": 32, "intermediate_size": 48,
            "num_hidden_layers": 4, "num_attention_heads": 4,
            "max_position_embeddings": 77, "projection_dim": 24,
            "bos_token_id": BOS, **more}


def t5_config(**more):
    return {"architectures": ["T5EncoderModel"], "model_type": "t5",
            "vocab_size": 100, "d_model": 24, "d_kv": 8, "d_ff": 40,
            "num_layers": 4, "num_heads": 2, **more}


def prompt(text, length, pad):
    ids = [BOS, *text, EOS]
    return ids + [pad] * (length - len(ids))


# name: config, ids, dtype, whether names begin with "text_model."
CASES = {
    "clip_l": (config("CLIPTextModel", eos_token_id=2, hidden_act="quick_gelu"),
               [prompt([5, 17, 17, 80], 77, EOS), prompt([], 77, EOS)], "F16",
               True),
    "clip_h": (config("CLIPTextModel", eos_token_id=EOS, hidden_act="gelu",
                      hidden_size=40, num_attention_heads=5,
                      layer_norm_eps=1e-4),
               [prompt(list(range(1, 76)), 77, 0), prompt([3, 0, 7], 77, 0)],
               "F32", False),
    "clip_g": (config("CLIPTextModelWithProjection", eos_token_id=EOS,
                      hidden_act="gelu"),
               [prompt([44, 45], 77, 0)], "BF16", True),
    "clip_old_g": (config("CLIPTextModelWithProjection", eos_token_id=2,
                          hidden_act="gelu", max_position_embeddings=20),
                   [prompt([9, 9, 9], 20, 0), prompt([1], 20, EOS)], "F32",
                   True),
    # T5 as Stable Diffusion 3 asks it, T5 as it was first, and a text that is
    # longer than a block of keys; few buckets, wide heads.
    "t5_gated": (t5_config(feed_forward_proj="gated-gelu", num_heads=4),
                 [[5, 17, 17, 80, 1] + [0] * 27, list(range(32))], "F32", False),
    "t5_relu": (t5_config(feed_forward_proj="relu", d_kv=20,
                          relative_attention_num_buckets=8,
                          relative_attention_max_distance=20,
                          layer_norm_epsilon=1e-5),
                [[3, 1] + [0] * 48], "F16", False),
    "t5_long": (t5_config(feed_forward_proj="gated-gelu", num_heads=3),
                [[i * i % 97 for i in range(300)]], "BF16", False),
}


def checkpoint_name(name, prefixed):
    if name.startswith(("text_projection", "shared", "encoder.")):
        return name
    name = name.removeprefix("text_model.")
    return f"text_model.{name}" if prefixed else name


def load(conf, dtype, prefixed):
    cls = CLASSES[conf["architectures"][0]]
    config_of = T5Config if cls is T5EncoderModel else CLIPTextConfig
    net = cls(config_of(**{k: v for k, v in conf.items()
                           if k != "architectures"}))
    shapes = {checkpoint_name(k, prefixed): tuple(v.shape)
              for k, v in net.state_dict().items()
              if k != "encoder.embed_tokens.weight"} # is shared.weight
    tensors = {k: weight(k, s).to(DTYPE[dtype]) for k, s in shapes.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "config.json").write_text(json.dumps(conf))
        save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
        net, info = cls.from_pretrained(folder, output_loading_info=True,
                                        dtype=torch.float32)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    return net.eval(), shapes


@torch.no_grad()
def evaluate(net, ids):
    out = net(torch.tensor(ids), output_hidden_states=True)
    if isinstance(net, T5EncoderModel):
        return {"last": out.last_hidden_state, "skip1": out.hidden_states[-2],
                "skip2": net.encoder.final_layer_norm(out.hidden_states[-3])}
    inner = getattr(net, "text_model", net)
    return {"last": out.last_hidden_state, "skip1": out.hidden_states[-2],
            "skip2": inner.final_layer_norm(out.hidden_states[-3]),
            "pooled": out.text_embeds if "text_embeds" in out
            else out.pooler_output}


def write(path, tensors, metadata):
    head, data = {"__metadata__": metadata}, b""
    for name, t in tensors.items():
        begin = len(data)
        data += t.contiguous().numpy().astype("<f4").tobytes()
        head[name] = {"dtype": "F32", "shape": list(t.shape),
                      "data_offsets": [begin, len(data)]}
    head = json.dumps(head).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(len(head).to_bytes(8, "little") + head + data)


def make(name, out):
    conf, ids, dtype, prefixed = CASES[name]
    net, shapes = load(conf, dtype, prefixed)
    y = evaluate(net, ids)
    exact = evaluate(net.double(), ids)
    print(f"{name:12} float32 against float64", *(
        f"{k} {distance(y[k], exact[k]):.1e}" for k in y))
    write(out / f"text_{name}.safetensors", y, {
        "config": json.dumps(conf),
        "tensors": "".join(f"{k} {dtype} {'x'.join(map(str, s))};"
                           for k, s in shapes.items()),
        "ids": ",".join(str(i) for sample in ids for i in sample),
        **({"length": str(len(ids[0]))} if name.startswith("t5") else {}),
        "transformers": transformers.__version__})


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("names", nargs="*")
    ap.add_argument("--out", type=pathlib.Path, default=HERE)
    a = ap.parse_args()
    for name in a.names or CASES:
        make(name, a.out)


if __name__ == "__main__":
    main()
