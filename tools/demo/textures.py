"""Procedural textures: ten classes of RGB materials, numpy only.

    img = texture(cls, seed, size)      # float32, (size, size, 3) in [-1, 1]

Every class is a function on the infinite pixel plane, so a crop of any size and
at any offset is a window of one endless texture.  All randomness comes from the
seed: the parameters through numpy's Generator, the spatial randomness through an
integer lattice hash.  `textures.py sheet.png` draws an overview sheet and
`textures.py --cache data.npz ...` builds a data set (see main()).
"""
import argparse
import colorsys

import numpy as np

CLASSES = ["weave", "tartan", "brick", "wood", "marble",
           "cells", "water", "dots", "grass", "knit"]
f32 = np.float32


# ------------------------------------------------------------------ utilities
def hash01(ix, iy, seed):
    """Integer lattice -> uniform [0, 1), vectorised (32-bit avalanche mix)."""
    h = (np.asarray(ix).astype(np.int64).astype(np.uint32) * np.uint32(0x9E3779B1)
         ^ np.asarray(iy).astype(np.int64).astype(np.uint32) * np.uint32(0x85EBCA77)
         ^ np.uint32((int(seed) * 0xC2B2AE3D) & 0xFFFFFFFF))
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(12)
    h *= np.uint32(0x297A2D39)
    h ^= h >> np.uint32(15)
    return (h >> np.uint32(8)).astype(f32) * f32(1.0 / (1 << 24))


def noise(x, y, seed):
    """Smooth value noise in [-1, 1], lattice spacing 1."""
    xf, yf = np.floor(x), np.floor(y)
    tx, ty = (x - xf).astype(f32), (y - yf).astype(f32)
    x0, y0 = int(xf.min()), int(yf.min())
    nx, ny = int(xf.max()) - x0 + 2, int(yf.max()) - y0 + 2
    tx = tx * tx * tx * (tx * (tx * 6 - 15) + 10)
    ty = ty * ty * ty * (ty * (ty * 6 - 15) + 10)
    if nx * ny <= 2 * x.size:                            # few lattice points: a table
        gy, gx = np.mgrid[y0:y0 + ny, x0:x0 + nx]
        tab = (hash01(gx, gy, seed) * 2 - 1).ravel()
        i = (yf - y0).astype(np.int64) * nx + (xf - x0).astype(np.int64)
        a, b, c, d = tab[i], tab[i + 1], tab[i + nx], tab[i + nx + 1]
    else:                                                # scattered: hash the corners
        a, b, c, d = (hash01(xf + p, yf + q, seed) * 2 - 1 for q in (0, 1) for p in (0, 1))
    top = a + (b - a) * tx
    return top + (c + (d - c) * tx - top) * ty


def fbm(x, y, seed, octaves=3):
    out, amp, tot = 0.0, 1.0, 0.0
    for o in range(octaves):
        out = out + amp * noise(x * 2 ** o + 17.3 * o, y * 2 ** o - 9.1 * o, seed + 101 * o)
        tot += amp
        amp *= 0.5
    return out / tot


def sstep(a, b, x):
    t = np.clip((x - a) / (b - a), 0, 1)
    return t * t * (3 - 2 * t)


def hsv(rng, h, s, v, dh=0.015, ds=0.08, dv=0.07):
    """A jittered colour; h, s, v in [0, 1]."""
    return np.array(colorsys.hsv_to_rgb((h + rng.uniform(-dh, dh)) % 1.0,
                                        float(np.clip(s + rng.uniform(-ds, ds), 0, 1)),
                                        float(np.clip(v + rng.uniform(-dv, dv), 0, 1))), f32)


def mix(a, b, t):
    return a + (b - a) * t[..., None]


def sd(rng):
    return int(rng.integers(1 << 30))


# ------------------------------------------------------------------- textures
def weave(rng, X, Y):
    w = rng.uniform(7.8, 8.6)
    warp = hsv(rng, 0.60, 0.62, 0.55)
    weft = hsv(rng, 0.58, 0.28, 0.82)
    s = sd(rng)
    u, v = X / w, Y / w
    iu, iv = np.floor(u), np.floor(v)
    fu, fv = u - iu - 0.5, v - iv - 0.5
    over = ((iu + iv) % 2) < 0.5                         # warp (vertical) on top?
    across = np.where(over, fu, fv)
    along = np.where(over, fv, fu)
    tid = np.where(over, hash01(iu, 0 * iu, s), hash01(0 * iv, iv, s + 1))
    fib = noise(np.where(over, X, X / 6) / 1.6, np.where(over, Y / 6, Y) / 1.6, s + 2)
    shade = np.sqrt(np.clip(1 - (across / 0.5) ** 2, 0, 1)) * 0.55 + 0.45
    shade = shade * (0.72 + 0.28 * np.cos(np.pi * along))
    shade = shade * (1 + 0.10 * fib) * (0.93 + 0.14 * tid)
    col = np.where(over[..., None], warp, weft)
    return col * shade[..., None] * 1.12


