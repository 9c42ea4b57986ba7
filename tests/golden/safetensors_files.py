#!/usr/bin/env python3
"""Write tests/golden/safetensors/: files by the format's own library, which
tests/core/test_safetensors.c must read as what is said here. Element k of
every tensor is k, or k / 4 where the type has fractions.

    python tests/golden/safetensors_files.py
"""
import json
import pathlib

import torch
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).parent / "safetensors"


def ramp(dtype, *shape):
    n = torch.Size(shape).numel()
    step = 0.25 if dtype.is_floating_point else 1
    return (torch.arange(n) * step).reshape(shape).to(dtype)


def main():
    FOLDER.mkdir(exist_ok=True)
    save_file({
        "f64": ramp(torch.float64, 2, 3),
        "f32": ramp(torch.float32, 2, 1, 3),
        "f16": ramp(torch.float16, 5),
        "bf16": ramp(torch.bfloat16, 3),
        "i64": ramp(torch.int64, 4),
        "u8": ramp(torch.uint8, 7),
        "bool": torch.tensor([True, False, True]),
        "f8": torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "n\u00e4me \"q\" \\ \n": ramp(torch.int32, 1),
    }, FOLDER / "kinds.safetensors",
        metadata={"format": "pt", "n\u00f6te": "two\nlines"})

    shards = {
        "s-00001-of-00002.safetensors": {"a": ramp(torch.float32, 4),
                                         "spare": ramp(torch.float32, 1)},
        "s-00002-of-00002.safetensors": {"b": ramp(torch.int64, 2),
                                         "c": ramp(torch.float16, 2, 2)},
    }
    places = {}
    for name, tensors in shards.items():
        save_file(tensors, FOLDER / name, metadata={"shard": name[2:7]})
        places |= {t: name for t in tensors if t != "spare"}
    (FOLDER / "s.safetensors.index.json").write_text(json.dumps(
        {"metadata": {"total_size": 44}, "weight_map": places}, indent=2) + "\n")


if __name__ == "__main__":
    main()
