/*
 * Time by class of layer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "launch/bench.h"
#include "launch/standard.h"

enum { PEAK_PIXELS = 96, PEAK_CIN = 160, PEAK_COUT = 32, PEAK_CALLS = 400 };

typedef struct peak_data {
    float *in, *out;
    void *weight;
} peak_data;

static double peak_of(const weft_device *dev, const weft_conv *v,
                      const peak_data *d, weft_pool *one)
{
    const weft_conv_args a = {.conv = v,
                              .weight = d->weight,
                              .n = 1,
                              .w = PEAK_PIXELS,
                              .wout = PEAK_PIXELS,
                              .col1 = PEAK_PIXELS,
                              .in = {d->in, NULL},
                              .out = d->out,
                              .row0 = 0,
                              .row1 = 1};
    double best = 0;

    for (int k = 0; k < 5; k++) {
        const double start = weft_clock();

        for (int i = 0; i < PEAK_CALLS; i++) dev->conv(&a, one);
        const double rate = PEAK_CALLS * weft_conv_flops(v, PEAK_PIXELS) /
                            (weft_clock() - start);
        if (rate > best) best = rate;
    }
    return best;
}

/* FLOP/s of one thread of the matrix kernel; 0 without memory. */
static double measure_peak(const weft_device *dev)
{
    const weft_conv v = {.kh = 1,
                         .kw = 1,
                         .stride = 1,
                         .up = 1,
                         .cin = {PEAK_CIN, 0},
                         .cout = PEAK_COUT,
                         .tile_rows = 1,
                         .scale = 1};
    peak_data d = {
        .in = calloc(PEAK_PIXELS * PEAK_CIN, sizeof(float)),
        .out = calloc(PEAK_PIXELS * PEAK_COUT, sizeof(float)),
        .weight = aligned_alloc(64, dev->weight_bytes(&v)),
    };
    weft_pool *one = NULL;
    double rate = 0;

    if (d.in && d.out && d.weight &&
        weft_pool_create(1, NULL, &one) == WEFT_OK &&
        weft_pool_reserve(one, dev->conv_scratch(&v, 1, PEAK_PIXELS)) ==
            WEFT_OK) {
        memset(d.weight, 0, dev->weight_bytes(&v));
        rate = peak_of(dev, &v, &d, one);
    }
    weft_pool_destroy(one);
    free(d.in);
    free(d.out);
    free(d.weight);
    return rate;
}

/* Sum time and work of all nodes of node i's class, over the runs and of one
 * run; false if an earlier node is of that class. */
static bool sum_class(const weft_bench *b, int net, int i, double *seconds,
                      double *flops)
{
    const weft_graph *g = &b->job.net[net].file->graph;
    const weft_layout *l = &b->job.net[net].layout;
    const char *kind = g->node[i].ops->kind;

    *seconds = *flops = 0;
    for (int k = 0; k < g->nnodes; k++) {
        const weft_layer_ops *ops = g->node[k].ops;

        if (strcmp(ops->kind, kind)) continue;
        if (k < i) return false;
        if (!b->job.net[net].mine) continue;
        *seconds += b->job.net[net].seconds[k];
        *flops += weft_graph_flops(g, k, l->n, l->units, l->total_units);
    }
    return true;
}

static void print_class(const weft_bench *b, const char *what, const char *kind,
                        double seconds, double flops, double peak)
{
    const int runs = b->job.config.bench.runs;
    const double rate = flops * runs / seconds / 1e9;

    printf("{\"bench\": \"layers\", \"of\": \"%s\", \"class\": \"%s\", "
           "\"seconds\": %.6f, \"gflop\": %.4f, \"gflops\": %.2f, "
           "\"peak_gflops\": %.2f, \"of_peak\": %.3f}\n",
           what, kind, seconds / runs, flops / 1e9, rate, peak, rate / peak);
}

/* bench.runs times `fn`, after one to warm up, timed by node. */
static weft_status by_node(weft_bench *b, int net, weft_timed *fn)
{
    const weft_job_net *timed = &b->job.net[net];
    const size_t nodes = (size_t)timed->file->graph.nnodes;

    WEFT_TRY(fn(b));
    if (timed->mine) memset(timed->seconds, 0, nodes * sizeof(double));
    for (int i = 0; i < b->job.config.bench.runs; i++) WEFT_TRY(fn(b));
    return WEFT_OK;
}

/* Of the nets that rank 0 has a part in. */
weft_status weft_bench_layers(weft_bench *b, int net, const char *what,
                              weft_timed *fn)
{
    const weft_graph *g = &b->job.net[net].file->graph;
    const double peak =
        measure_peak(b->job.setup.dev) / 1e9 * b->job.topology.threads;

    WEFT_TRY(by_node(b, net, fn));
    for (int i = 0; i < g->nnodes && b->speaks && b->job.net[net].mine; i++) {
        double seconds, flops;

        if (sum_class(b, net, i, &seconds, &flops))
            print_class(b, what, g->node[i].ops->kind, seconds, flops, peak);
    }
    return b->speaks ? weft_standard_flush() : WEFT_OK;
}