def tartan(rng, X, Y):
    P = rng.uniform(42, 46)
    ground = hsv(rng, 0.985, 0.82, 0.72)
    band = hsv(rng, 0.38, 0.65, 0.26)
    band2 = hsv(rng, 0.62, 0.65, 0.26)
    line = hsv(rng, 0.13, 0.55, 0.92)
    wb = rng.uniform(0.15, 0.17)                         # band half width / P
    wl = rng.uniform(0.026, 0.034)
    w2 = rng.uniform(0.06, 0.075)
    e = 0.7 / P

    def sett(t):
        d0 = np.abs((t / P + 0.5) % 1.0 - 0.5)           # distance to the band's centre
        d1 = 0.5 - d0                                    # and to the ground's centre
        c = mix(ground, band, 1 - sstep(wb - e, wb + e, d0))
        c = mix(c, band2, 1 - sstep(w2 - e, w2 + e, d0))
        return mix(c, line, 1 - sstep(wl - e, wl + e, d1))
    tw = rng.uniform(7.6, 8.4)
    k = 0.5 + 0.5 * np.sin(2 * np.pi * (X + Y) / tw)     # twill diagonal
    k = 0.5 + (sstep(0.2, 0.8, k) - 0.5) * 0.55
    return mix(sett(X), sett(Y), k) * (0.92 + 0.16 * k[..., None])


def brick(rng, X, Y):
    bw, bh = rng.uniform(30, 33), rng.uniform(12.5, 13.5)
    m = rng.uniform(1.1, 1.5)
    base = hsv(rng, 0.035, 0.62, 0.66)
    alt = hsv(rng, 0.02, 0.60, 0.48)
    mort = hsv(rng, 0.10, 0.10, 0.78)
    s = sd(rng)
    row = np.floor(Y / bh)
    u = X / bw + 0.5 * (row % 2)
    col = np.floor(u)
    dx = (0.5 - np.abs(u - col - 0.5)) * bw
    dy = (0.5 - np.abs(Y / bh - row - 0.5)) * bh
    d = np.minimum(dx, dy) + 0.5 * noise(X / 4, Y / 4, s + 5)
    face = sstep(m - 0.7, m + 0.7, d)
    c = mix(base, alt, hash01(col, row, s))
    n = fbm(X / 5, Y / 5, s + 1, 2)
    bev = sstep(m, m + 2.5, d)
    c = c * ((0.86 + 0.14 * bev) * (1 + 0.13 * n))[..., None]
    return mix(mort * (1 + 0.06 * n)[..., None], c, face)


def wood(rng, X, Y):
    P = rng.uniform(11, 13)
    light = hsv(rng, 0.085, 0.55, 0.74)
    dark = hsv(rng, 0.060, 0.68, 0.40)
    s = sd(rng)
    wob = 1.6 * noise(X / 46, Y / 110, s) + 0.35 * noise(X / 20, Y / 50, s + 1)
    t = X / P + wob
    fr = t - np.floor(t)
    ring = sstep(0.15, 0.85, fr) * (1 - sstep(0.88, 1.0, fr))
    ring = ring * (0.7 + 0.3 * hash01(np.floor(t), 0 * t, s + 2))
    streak = noise(X / 2.2, Y / 26, s + 3)
    pore = sstep(0.55, 0.85, noise(X / 2.0, Y / 12, s + 4))
    c = mix(light, dark, np.clip(0.10 + 0.80 * ring + 0.10 * streak, 0, 1))
    return c * (1 - 0.22 * pore)[..., None]


def marble(rng, X, Y):
    base = hsv(rng, 0.12, 0.04, 0.93, dh=0.05, ds=0.03, dv=0.04)
    vein = hsv(rng, 0.58, 0.20, 0.36, dh=0.05, dv=0.06)
    tint = hsv(rng, 0.10, 0.18, 0.80, dh=0.04)
    s = sd(rng)
    P = rng.uniform(24, 28)
    n1, n2 = fbm(X / 40, Y / 40, s, 2), fbm(X / 40, Y / 40, s + 7, 2)
    t = (X + Y) * 0.7071 / P + 1.2 * n1
    d = np.abs((t + 0.5) % 1.0 - 0.5)
    v1 = np.exp(-(d / 0.085) ** 2) * sstep(-0.75, 0.35, n2 + 0.3)
    t2 = (X - 0.6 * Y) / (1.7 * P) + 1.2 * n2
    d2 = np.abs((t2 + 0.5) % 1.0 - 0.5)
    v2 = np.exp(-(d2 / 0.045) ** 2) * 0.55
    cloud = 0.5 + 0.5 * noise(X / 18, Y / 18, s + 9)
    c = mix(base, tint, 0.55 * cloud * np.exp(-(d / 0.22) ** 2))
    return mix(c, vein, np.clip(np.maximum(v1, v2), 0, 1) * 0.9)


