#!/usr/bin/env python3
"""Write tests/golden/png/: files by another writer than ours, in every kind
that tests/core/test_png.c reads. Width 13, height 7; a channel is

    v(x, y, c) = (x * 16 + y * 32 + c * 64) % 256

and what it becomes in fewer bits is said there.

    python tests/golden/png_files.py        needs numpy and Pillow
"""
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, PngImagePlugin

FOLDER = pathlib.Path(__file__).parent / "png"
W, H = 13, 7


def values(channels):
    y, x, c = np.mgrid[0:H, 0:W, 0:channels]
    return ((x * 16 + y * 32 + c * 64) % 256).astype(np.uint8)


def chunk(kind, data):
    return (struct.pack(">I", len(data)) + kind + data +
            struct.pack(">I", zlib.crc32(kind + data)))


def by_hand(name, pixels, depth, colour, interlaced=False):
    """Filter 0, all passes of Adam7 if asked; pixels are big-endian bytes."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4),
              (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    if not interlaced:
        passes = [(0, 0, 1, 1)]
    raw = b""
    for x, y, dx, dy in passes:
        part = pixels[y::dy, x::dx]
        if part.size:
            raw += b"".join(b"\0" + row.tobytes() for row in part)
    head = struct.pack(">IIBBBBB", W, H, depth, colour, 0, 0, int(interlaced))
    (FOLDER / name).write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) +
        chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))


def main():
    FOLDER.mkdir(exist_ok=True)
    grey = Image.fromarray(values(1)[..., 0])
    grey.save(FOLDER / "grey.png")
    grey.point(lambda v: 255 * (v >= 128)).convert("1").save(
        FOLDER / "bit.png")
    Image.fromarray(values(2), "LA").save(FOLDER / "grey_alpha.png")
    Image.fromarray(values(3)).save(FOLDER / "rgb.png")
    Image.fromarray(values(4)).save(FOLDER / "rgba.png")
    palette = Image.fromarray(values(1)[..., 0] // 16, "P")
    palette.putpalette(sum(([i, 255 - i, 7 * i] for i in range(16)), []))
    palette.save(FOLDER / "palette.png", transparency=3)
    wide = values(3).astype(">u2") * 257
    by_hand("rgb16.png", wide.astype(">u2"), 16, 2)
    by_hand("interlaced.png", values(3), 8, 2, interlaced=True)

    text = PngImagePlugin.PngInfo()
    text.add_text("plain", "one\ntwo")
    text.add_text("latin", "caf\u00e9 \u00b5")
    text.add_text("packed", "x" * 3000, zip=True)
    text.add_itxt("other", "\u7e54\u308b \U0001f9f6", lang="ja", tkey="hoka")
    text.add_itxt("other packed", "\u00fc" * 3000, zip=True)
    text.add_text("empty", "")
    Image.fromarray(values(3)).save(FOLDER / "texts.png", pnginfo=text)


if __name__ == "__main__":
    main()
