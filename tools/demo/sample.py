"""Samples with diffusers, for comparison; writes a PNG into the working folder.

    python tools/demo/sample.py classes strong --size 128        # one row per seed, ten classes
    python tools/demo/sample.py canvas strong brick --size 512   # one large canvas
    python tools/demo/sample.py recon                            # VAE reconstructions (above: original)

The models are those of models/demo unless --models names another folder.
"""
import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DModel
from PIL import Image

from textures import CLASSES, texture, to_u8

MODELS = Path(__file__).resolve().parents[2] / "models" / "demo"
UNCOND = 10
CL = torch.channels_last


@torch.no_grad()
def sample(sch, unet, labels, h, w, steps=30, cfg=2.0, seed=0, chunk=10):
    """Latents (n, 4, h, w); DDIM with classifier-free guidance."""
    sch.set_timesteps(steps)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn((len(labels), 4, h, w), generator=g) * sch.init_noise_sigma
    y = torch.tensor(labels)
    u = torch.full_like(y, UNCOND)
    for t in sch.timesteps:
        e = []
        for i in range(0, len(y), chunk):
            xi = x[i:i + chunk].contiguous(memory_format=CL)
            c = unet(xi, t, class_labels=y[i:i + chunk]).sample
            if cfg != 1.0:
                n = unet(xi, t, class_labels=u[i:i + chunk]).sample
                c = n + cfg * (c - n)
            e.append(c)
        x = sch.step(torch.cat(e), t, x).prev_sample
    return x


@torch.no_grad()
def decode(vae, z):
    im = vae.decode(z / vae.config.scaling_factor).sample.clamp(-1, 1)
    return to_u8(im.permute(0, 2, 3, 1).numpy())


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("what", choices=["classes", "canvas", "recon"])
    ap.add_argument("model", nargs="?", default="strong")
    ap.add_argument("cls", nargs="?", default="brick")
    ap.add_argument("--size", type=int, default=128, help="pixels, a multiple of 16")
    ap.add_argument("--steps", type=int, default=30)
    ap.add_argument("--cfg", type=float, default=2.0)
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--rows", type=int, default=1)
    ap.add_argument("--classes", default="0,1,2,3,4,5,6,7,8,9")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--models", type=Path, default=MODELS, help="folder of the family")
    ap.add_argument("--out")
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    torch.set_flush_denormal(True)
    vae = AutoencoderTiny.from_pretrained(a.models / "vae").eval()
    if a.what == "recon":
        im = np.stack([texture(k, 2000000 + k, 128) for k in range(10)])
        with torch.no_grad():
            z = vae.encode(torch.from_numpy(im).permute(0, 3, 1, 2)).latents * vae.config.scaling_factor
        rec = decode(vae, z)
        print("PSNR", 10 * np.log10(255 ** 2 / np.mean((rec.astype(float) - to_u8(im)) ** 2, (1, 2, 3))).round(1),
              "latent std", z.std().item())
        rows = [np.concatenate(list(r), 1) for h in (slice(0, 5), slice(5, 10)) for r in (to_u8(im)[h], rec[h])]
        Image.fromarray(np.concatenate(rows, 0)).save(a.out or "vae_reconstructions.png")
        return
    sch = DDIMScheduler.from_pretrained(a.models / "scheduler")
    unet = UNet2DModel.from_pretrained(a.models / a.model).eval().to(memory_format=CL)
    s = a.size // 4
    if a.what == "classes":
        ks = [int(k) for k in a.classes.split(",")]
        im = decode(vae, sample(sch, unet, ks * a.rows, s, s, a.steps, a.cfg, a.seed))
        per = 5 if len(ks) > 5 else len(ks)
        rows = [np.concatenate(list(im[i:i + per]), 1) for i in range(0, len(im), per)]
        Image.fromarray(np.concatenate(rows, 0)).save(a.out or f"{a.model}_classes_{a.size}.png")
    else:
        k = CLASSES.index(a.cls)
        im = decode(vae, sample(sch, unet, [k], s, s, a.steps, a.cfg, a.seed))[0]
        Image.fromarray(im).save(a.out or f"{a.model}_{a.cls}_{a.size}.png")


if __name__ == "__main__":
    main()
