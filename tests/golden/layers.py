#!/usr/bin/env python3
"""Answers for tests/core/test_reference.c and test_layers.c, by torch.

    python3 tests/golden/layers.py > tests/golden/layers.txt

Needs torch and diffusers. Inputs and weights are not stored: both sides make
them from a name by the same hash (fill). Results are computed in double,
except for embeddings of time, where diffusers' own float32 is the standard.
Every record is one line: name, count of parameters, parameters, count of
values, values. Images are stored as [h][n][w][c].
"""
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import (GaussianFourierProjection,
                                         get_timestep_embedding)


def fill(name, shape, scale=1.0):
    """Values in [-scale, scale) that depend on the name alone."""
    i = np.arange(int(np.prod(shape)), dtype=np.uint64)
    x = (zlib.crc32(name.encode()) + i * 0x9E3779B9) & 0xFFFFFFFF
    x = ((x ^ x >> 16) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ x >> 15) * 0x846CA68B) & 0xFFFFFFFF
    x = x ^ x >> 16
    v = (x >> 8).astype(np.float32) / np.float32(1 << 23) - np.float32(1)
    return torch.from_numpy((v * np.float32(scale)).reshape(shape))


def image(name, n, h, w, c, scale=1.0):
    return fill(name, (h, n, w, c), scale).permute(1, 3, 0, 2).double().contiguous()


def emit(name, out, params=()):
    out = out.detach()
    if out.dim() == 4:
        out = out.permute(2, 0, 3, 1)
    v = out.reshape(-1).tolist()
    print(name, len(params), *params, len(v), *('%.9g' % x for x in v))


ACTS = [lambda x: x, F.silu, F.relu, F.gelu, F.mish,
        lambda x: 3 * torch.tanh(x / 3)]


def conv(kh, kw, stride, up, pad, cin, cout, act=0, post=0, scale=1.0,
         bias=1, bias_n=0, res=0, n=1, h=4, w=4):
    """One convolution; pad = top, left, bottom, right."""
    x = [image('in%d' % i, n, h, w, c) for i, c in enumerate(cin) if c]
    x = torch.cat(x, 1)
    if up == 2:
        x = F.interpolate(x, scale_factor=2, mode='nearest')
    x = F.pad(x, (pad[1], pad[3], pad[0], pad[2]))
    m = fill('weight', (cout, sum(cin), kh, kw), 0.25).double()
    y = F.conv2d(x, m, stride=stride)
    if bias:
        y = y + fill('bias', (cout,)).double()[None, :, None, None]
    if bias_n:
        y = y + fill('bias_n', (n, cout)).double()[:, :, None, None]
    y = ACTS[act](y)
    if res:
        y = y + image('res', n, y.shape[2], y.shape[3], cout)
    y = ACTS[post](y) * scale
    emit('conv', y, (kh, kw, stride, up, pad[0], pad[1], cin[0], cin[1], cout,
                     act, post, scale, bias, bias_n, res, n, h, w,
                     y.shape[2], y.shape[3]))


def convs():
    conv(3, 3, 1, 1, (1, 1, 1, 1), (3, 0), 4, n=2, h=5, w=6)
    conv(3, 3, 2, 1, (1, 1, 1, 1), (3, 0), 5, act=1, bias_n=1, n=2, h=6, w=8)
    conv(3, 3, 2, 1, (0, 0, 1, 1), (2, 0), 3, act=2, h=6, w=8)
    conv(3, 3, 1, 2, (1, 1, 1, 1), (3, 0), 2, n=2, h=3, w=4)
    conv(3, 3, 1, 1, (1, 1, 1, 1), (2, 3), 4, post=2, scale=0.5, res=1, n=2)
    conv(1, 1, 1, 1, (0, 0, 0, 0), (3, 2), 4, act=3, bias=0, bias_n=1, n=3)
    conv(1, 1, 1, 1, (0, 0, 0, 0), (7, 0), 9, act=4, n=3, h=1, w=1)
    conv(3, 3, 1, 1, (1, 1, 1, 1), (4, 0), 3, act=5, post=3, res=1, bias=0)
    conv(5, 5, 1, 1, (2, 2, 2, 2), (2, 0), 2, h=6, w=5)
    conv(1, 3, 1, 1, (0, 1, 0, 1), (2, 0), 2, h=3, w=5)
    conv(3, 3, 1, 1, (1, 1, 1, 1), (5, 0), 70, h=2, w=3)


