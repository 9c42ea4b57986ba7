#include "tests/woven.h"

#include <stdlib.h>
#include <string.h>

static const weft_cell cell = {WOVEN_UNIT, WOVEN_STRIP, WOVEN_COLUMNS};

static void must(weft_status st)
{
    if (st != WEFT_OK) WEFT_BUG(weft_fail_text());
}

void weft_woven_net(weft_graph *g)
{
    weft_val x, y, z;

    weft_graph_init(g, cell, WOVEN_CHANNELS);
    x = weft_add_conv(g, "in", g->input, 16, WEFT_CONV(.k = 3));
    y = weft_add_group_norm(g, "norm", x, WEFT_NONE, 4, 1e-5f, WEFT_NONE,
                            WEFT_SILU);
    y = weft_add_conv(g, "down", y, 24, WEFT_CONV(.k = 3, .stride = 2));
    y = weft_add_self_attention(g, "look", y, y, 4, 6, true, false, 1);
    y = weft_add_conv(g, "up", y, 16, WEFT_CONV(.k = 3, .up = 2));
    z = weft_add_group_norm(g, "join", y, x, 8, 1e-5f, WEFT_NONE, WEFT_SILU);
    z = weft_add_conv(g, "out", z, WOVEN_CHANNELS, WEFT_CONV(.k = 3));
    must(weft_graph_finish(g, z));
}

weft_rect weft_woven_rect(const weft_cut *cut, int p)
{
    return weft_cut_rect(cut, &cell, p);
}

static float any(uint32_t i)
{
    i = (i ^ 61u ^ (i >> 16)) * 9u;
    i = (i ^ (i >> 4)) * 0x27d4eb2du;
    return (float)(int)((i ^ (i >> 15)) % 2001u) / 1000.0f - 1.0f;
}

static void *room(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);

    WEFT_MUST(p);
    memset(p, 0xff, bytes); /* not-a-number wherever nobody writes */
    return p;
}

static char *make_weights(const weft_graph *g, const weft_device *dev,
                          const weft_layout *l)
{
    char *blob = room(l->weight_bytes);

    for (int i = 0; i < g->nweights; i++) {
        const weft_weight *w = &g->weight[i];
        const weft_conv *v = &w->conv;
        const size_t n = w->kind == WEFT_WEIGHT_CONV
                             ? (size_t)(v->kh * v->kw) *
                                   (size_t)(v->cin[0] + v->cin[1]) *
                                   (size_t)v->cout
                             : w->count;
        float *plain = room(n * sizeof *plain);
        const weft_source src = {plain, WEFT_F32, v->cout};

        for (size_t k = 0; k < n; k++)
            plain[k] = any((uint32_t)(k * 31 + (size_t)i * 7919)) * 0.2f;
        if (w->kind == WEFT_WEIGHT_CONV)
            dev->weight_pack(v, &src, 1, blob + l->weight[i], 0, 1);
        else
            memcpy(blob + l->weight[i], plain, n * sizeof *plain);
        free(plain);
    }
    return blob;
}

/* Of evaluation t, my part of the image. */
static void make_input(const weft_rect *r, int t, float *in)
{
    const int line = r->columns * WOVEN_CHANNELS;

    for (int y = 0; y < r->rows * WOVEN_SAMPLES; y++)
        for (int k = 0; k < line; k++)
            *in++ =
                any((uint32_t)((r->row * WOVEN_SAMPLES + y) * WOVEN_COLUMNS *
                                   WOVEN_CHANNELS +
                               r->column * WOVEN_CHANNELS + k + 1000003 * t));
}

weft_traffic weft_woven_run(const weft_graph *g, const weft_device *dev,
                            int threads, weft_exchange *x, float *out)
{
    const weft_rect r = weft_woven_rect(&x->cut, x->cut.me);
    weft_layout l;
    weft_pool *pool;
    weft_run run = {.dev = dev, .x = x, .layout = &l};
    char *weights;

    must(weft_layout_make(g, dev, WOVEN_SAMPLES, &x->cut, &l));
    must(weft_pool_create(threads, NULL, &pool));
    must(weft_pool_reserve(pool, l.scratch));
    run.pool = x->pool = pool;
    run.block = room(l.bytes);
    run.weights = weights = make_weights(g, dev, &l);
    must(weft_graph_declare(g, WOVEN_SAMPLES, x));
    must(weft_graph_bind(g, &l, run.block, x, 0));
    for (int t = 0; t < WOVEN_EVALUATIONS; t++) {
        make_input(&r, t, weft_run_value(&run, g->input));
        must(weft_graph_eval(g, &run));
    }
    memcpy(out, weft_run_value(&run, g->output),
           weft_rect_pixels(&r) * WOVEN_SAMPLES * WOVEN_CHANNELS * sizeof *out);
    must(weft_exchange_restart(x));
    x->pool = NULL;
    weft_pool_destroy(pool);
    weft_layout_release(&l);
    free(run.block);
    free(weights);
    return x->traffic;
}
