#!/usr/bin/env python3
"""Write the seeds of tests/fuzz/corpus/ from the goldens and the demo models.
What the fuzzer found later is put beside them by hand.

    python tests/fuzz/seeds.py
"""
import json
import pathlib
import struct

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/fuzz/corpus"


def put(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / (name + ".seed")).write_bytes(
        data if isinstance(data, bytes) else data.encode())


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def metadata(path):
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        return json.loads(f.read(n)).get("__metadata__", {})


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def checkpoint(items, tensors, **texts):
    """Two by two numbers an image; the fuzz target puts the hash in."""
    entries, data = {"check": tensor("U64", [1], 0, 8)}, b"\x5a" * 8
    for name in tensors:
        entries[name] = tensor("F32", [2, 2, 1], len(data), len(data) + 16)
        data += b"\0" * 16
    entries["__metadata__"] = {
        "format": "weft checkpoint 1", "identity": '{"sample":{"steps":4}}',
        "weights": "", "done": "", "items": compact(items), **texts}
    header = compact(entries).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, value):
    """Of a protocol buffer: a number, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def spiece(pieces, normal=b"", **trainer):
    """A spiece.model: pieces (text, score, kind); the charsmap `normal`."""
    out = b"".join(
        field(1, field(1, text.encode()) + b"\x15" + struct.pack("<f", score)
              + field(3, kind)) for text, score, kind in pieces)
    out += field(2, b"".join(field(int(k[1:]), v) for k, v in trainer.items()))
    return out + field(3, field(2, normal) if normal else b"")


def charsmap():
    """A becomes ab: the root, its child, and what that has."""
    root, child, result = 1 << 10, ord("A") | 1 << 8 | 2 << 10, 1 << 31
    units = [0] * 128
    units[0], units[1 ^ ord("A")] = root, child
    units[1 ^ ord("A") ^ 2] = result
    trie = struct.pack("<128I", *units)
    return struct.pack("<I", len(trie)) + trie + b"ab\0"


def main():
    kinds = (ROOT / "tests/golden/safetensors/kinds.safetensors").read_bytes()
    put("manifest", "lines", '0{"id": "a-1", "label": 3, "seed": 7}\n'
        '{"id": "b\\u002d", "seed": 0, "steps": 5, "bias": {"a": [1]}}\n')
    put("manifest", "table", '1id,label,seed,solver\na,3,7,\n'
        '"b",,0,"dd""im"\n')
    put("tar", "members",
        (ROOT / "tests/golden/members.tar").read_bytes())
    put("safetensors", "file", kinds)
    put("safetensors", "header", kinds[8:])
    put("safetensors", "empty", "{}")
    put("safetensors", "two", compact({
        "a": tensor("F32", [1], 0, 4), "b": tensor("F4", [2, 2], 4, 6),
        "__metadata__": {"format": "pt"}}) + "012345")
    put("safetensors", "overlap", compact({
        "a": tensor("U8", [4], 0, 4), "b": tensor("U8", [2], 2, 4)}) + "0123")
    put("safetensors", "overflow", compact({
        "a": tensor("U8", [2**62, 2**62, 0], 0, 0)}))

    put("index", "good", compact({
        "metadata": {"total_size": 12},
        "weight_map": {"a": "s1", "b": "s1", "c": "s2"}}))
    put("index", "missing", compact({"weight_map": {"c": "s1"}}))
    put("index", "outside", compact({"weight_map": {"a": "../s1"}}))
    put("index", "empty", compact({"weight_map": {}}))

    put("pipeline", "sdxl", compact({
        "_class_name": "StableDiffusionXLPipeline",
        "_diffusers_version": "0.19.0", "force_zeros_for_empty_prompt": True,
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "text_encoder": [None, None], "safety_checker": ["x", "y"]}))
    put("pipeline", "outside", compact({
        "_class_name": "P", "../unet": ["diffusers", "UNet2DModel"]}))

    unet, text = "model.diffusion_model.", "conditioner.embedders.1.model."
    put("original", "unet", "\n".join([
        unet + "input_blocks.0.0.weight 1x4", unet + "out.2.weight 4x1",
        unet + "input_blocks.1.0.in_layers.2.weight 32x1",
        unet + "input_blocks.1.1.proj_in.weight 1x1",
        unet + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight 1x768",
        unet + "middle_block.1.transformer_blocks.0.attn2.to_k.weight 1x768",
        unet + "output_blocks.0.1.conv.bias 2", "v_pred", "ztsnr 0"]))
    put("original", "vae", "\n".join([
        "decoder.mid.block_1.norm1.weight 32",
        "decoder.up.0.block.0.conv1.weight 32x32",
        "decoder.up.0.block.1.conv1.weight 32x32",
        "decoder.mid.attn_1.q.weight 3x3x1x1", "decoder.conv_in.weight 32x4"]))
    put("original", "text", "\n".join([
        text + "token_embedding.weight 2x64",
        text + "positional_embedding 3x64", text + "text_projection 3x5",
        text + "transformer.resblocks.0.ln_1.weight 64",
        text + "transformer.resblocks.0.mlp.c_fc.weight 2x64",
        text + "transformer.resblocks.0.attn.in_proj_bias 6"]))

    conv = "down_blocks.0.resnets.0.conv1"
    for name, down, up, alpha in (
            ("kohya", "lora_unet_" + conv.replace(".", "_")
             + ".lora_down.weight", ".lora_up.weight", ".alpha"),
            ("original", "lora_unet_input_blocks_1_0_in_layers_2"
             ".lora_down.weight", ".lora_up.weight", ".alpha"),
            ("ab", f"unet.{conv}.lora_A.weight", ".lora_B.weight", None),
            ("adapter", f"base_model.model.{conv}.lora_A.a.weight",
             ".lora_B.a.weight", None)):
        base = down[:down.index(".lora_")]
        entries = {down: tensor("F16", [2, 8, 3, 3], 0, 288),
                   base + up: tensor("F32", [8, 2, 1, 1], 288, 352)}
        if alpha:
            entries[base + alpha] = tensor("F32", [], 352, 356)
        else:
            entries["__metadata__"] = {"lora_adapter_metadata": compact({
                "unet.lora_alpha": 3, "unet.use_rslora": True,
                "unet.alpha_pattern": {"conv1": 2}})}
        put("lora", name, compact(entries) + "<" * (356 if alpha else 352))
    put("lora", "other", compact({
        "lora_unet_x.hada_w1_a": tensor("F32", [1], 0, 4)}) + "0123")

    seen = set()
    for name in ("strong", "vae"):
        path = ROOT / "models/demo" / name / "config.json"
        put("model", "demo_" + name, compact(json.loads(path.read_text())))
    for path in sorted(ROOT.glob("tests/golden/net_*.safetensors")):
        config = metadata(path).get("config")
        if config and config not in seen:
            seen.add(config)
            put("model", path.stem, compact(json.loads(config)))
    for path in sorted(ROOT.glob("tests/golden/text_*.safetensors")):
        put("text", path.stem, compact(json.loads(metadata(path)["config"])))
    pieces = [("<pad>", 0, 3), ("</s>", 0, 3), ("<unk>", 0, 2),
              ("\u2581", -2, 1), ("a", -3, 1), ("\u2581ab", -4, 1),
              ("<s>", 0, 4), ("b", -9, 5)]
    put("spiece", "rules", spiece(pieces, charsmap()) + b"\n====\nA b\0 <s>\xff")
    put("spiece", "bytes", spiece(
        pieces + [("<0x%02X>" % b, 0, 6) for b in range(256)], f35=1)
        + b"\n====\n \xe2\x98\x83 a")
    put("spiece", "bpe", spiece(pieces, f3=2))

    tokens = ROOT / "tests/golden/tokens"
    small = {c: i for i, c in enumerate([
        "a", "b", "a</w>", "b</w>", "ab", "ab</w>", "abab</w>", "!",
        "<|startoftext|>", "<|endoftext|>"])}
    for style in ("old", "new"):
        files = [compact(small), "#version: 0.2\na b\na b</w>\nab ab</w>",
                 (tokens / f"{style}.config.json").read_text()
                 .replace('"1212"', '"8"').replace('"1213"', '"9"'),
                 "{}" if style == "new" else
                 (tokens / "old.map.json").read_text(),
                 "abab a! AB's <|endoftext|>\u00e9 \u0eba\u3000 1\n"]
        put("tokens", style, "\n====\n".join(files))
    whole = json.loads((tokens / "tokenizer.json").read_text())
    for token in whole["added_tokens"]:
        token["id"] = small[token["content"]]
    whole["model"] |= {"vocab": small, "merges": [
        ["a", "b"], "a b</w>", ["ab", "ab</w>"]]}
    put("tokens", "one", "\n====\n".join([
        compact(whole), "", (tokens / "one.config.json").read_text(), "{}",
        "abab a! AB's <|endoftext|>\u00e9 \u0eba\u3000 1\n"]))
    put("tokens", "bare", compact(small) + "\n====\na b")
    put("prompt", "weights", "a (b:1.3) [[a]] \\( :-.5) ((a:2) BREAK b, a")
    put("prompt", "long", "ab, a b a " * 9)
    put("model", "nested", '{"a":[[[{"b":null}]]],"c":1e308}')

    path = ROOT / "models/demo/scheduler/scheduler_config.json"
    put("schedule", "demo", compact(json.loads(path.read_text())))
    put("schedule", "betas", compact({
        "_class_name": "EulerDiscreteScheduler", "num_train_timesteps": 4,
        "trained_betas": [0.1, 0.2, 0.3, 0.4], "use_karras_sigmas": False,
        "prediction_type": "v_prediction", "timestep_spacing": "linspace"}))
    put("schedule", "cosine", compact({
        "_class_name": "DPMSolverMultistepScheduler", "solver_order": 2,
        "beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 50,
        "algorithm_type": "dpmsolver++", "timestep_spacing": "trailing",
        "prediction_type": "sample", "steps_offset": 0}))

    between = {"image": 3, "step": 1, "stage": 1, "draws": 1}
    put("checkpoint", "between", checkpoint(
        [between], ["image.3.x", "image.3.buffer.1", "image.3.buffer.3"],
        done="0-2,7"))
    put("checkpoint", "two", checkpoint(
        [{**between, "stage": 0}, {**between, "image": 9, "step": 4, "stage": 0}],
        ["image.3.x", "image.9.x"]))
    put("checkpoint", "none", checkpoint([], [], done="0-99"))
    put("checkpoint", "far", checkpoint(
        [{**between, "step": 2**31 - 2}], ["image.3.x"],
        identity="[" * 40 + "]" * 40, done="5-99999999"))

    for path in sorted(ROOT.glob("tests/golden/png/*.png")):
        put("png", path.stem, path.read_bytes())


if __name__ == "__main__":
    main()