def cells(rng, X, Y):
    g = rng.uniform(13, 15)
    a = hsv(rng, 0.10, 0.16, 0.70, dh=0.03)
    b = hsv(rng, 0.09, 0.22, 0.46, dh=0.03)
    gap = hsv(rng, 0.08, 0.25, 0.13, dv=0.04)
    s = sd(rng)
    x, y = X / g + 0.12 * noise(X / 7, Y / 7, s + 3), Y / g + 0.12 * noise(X / 7, Y / 7, s + 4)
    ix, iy = np.floor(x), np.floor(y)
    f1 = np.full(X.shape, 9.0, f32)
    f2 = np.full(X.shape, 9.0, f32)
    cid = np.zeros(X.shape, f32)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            cx, cy = ix + dx, iy + dy
            px = cx + 0.5 + 0.8 * (hash01(cx, cy, s) - 0.5)
            py = cy + 0.5 + 0.8 * (hash01(cx, cy, s + 1) - 0.5)
            d = np.sqrt((px - x) ** 2 + (py - y) ** 2)
            near = d < f1
            f2 = np.where(near, f1, np.minimum(f2, d))
            cid = np.where(near, hash01(cx, cy, s + 2), cid)
            f1 = np.where(near, d, f1)
    e = f2 - f1
    n = fbm(X / 5, Y / 5, s + 5, 2)
    c = mix(a, b, cid) * (0.80 + 0.30 * sstep(0.1, 0.6, e) + 0.12 * n)[..., None]
    return mix(gap, c, sstep(0.07, 0.20, e))


def water(rng, X, Y):
    deep = hsv(rng, 0.56, 0.80, 0.50)
    mid = hsv(rng, 0.52, 0.60, 0.74)
    lite = hsv(rng, 0.48, 0.12, 0.97, ds=0.05, dv=0.03)
    s = sd(rng)
    g = rng.uniform(17, 19)
    wx = X + 3.0 * noise(X / 16, Y / 16, s + 8)
    wy = (Y + 3.0 * noise(X / 16, Y / 16, s + 9)) * 1.35
    r1 = np.abs(noise(wx / g, wy / g, s) + 0.35 * noise(wx * 2 / g, wy * 2 / g, s + 1))
    r2 = np.abs(noise(wx / g + 7.7, wy / g - 3.1, s + 2) + 0.3 * noise(wx * 1.8 / g, wy * 1.8 / g, s + 3))
    line = np.maximum(np.exp(-(r1 / 0.15) ** 2), 0.8 * np.exp(-(r2 / 0.15) ** 2))
    swell = 0.5 + 0.5 * noise(wx / (1.3 * g), wy / (1.3 * g), s + 4)
    return mix(mix(deep, mid, 0.2 + 0.7 * swell), lite, 0.85 * line)


def dots(rng, X, Y):
    P = rng.uniform(15.5, 16.5)
    r = rng.uniform(4.6, 5.3)
    bg = hsv(rng, 0.92, 0.42, 0.94, dv=0.04)
    c1 = hsv(rng, 0.14, 0.20, 0.98, ds=0.10, dv=0.02)
    c2 = hsv(rng, 0.92, 0.85, 0.66)
    s = sd(rng)
    row = np.floor(Y / (P * 0.866))
    u = X / P + 0.5 * (row % 2)
    fx = (u - np.floor(u) - 0.5) * P
    fy = (Y / (P * 0.866) - row - 0.5) * P * 0.866
    d = np.sqrt(fx * fx + fy * fy)
    c = mix(c1, c2, 1 - sstep(-0.7, 0.7, d - 0.45 * r))   # ring with a darker heart
    t = 1 - sstep(-0.8, 0.8, d - r)
    n = noise(X / 6, Y / 6, s)
    return mix(bg * (1 + 0.03 * n)[..., None], c, t)


