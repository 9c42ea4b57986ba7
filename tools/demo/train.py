"""Trains any part of the demo family.  CPU only is fine.

    python tools/demo/textures.py --cache data.npz --per-class 800 --size 208
    python tools/demo/textures.py --cache held.npz --per-class 100 --size 144 --seed0 1000000
    python tools/demo/train.py vae     --minutes 10        # encoder + decoder
    python tools/demo/train.py decoder --minutes 8         # decoder alone, encoder frozen
    python tools/demo/train.py encode                      # data.npz, held.npz -> latents
    python tools/demo/train.py strong  --minutes 77        # likewise weak, half_a, half_b
    python tools/demo/train.py eval                        # held-out losses of every UNet

Data, latents and training states lie in the working folder, and so do the models
unless --models names a folder (say `eval --models models/demo`).

Training is bounded by --minutes (the learning rate follows the elapsed fraction);
a state with optimiser and EMA is written to state/ every few minutes.  --resume
continues from it: a U-Net up to a (larger) total of --minutes, the autoencoder for
--minutes more with a fresh learning-rate schedule.
"""
import argparse
import copy
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny, DDPMScheduler, UNet2DModel

BETAS = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
             num_train_timesteps=1000)
UNCOND = 10
UNETS = {  # channels, head dim, classes
    "strong": ((48, 96, 144), 24, range(0, 10)),
    "weak": ((32, 48, 64), 32, range(0, 10)),
    "half_a": ((48, 72, 96), 24, range(0, 5)),
    "half_b": ((48, 72, 96), 24, range(5, 10)),
}
CL = torch.channels_last


def new_vae():
    ch = (32, 32, 32)                                    # two strided stages: 4x
    return AutoencoderTiny(encoder_block_out_channels=ch, decoder_block_out_channels=ch,
                           num_encoder_blocks=(1, 1, 2), num_decoder_blocks=(2, 2, 1),
                           latent_channels=4, act_fn="relu", upsampling_scaling_factor=2,
                           scaling_factor=1.0)


def new_unet(name):
    ch, hd, _ = UNETS[name]
    return UNet2DModel(
        sample_size=32, in_channels=4, out_channels=4, block_out_channels=ch, layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        norm_num_groups=8, attention_head_dim=hd, num_class_embeds=11,
        downsample_type="conv", upsample_type="conv", act_fn="silu")


def alphas_bar():
    return DDPMScheduler(**BETAS).alphas_cumprod


def lr_at(frac, step, peak, warm=150):
    f = min(max(frac, 0.0), 1.0)
    return peak * min(1.0, (step + 1) / warm) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * f)))


class Clock:
    """Fraction of the time budget used, over resumed runs too."""
    def __init__(self, minutes, used=0.0):
        self.t0, self.total, self.used = time.time() - used, minutes * 60, used

    def elapsed(self):
        return time.time() - self.t0

    def frac(self):
        return self.elapsed() / self.total


def save_state(path, **kw):
    os.makedirs("state", exist_ok=True)
    torch.save(kw, path + ".tmp")
    os.replace(path + ".tmp", path)


# ------------------------------------------------------------------------- VAE
def crops(x, rng, n, s):
    i = rng.integers(0, len(x), n)
    p, q = rng.integers(0, x.shape[1] - s + 1, n), rng.integers(0, x.shape[2] - s + 1, n)
    b = np.stack([x[k, a:a + s, c:c + s] for k, a, c in zip(i, p, q)])
    if rng.random() < 0.5:
        b = b[:, :, ::-1]
    t = torch.from_numpy(np.ascontiguousarray(b)).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    return t.contiguous(memory_format=CL)


def recon_loss(a, b):
    l = F.l1_loss(a, b)
    ms = F.l1_loss(F.avg_pool2d(a, 4), F.avg_pool2d(b, 4))
    gx = F.mse_loss(a[..., 1:] - a[..., :-1], b[..., 1:] - b[..., :-1])
    gy = F.mse_loss(a[..., 1:, :] - a[..., :-1, :], b[..., 1:, :] - b[..., :-1, :])
    return l + 0.5 * ms + 1.0 * (gx + gy) + 1.5 * F.mse_loss(a, b), l


