/*
 * layer_nets.h - nets of a few layers: the same modules as in
 * tests/golden/layers.py, and wider ones.
 */
#ifndef WEFT_TESTS_CORE_LAYER_NETS_H
#define WEFT_TESTS_CORE_LAYER_NETS_H

#include "core/layer/layer.h"

static weft_val time_embedding(weft_graph *g)
{
    return weft_add_sinusoid(g, WEFT_EMBED_TIME, 10, true, 0);
}

static weft_val convolutions(weft_graph *g)
{
    const weft_val x = g->input, t = time_embedding(g);
    const weft_val s = weft_add_linear(g, "t", t, 5, WEFT_LINEAR);
    const weft_val h =
        weft_add_conv(g, "a", x, 6, WEFT_CONV(.k = 3, .act = WEFT_SILU));
    const weft_val d =
        weft_add_conv(g, "b", h, 5, WEFT_CONV(.k = 3, .stride = 2, .shift = s));
    const weft_val e = weft_add_conv(
        g, "c", h, 5, WEFT_CONV(.k = 3, .stride = 2, .pad_given = true));
    const weft_val u =
        weft_add_conv(g, "d", d, 6, WEFT_CONV(.k = 3, .up = 2, .in2 = e));
    weft_val v = weft_add_conv(
        g, "e", h, 6, WEFT_CONV(.k = 3, .in2 = u, .res = h, .post = WEFT_RELU));

    v = weft_add_conv(g, "g", v, 6, WEFT_CONV(.k = 3, .res = v));
    v = weft_add_conv(g, "h", v, 6, WEFT_CONV(.k = 3));
    return weft_add_conv(g, "f", v, 3,
                         WEFT_CONV(.k = 1, .in2 = x, .scale = 0.5f));
}

static weft_val norms(weft_graph *g)
{
    const weft_val x = g->input;
    const weft_val t = weft_add_map(g, time_embedding(g), 1, 0, WEFT_SILU);
    const weft_val s = weft_add_linear(g, "t", t, 2 * 10, WEFT_LINEAR);
    weft_val h = weft_add_conv(g, "a", x, 6, WEFT_CONV(.k = 3));

    h = weft_add_group_norm(g, "n1", h, WEFT_NONE, 3, 1e-5f, WEFT_NONE,
                            WEFT_SILU);
    return weft_add_group_norm(g, "n2", h, x, 2, 1e-3f, s, WEFT_LINEAR);
}

static weft_val attention(weft_graph *g)
{
    const weft_val x = weft_add_map(g, g->input, 3, 1, WEFT_LINEAR);
    const weft_val h = weft_add_group_norm(g, "attn.group_norm", x, WEFT_NONE,
                                           2, 1e-5f, WEFT_NONE, WEFT_LINEAR);

    return weft_add_self_attention(g, "attn", h, x, 2, 3, true, false, 0.5f);
}

static weft_val resampling(weft_graph *g)
{
    const weft_val d = weft_add_resample(g, g->input, false);

    return weft_add_resample(g, weft_add_resample(g, d, true), false);
}

static weft_val vectors(weft_graph *g)
{
    weft_val t = weft_add_linear(g, "l1", time_embedding(g), 12, WEFT_SILU);

    t = weft_add_linear(g, "l2", t, 7, WEFT_LINEAR);
    return weft_add_sum(g, t, weft_add_lookup(g, "c", 5, 7));
}

/* Wide enough to compute the inside while the borders travel. */
static weft_val wide(weft_graph *g)
{
    const weft_val h = weft_add_conv(g, "a", g->input, 4, WEFT_CONV(.k = 3));
    weft_val d = weft_add_conv(g, "b", h, 4, WEFT_CONV(.k = 3, .stride = 2));

    d = weft_add_conv(g, "c", d, 4, WEFT_CONV(.k = 3, .up = 2));
    return weft_add_conv(g, "d", d, 4, WEFT_CONV(.k = 3, .res = h));
}

/* Channels enough for every kind of kernel; tiles of 4, 2 and 1 rows. */
static weft_val deep(weft_graph *g)
{
    weft_val h = weft_add_conv(g, "a", g->input, 40, WEFT_CONV(.k = 3)), u = h;

    h = weft_add_group_norm(g, "n", h, WEFT_NONE, 8, 1e-5f, WEFT_NONE,
                            WEFT_SILU);
    h = weft_add_conv(g, "b", h, 40, WEFT_CONV(.k = 3, .res = u));
    h = weft_add_conv(g, "c", h, 40, WEFT_CONV(.k = 3, .stride = 2));
    h = weft_add_self_attention(g, "at", h, h, 2, 20, true, false, 1);
    h = weft_add_self_attention(g, "at2", h, h, 10, 4, true, false, 1);
    u = weft_add_conv(g, "d", h, 24, WEFT_CONV(.k = 3, .stride = 2));
    u = weft_add_conv(g, "e", u, 40, WEFT_CONV(.k = 3, .act = WEFT_RELU));
    u = weft_add_conv(g, "f", u, 40, WEFT_CONV(.k = 3, .up = 2));
    h = weft_add_group_norm(g, "n2", h, u, 8, 1e-5f, WEFT_NONE, WEFT_SILU);
    return weft_add_conv(g, "g", h, 3, WEFT_CONV(.k = 1));
}

#endif