def kernels():
    for i, act in enumerate(ACTS):
        emit('act', act(fill('act', (64,), 20.0).double()), (i,))

    n, h, w, heads, dim = 2, 9, 11, 2, 3
    q, k, v = (fill(s, (h, n, w, heads, dim), 2.0).double()
               .permute(1, 3, 0, 2, 4).reshape(n, heads, h * w, dim)
               for s in ('q', 'k', 'v'))
    y = F.scaled_dot_product_attention(q, k, v, scale=1.5)
    y = y.reshape(n, heads, h, w, dim).permute(2, 0, 3, 1, 4)
    emit('attend', y.reshape(-1), (n, h, w, heads, dim, 1.5))

    n, h, w, c, groups = 2, 3, 5, (4, 5), 3
    x = torch.cat([image('in%d' % i, n, h, w, c[i]) for i in (0, 1)], 1)
    x = (x.float() + 1000).double().reshape(n, groups, 3, h, w)
    x = x.permute(3, 0, 1, 2, 4).reshape(h, n, groups, 3 * w)
    m2 = ((x - x.mean(-1, keepdim=True)) ** 2).sum(-1)
    emit('moments', torch.stack([x.sum(-1), m2], -1).reshape(-1),
         (n, h, w, *c, groups))

    x = image('in0', 2, 4, 6, 3)
    emit('up', F.interpolate(x, scale_factor=2, mode='nearest'))
    emit('down', F.avg_pool2d(x, 2))


def dtypes():
    """Checksums of every finite half and bfloat16 as float bits."""
    for name, bits in (('half', 10), ('bfloat16', 7)):
        raw = np.arange(1 << 16, dtype=np.uint16)
        t = torch.from_numpy(raw.view(np.int16)).view(getattr(torch, name))
        f = t.float().numpy()
        f = f[~np.isnan(f)]
        crc = zlib.crc32(f.astype('<f4').tobytes())
        emit('dtype', torch.tensor([crc & 0xFFFF, crc >> 16]).double(), (bits,))


# ---- layers: the same modules as in test_layers.c -------------------------

N, H, W = 2, 20, 6


def weight(name, shape, scale=0.25):
    return fill(name, shape, scale).double()


def load(module, prefix):
    """Fill a module's weights by their names."""
    module = module.double().eval()
    for name, p in module.named_parameters():
        p.data = weight(prefix + name, p.shape)
    return module


def layer_conv(x, name, cout, k, **kw):
    m = weight(name + '.weight', (cout, x.shape[1], k, k))
    return F.conv2d(x, m, weight(name + '.bias', (cout,)), **kw)


def layer_norm(x, name, groups, eps):
    c = x.shape[1]
    return F.group_norm(x, groups, weight(name + '.weight', (c,)),
                        weight(name + '.bias', (c,)), eps)


def time_embedding():
    t = torch.tensor([999.0, 20.5])
    return get_timestep_embedding(t, 10, True, 0).double()


def linear(x, name, cout):
    return F.linear(x, weight(name + '.weight', (cout, x.shape[1])),
                    weight(name + '.bias', (cout,)))


def convolutions(x):
    h = F.silu(layer_conv(x, 'a', 6, 3, padding=1))
    d = layer_conv(h, 'b', 5, 3, padding=1, stride=2)
    d = d + linear(time_embedding(), 't', 5)[:, :, None, None]
    e = layer_conv(F.pad(h, (0, 1, 0, 1)), 'c', 5, 3, stride=2)
    u = F.interpolate(torch.cat([d, e], 1), scale_factor=2, mode='nearest')
    u = layer_conv(u, 'd', 6, 3, padding=1)
    v = F.relu(layer_conv(torch.cat([h, u], 1), 'e', 6, 3, padding=1) + h)
    v = v + layer_conv(v, 'g', 6, 3, padding=1)
    v = layer_conv(v, 'h', 6, 3, padding=1)
    return layer_conv(torch.cat([v, x], 1), 'f', 3, 1) * 0.5


def norms(x):
    h = F.silu(layer_norm(layer_conv(x, 'a', 6, 3, padding=1), 'n1', 3, 1e-5))
    t = linear(F.silu(time_embedding()), 't', 2 * 10)
    y = layer_norm(torch.cat([h, x], 1), 'n2', 2, 1e-3)
    s, b = t[:, :, None, None].chunk(2, 1)
    return y * (1 + s) + b


def attention(x):
    m = load(Attention(4, heads=2, dim_head=3, bias=True, norm_num_groups=2,
                       eps=1e-5, residual_connection=True,
                       rescale_output_factor=2.0), 'attn.')
    return m(x * 3 + 1)


def resampling(x):
    y = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode='nearest')
    return F.avg_pool2d(y, 2)


def embeddings():
    t = torch.tensor([999.0, 0.0])
    for dim, flip, shift in ((10, True, 0), (9, False, 1), (64, False, 1)):
        emit('sinusoid', get_timestep_embedding(t, dim, flip, shift),
             (dim, int(flip), shift))
    t = torch.tensor([999.0, 0.5])
    for flip, log in ((False, True), (True, False)):
        m = GaussianFourierProjection(8, log=log, flip_sin_to_cos=flip)
        m.weight.data = fill('p.weight', (8,), 0.25)
        emit('fourier', m(t), (int(flip), int(log)))
    t = linear(F.silu(linear(time_embedding(), 'l1', 12)), 'l2', 7)
    t = t + F.embedding(torch.tensor([3, 0]), weight('c.weight', (5, 7)))
    emit('vectors', t)


def layers():
    x = image('x', N, H, W, 4)
    emit('convolutions', convolutions(x))
    emit('norms', norms(x))
    emit('attention', attention(x))
    emit('resampling', resampling(x))
    embeddings()


if __name__ == '__main__':
    convs()
    kernels()
    dtypes()
    layers()