def standardise(vae, x):
    """Fold zero mean / unit variance per latent channel into the encoder's last
    convolution, and the inverse into the decoder's first one."""
    rng = np.random.default_rng(5)
    with torch.no_grad():
        z = torch.cat([vae.encode(crops(x, rng, 16, 96)).latents[:, :, 2:-2, 2:-2] for _ in range(30)])
        m, s = z.mean((0, 2, 3)), z.std((0, 2, 3))
        e, d = vae.encoder.layers[-1], vae.decoder.layers[0]
        e.weight.div_(s[:, None, None, None])
        e.bias.sub_(m).div_(s)
        d.bias.add_((d.weight * m[None, :, None, None]).sum((1, 2, 3)))
        d.weight.mul_(s[None, :, None, None])
    print("folded latent mean", m.tolist(), "std", s.tolist(), flush=True)


def train_vae(a, decoder_only):
    x = np.load("data.npz")["x"]
    rng = np.random.default_rng(int(time.time()))
    vae = new_vae() if not decoder_only else AutoencoderTiny.from_pretrained(a.models / "vae")
    vae = vae.to(memory_format=CL)
    if decoder_only:
        vae.encoder.requires_grad_(False)
    par = [p for p in vae.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(par, lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4)
    ema = copy.deepcopy(vae)
    peak = a.lr or (1.5e-3 if not decoder_only else 1e-3)
    clk, step, run, nxt = Clock(a.minutes), 0, [], a.save_every * 60
    if a.resume:                                          # a fresh time budget and schedule
        s = torch.load(f"state/{a.part}.pt", weights_only=False)
        vae.load_state_dict(s["net"]), ema.load_state_dict(s["ema"]), opt.load_state_dict(s["opt"])
        step = s["step"]

    def save():
        v = copy.deepcopy(ema)
        if not decoder_only:
            standardise(v, x)
        v.to(memory_format=torch.contiguous_format).save_pretrained(a.models / "vae")
        save_state(f"state/{a.part}.pt", opt=opt.state_dict(), step=step, used=clk.elapsed(),
                   net=vae.state_dict(), ema=ema.state_dict())
    while clk.frac() < 1:
        for g in opt.param_groups:
            g["lr"] = lr_at(clk.frac(), step, peak, 100)
        im = crops(x, rng, 16, 64 if not decoder_only else 80)
        if decoder_only:
            with torch.no_grad():
                z = vae.encode(im).latents
        else:
            z = vae.encode(im).latents
        # a little latent noise makes the decoder forgiving of imperfect samples
        dec = vae.decode(z + 0.04 * torch.randn_like(z)).sample
        if decoder_only:                                  # keep clear of the crop's border
            loss, l1 = recon_loss(dec[..., 4:-4, 4:-4], im[..., 4:-4, 4:-4])
        else:
            loss, l1 = recon_loss(dec, im)
            m, v = z.mean((0, 2, 3)), z.var((0, 2, 3))
            loss = loss + 0.02 * (m.square().mean() + (v - 1).square().mean())
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(par, 1.0)
        opt.step()
        d = min(0.995, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.parameters()), list(vae.parameters()), 1 - d)
        run.append(l1.item())
        step += 1
        if step % 50 == 0:
            print(f"{a.part} step {step} {clk.elapsed():.0f}s l1 {np.mean(run[-50:]):.4f}", flush=True)
        if clk.elapsed() > nxt:
            nxt += a.save_every * 60
            save()
    save()
    print("done", a.part, "steps", step, flush=True)