def grass(rng, X, Y):
    dark = hsv(rng, 0.33, 0.75, 0.16, dv=0.03)
    mid = hsv(rng, 0.29, 0.72, 0.50)
    tip = hsv(rng, 0.22, 0.55, 0.86)
    s = sd(rng)
    wx = X + 6.0 * noise(X / 26, Y / 30, s + 10)
    best = np.full(X.shape, -1.0, f32)
    shade = np.zeros(X.shape, f32)
    for k, (lean, wid, ln) in enumerate(((0.30, 5.5, 24), (-0.28, 5.5, 22), (0.02, 6.0, 26))):
        u = (wx + lean * Y) / wid + 0.37 * k
        iu = np.floor(u)
        fu = np.abs(u - iu - 0.5) * 2                      # 0 centre .. 1 side
        v = Y / ln + hash01(iu, 0 * iu, s + k)
        iv = np.floor(v)
        fv = v - iv                                        # 0 tip .. 1 root
        h = hash01(iu, iv, s + 20 + k)
        blade = sstep(0.0, 0.25, (0.25 + 0.75 * np.sqrt(fv)) * 0.95 - fu)
        z = blade * (0.3 + 0.7 * h)
        on = z > best
        shade = np.where(on, blade * (0.30 + 0.35 * h + 0.45 * (1 - fv)) * (1 - 0.25 * fu), shade)
        best = np.where(on, z, best)
    shade = np.clip(shade, 0, 1)
    return mix(mix(dark, mid, sstep(0.0, 0.5, shade)), tip, sstep(0.5, 1.0, shade))


def knit(rng, X, Y):
    w, h = rng.uniform(12.6, 13.6), rng.uniform(9.2, 9.9)
    yarn = hsv(rng, 0.76, 0.42, 0.72)
    dark = yarn * rng.uniform(0.18, 0.26)
    s = sd(rng)
    u = X / w
    iu = np.floor(u)
    a = np.abs(u - iu - 0.5) * 2                           # 0 column centre .. 1 side
    v = Y / h + 0.62 * (1 - a) * -1.0 + 0.15 * np.sin(np.pi * a)
    iv = np.floor(v)
    fv = (v - iv - 0.5) * 2
    fa = (a - 0.5) * 2
    q = fa * fa * 0.95 + fv * fv * 0.85
    body = np.clip(1 - q, 0, 1)
    side = (u - iu) > 0.5
    ply = np.sin(2 * np.pi * (1.5 * fv + np.where(side, 1.0, -1.0) * fa * 0.9))
    t = np.sqrt(body) * (1 + 0.12 * ply) * (0.92 + 0.16 * hash01(iu * 2 + side, iv, s))
    t = t * (1 + 0.06 * noise(X / 3, Y / 3, s + 1))
    return mix(dark, np.minimum(yarn * 1.15, 1), np.clip(t, 0, 1))


FUNCS = [weave, tartan, brick, wood, marble, cells, water, dots, grass, knit]


def texture(cls, seed, size, flip=True):
    """cls: index or name; seed: int; size: int or (h, w).  float32 in [-1, 1]."""
    k = CLASSES.index(cls) if isinstance(cls, str) else int(cls)
    h, w = (size, size) if np.isscalar(size) else size
    rng = np.random.default_rng([k, int(seed)])
    ox, oy = rng.uniform(0, 20000, 2)
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    if flip and FLIPX[k] and rng.random() < 0.5:
        x = -x
    x, y = (x + ox), (y + oy)
    img = FUNCS[k](rng, x, y)
    return (np.clip(img, 0, 1) * 2 - 1).astype(f32)


# classes whose mirror image (left-right) is a natural member of the same class
FLIPX = [True, False, True, True, False, True, True, True, True, True]


def to_u8(img):
    return np.clip(np.rint((img + 1) * 127.5), 0, 255).astype(np.uint8)


def _job(a):
    k, seed, size = a
    return to_u8(texture(k, seed, size))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("sheet", nargs="?", help="write an overview sheet PNG")
    ap.add_argument("--cache", help="write a data set (.npz: x uint8 NHWC, y int64)")
    ap.add_argument("--per-class", type=int, default=800)
    ap.add_argument("--size", type=int, default=208)
    ap.add_argument("--seed0", type=int, default=0, help="seeds seed0 .. seed0+per_class-1")
    ap.add_argument("--workers", type=int, default=2)
    a = ap.parse_args()
    if a.cache:
        from concurrent.futures import ProcessPoolExecutor
        jobs = [(k, a.seed0 + i, a.size) for i in range(a.per_class) for k in range(10)]
        with ProcessPoolExecutor(a.workers) as ex:
            x = np.stack(list(ex.map(_job, jobs, chunksize=32)))
        np.savez(a.cache, x=x, y=np.array([j[0] for j in jobs], np.int64))
    if a.sheet:
        from PIL import Image
        rows = [np.concatenate([to_u8(texture(k, s, 160)) for k in range(r * 5, r * 5 + 5)], 1)
                for r in (0, 1) for s in (1, 2, 3)]
        Image.fromarray(np.concatenate(rows, 0)).save(a.sheet)


if __name__ == "__main__":
    main()
