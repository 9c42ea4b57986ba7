#!/usr/bin/env python3
"""Answers for tests/core/test_wire.c, by numpy and torch.

    python3 tests/golden/wire.py > tests/golden/wire.txt

Lines of hexadecimal words. "f16" and "bf16": bits of a float, then those of
what it becomes. "int8 ROWS WIDTH": then for each message "in", the floats, and
"wire", its bytes as they lie in memory (little-endian).
"""
import numpy as np
import torch

RUN, LEAST = 128, np.float32(2.0**-116)
rng = np.random.default_rng(7)


def floats():
    """Every exponent, ties at the last bit of both halves, special values."""
    bits = [0, 1, 0x7fffff, 0x7f800000, 0x7f800001, 0x7fc12345, 0x7f7fffff,
            0x477fefff, 0x477ff000, 0x33000000, 0x33000001, 0x387fffff]
    for exponent in range(0, 255, 5):
        for low in (0x1000, 0x3000, 0x1001, 0x8000, 0x18000, 0x7fff, 0x7fffff):
            bits.append(exponent << 23 | low)
    for exponent in range(96, 116):  # halves below 2^-14
        bits += [exponent << 23 | int(m) for m in rng.integers(0, 1 << 23, 4)]
    bits = np.array(bits, dtype=np.uint32)
    return np.concatenate([bits, bits | 0x80000000]).astype(np.uint32)


def halves():
    bits = floats()
    x = bits.view(np.float32)
    with np.errstate(over="ignore"):
        f16 = x.astype(np.float16).view(np.uint16)
    bf16 = torch.from_numpy(x.copy()).bfloat16().view(torch.int16).numpy()
    for name, out in (("f16", f16), ("bf16", bf16.view(np.uint16))):
        for a, b, v in zip(bits, out, x):
            if not np.isnan(v):
                print(name, f"{a:08x} {b:04x}")


def encode(x, held):
    """One residual message, as core/wire.h says; updates held."""
    scales, qs = [], []
    for y in range(x.shape[0]):
        for at in range(0, x.shape[1], RUN):
            part = slice(at, min(at + RUN, x.shape[1]))
            d = x[y, part] - held[y, part]
            most = np.abs(d).max()
            scale = most / np.float32(127) if most >= LEAST else np.float32(0)
            per = np.float32(127) / most if scale else np.float32(0)
            q = np.rint(d * per).astype(np.int8)
            held[y, part] += q.astype(np.float32) * scale
            scales.append(scale)
            qs.append(q)
    return np.array(scales, np.float32).tobytes() + np.concatenate(qs).tobytes()


def residuals(rows, width, messages):
    print("int8", rows, width)
    held = rng.normal(size=(rows, width)).astype(np.float32)
    print("in", " ".join(f"{v:08x}" for v in held.view(np.uint32).ravel()))
    for t in range(messages):
        step = rng.normal(size=held.shape) * 10.0 ** rng.integers(
            -6, 3, size=(rows, 1)) if t < messages - 1 else 0
        x = (held + step).astype(np.float32)
        print("in", " ".join(f"{v:08x}" for v in x.view(np.uint32).ravel()))
        print("wire", encode(x, held).hex())


halves()
residuals(3, 150, 4)