def encode(a):
    vae = AutoencoderTiny.from_pretrained(a.models / "vae").eval().to(memory_format=CL)
    for src, dst in (("data.npz", "latents.npz"), ("held.npz", "held_latents.npz")):
        if not os.path.exists(src) or (a.held_only and src != "held.npz"):
            continue
        d = np.load(src)
        x, y, out = d["x"][:a.limit], d["y"][:a.limit], []
        with torch.no_grad():
            for i in range(0, len(x), 20):
                b = torch.from_numpy(x[i:i + 20]).permute(0, 3, 1, 2).float().div(127.5).sub(1)
                z = vae.encode(b.contiguous(memory_format=CL)).latents * vae.config.scaling_factor
                out.append(z[:, :, 2:-2, 2:-2].contiguous().to(torch.float16).numpy())
        z = np.concatenate(out)
        np.savez(dst, z=z, y=y)
        print(dst, z.shape, "mean", z.astype(np.float32).mean((0, 2, 3)), "std",
              z.astype(np.float32).std((0, 2, 3)), flush=True)


# ----------------------------------------------------------------------- UNets
def train_unet(a):
    d = np.load("latents.npz")
    z, y = torch.from_numpy(d["z"]), torch.from_numpy(d["y"])
    keep = torch.isin(y, torch.tensor(list(UNETS[a.part][2])))
    z, y = z[keep], y[keep]
    full = z.shape[-1]
    torch.manual_seed(sum(map(ord, a.part)))
    net = new_unet(a.part).to(memory_format=CL)
    ema = copy.deepcopy(net).requires_grad_(False)
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-2, foreach=True)
    step, used = 0, 0.0
    st = f"state/{a.part}.pt"
    if a.resume:
        s = torch.load(st, weights_only=False)
        net.load_state_dict(s["net"]), ema.load_state_dict(s["ema"]), opt.load_state_dict(s["opt"])
        step, used = s["step"], 0.0 if a.fresh else s["used"]
    torch.manual_seed(int(time.time()))
    rng = np.random.default_rng(int(time.time()) + 1)
    ab = alphas_bar()
    clk, nxt, run, acc = Clock(a.minutes, used), used + a.save_every * 60, [], {}
    peak = a.lr or 1e-3
    print(a.part, sum(p.numel() for p in net.parameters()), "parameters", len(z), "latents", flush=True)

    def save():
        copy.deepcopy(net if a.no_ema else ema).to(memory_format=torch.contiguous_format).save_pretrained(a.models / a.part)
        save_state(st, net=net.state_dict(), ema=ema.state_dict(), opt=opt.state_dict(),
                   step=step, used=clk.elapsed())
    while clk.frac() < 1:
        for g in opt.param_groups:
            g["lr"] = lr_at(clk.frac(), step, peak)
        if clk.frac() < a.small_frac:
            S = 16
        else:
            S = int(rng.choice([16, 24, 32, 48], p=[0.25, 0.25, 0.3, 0.2]))
        B = max(2, round(a.batch * 256 / (S * S)))
        i = torch.from_numpy(rng.integers(0, len(z), B))
        p, q = rng.integers(0, full - S + 1, (2, B))
        x0 = torch.stack([z[k, :, u:u + S, v:v + S] for k, u, v in zip(i.tolist(), p, q)]).float()
        x0 = x0.contiguous(memory_format=CL)
        c = torch.where(torch.rand(B) < 0.12, UNCOND, y[i])
        t = (((torch.rand(1) + torch.arange(B) / B) % 1.0) * 1000).long().clamp(0, 999)
        # --offset adds noise to every channel's mean: otherwise the network reads the mean
        # colour off its input at high noise, and pure noise (mean 0) gets the colour of z = 0
        e = torch.randn_like(x0) + a.offset * torch.randn(B, 4, 1, 1)
        k = ab[t][:, None, None, None]
        xt = k.sqrt() * x0 + (1 - k).sqrt() * e
        # eps error; with --max-weight > 1, weighted by 1 / alpha_bar up to that bound (the
        # weight of v-prediction), so that colour and layout at high noise are learnt too
        w = (1 / k).clamp(max=a.max_weight)
        loss = (w * (net(xt, t, class_labels=c).sample - e).square()).mean()
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        dcy = min(a.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.parameters()), list(net.parameters()), 1 - dcy)
        run.append(loss.item())
        step += 1
        if step % 100 == 0:
            print(f"{a.part} step {step} {clk.elapsed():.0f}s loss {np.mean(run[-100:]):.4f}", flush=True)
        if clk.elapsed() > nxt:
            nxt += a.save_every * 60
            save()
    save()
    print("done", a.part, "steps", step, flush=True)


@torch.no_grad()
def held_loss(net, z, y, label=None):
    """Mean eps error on fixed latents, fixed noise and fixed (stratified) timesteps."""
    g = torch.Generator().manual_seed(1234)
    n = len(z)
    t = (torch.arange(n) * 997 + 13) % 1000               # every timestep exactly once for n = 1000
    e = torch.randn(z.shape, generator=g)
    k = alphas_bar()[t][:, None, None, None]
    xt = k.sqrt() * z + (1 - k).sqrt() * e
    out = []
    for i in range(0, n, 20):
        c = y[i:i + 20] if label is None else torch.full_like(y[i:i + 20], label)
        r = net(xt[i:i + 20].contiguous(memory_format=CL), t[i:i + 20], class_labels=c).sample
        out.append((r - e[i:i + 20]).square().mean((1, 2, 3)))
    return torch.cat(out)


def evaluate(a):
    d = np.load("held_latents.npz")
    z, y = torch.from_numpy(d["z"]).float(), torch.from_numpy(d["y"])
    lo = y < 5
    held = a.models / "held_out.json"
    res = json.loads(held.read_text()) if held.exists() else {}
    for name in a.names.split(","):
        if not (a.models / name).is_dir():
            continue
        net = UNet2DModel.from_pretrained(a.models / name).eval().to(memory_format=CL)
        own = lo if name != "half_b" else ~lo
        l, u = held_loss(net, z, y), held_loss(net, z, y, UNCOND)
        r = {"conditional": l.mean().item(), "unconditional": u.mean().item()}
        if name.startswith("half"):
            r = {"own half, conditional": l[own].mean().item(),
                 "own half, unconditional": u[own].mean().item(),
                 "other half, unconditional": u[~own].mean().item()}
        else:
            r["classes 0-4"], r["classes 5-9"] = l[lo].mean().item(), l[~lo].mean().item()
        r["per class"] = [round(l[y == k].mean().item(), 5) for k in range(10)]
        res[name] = r
        print(name, json.dumps(r), flush=True)
        held.write_text(json.dumps(res, indent=1) + "\n")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("part", choices=["vae", "decoder", "encode", "eval", *UNETS])
    ap.add_argument("--minutes", type=float, default=10)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--batch", type=int, default=32, help="at 16x16 latents; fewer at larger sizes")
    ap.add_argument("--lr", type=float)
    ap.add_argument("--ema", type=float, default=0.999)
    ap.add_argument("--max-weight", type=float, default=1.0, help="see train_unet")
    ap.add_argument("--offset", type=float, default=0.0, help="see train_unet")
    ap.add_argument("--fresh", action="store_true", help="with --resume: a new schedule of --minutes")
    ap.add_argument("--no-ema", action="store_true", help="save the U-Net's last weights, not the EMA")
    ap.add_argument("--small-frac", type=float, default=0.55, help="fraction of the time at 16x16 only")
    ap.add_argument("--save-every", type=float, default=5, help="minutes")
    ap.add_argument("--resume", action="store_true")
    ap.add_argument("--limit", type=int, help="encode only the first so many images")
    ap.add_argument("--held-only", action="store_true", help="encode held.npz only")
    ap.add_argument("--names", default="strong,weak,half_a,half_b")
    ap.add_argument("--models", type=Path, default=Path("."), help="folder of the family")
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    torch.set_flush_denormal(True)
    if a.part in ("vae", "decoder"):
        train_vae(a, a.part == "decoder")
    elif a.part == "encode":
        encode(a)
    elif a.part == "eval":
        evaluate(a)
    else:
        train_unet(a)


if __name__ == "__main__":
    main()
