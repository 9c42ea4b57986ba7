/*
 * `weft bench`: how long the parts of a run take, as JSON lines.
 *
 *   unet_eval   one guided evaluation of one sample
 *   vae_decode  one picture from its latents
 *   image       all steps and the decoding, nothing written
 *   layers      the evaluation by class of layer, against the rate of the
 *               matrix kernel on data that stays in the nearest cache
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "launch/commands.h"
#include "launch/sample.h"
#include "launch/standard.h"

typedef struct bench {
    weft_job job;
    weft_sampler sampler;
    float *out;  /* of one evaluation */
    bool speaks; /* rank 0 */
} bench;

typedef weft_status timed(bench *b);

/* ---- what is timed ------------------------------------------------------- */

static weft_status unet_eval(bench *b)
{
    const weft_input in = {.x = b->sampler.x,
                           .time = b->job.setup.solver->time[0]};

    return weft_predict(b->sampler.denoiser, &in, b->out);
}

static weft_status vae_decode(bench *b)
{
    const float *picture;

    return weft_sampler_decode(&b->sampler, 0, &picture);
}

static weft_status image(bench *b)
{
    weft_progress silent;

    weft_progress_start(&silent, NULL, "", b->job.setup.plan.steps);
    WEFT_TRY(weft_sampler_run(&b->sampler, 0, 1, &silent, 0));
    return b->job.setup.decode >= 0 ? vae_decode(b) : WEFT_OK;
}

/* ---- timing -------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static weft_status time_one(bench *b, timed *fn, double *seconds)
{
    const double start = weft_clock();

    WEFT_TRY(fn(b));
    *seconds = weft_clock() - start;
    return weft_comm_max(b->job.world, seconds, 1);
}

/* One run to warm up, then `n` that count. */
static weft_status measure(bench *b, const char *name, timed *fn)
{
    const int n = b->job.config.bench.runs;
    double *s = calloc((size_t)n + 1, sizeof *s);
    weft_status st = s ? time_one(b, fn, s) : WEFT_ENOMEM;

    for (int i = 0; i < n && st == WEFT_OK; i++) st = time_one(b, fn, &s[i]);
    if (st == WEFT_OK && b->speaks) {
        qsort(s, (size_t)n, sizeof *s, by_value);
        printf("{\"bench\": \"%s\", \"n\": %d, \"min_s\": %.6f, "
               "\"median_s\": %.6f, \"max_s\": %.6f}\n",
               name, n, s[0], n % 2 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2,
               s[n - 1]);
        st = weft_standard_flush();
    }
    free(s);
    return st;
}

/* ---- by class of layer --------------------------------------------------- */

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

/* Sum time and work of all nodes of node i's class; false if an earlier node
 * is of that class. */
static bool sum_class(const bench *b, int net, int i, double *seconds,
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
        *seconds += b->job.net[net].seconds[k];
        if (ops->flops)
            *flops += ops->flops(g, k, l->n, l->units, l->total_units);
    }
    return true;
}

static void print_class(const bench *b, const char *what, const char *kind,
                        double seconds, double flops, double peak)
{
    const int runs = b->job.config.bench.runs;
    const double rate = flops * runs / seconds / 1e9;

    printf("{\"bench\": \"layers\", \"of\": \"%s\", \"class\": \"%s\", "
           "\"seconds\": %.6f, \"gflop\": %.4f, \"gflops\": %.2f, "
           "\"peak_gflops\": %.2f, \"of_peak\": %.3f}\n",
           what, kind, seconds / runs, flops / 1e9, rate, peak, rate / peak);
}

static weft_status by_layer(bench *b, int net, const char *what, timed *fn)
{
    const weft_graph *g = &b->job.net[net].file->graph;
    const double peak =
        measure_peak(b->job.setup.dev) / 1e9 * b->job.topology.threads;

    WEFT_TRY(fn(b));
    memset(b->job.net[net].seconds, 0, (size_t)g->nnodes * sizeof(double));
    for (int i = 0; i < b->job.config.bench.runs; i++) WEFT_TRY(fn(b));
    for (int i = 0; i < g->nnodes && b->speaks; i++) {
        double seconds, flops;

        if (sum_class(b, net, i, &seconds, &flops))
            print_class(b, what, g->node[i].ops->kind, seconds, flops, peak);
    }
    return b->speaks ? weft_standard_flush() : WEFT_OK;
}

/* ---- the command --------------------------------------------------------- */

static bool wants(const bench *b, const char *what)
{
    const char *asked = b->job.config.bench.what;

    return !strcmp(asked, "all") || !strcmp(asked, what);
}

static weft_status run_all(bench *b)
{
    const weft_setup *s = &b->job.setup;

    if (wants(b, "unet_eval")) WEFT_TRY(measure(b, "unet_eval", unet_eval));
    if (wants(b, "vae_decode") && s->decode >= 0)
        WEFT_TRY(measure(b, "vae_decode", vae_decode));
    if (wants(b, "image")) WEFT_TRY(measure(b, "image", image));
    if (!wants(b, "layers")) return WEFT_OK;
    WEFT_TRY(by_layer(b, s->denoise, "unet_eval", unet_eval));
    return s->decode >= 0 ? by_layer(b, s->decode, "vae_decode", vae_decode)
                          : WEFT_OK;
}

static weft_status start(bench *b, weft_comm *world, const weft_cli *cli)
{
    const char *override[WEFT_MAX_OVERRIDES + 1];
    weft_solver *solver;
    size_t floats;

    memcpy(override, cli->override, sizeof cli->override);
    override[cli->noverrides] = "run.batch=1";
    WEFT_TRY(weft_job_plan(world, cli->path, override, cli->noverrides + 1,
                           &b->job));
    WEFT_TRY(weft_job_connect(&b->job, true));
    WEFT_TRY(weft_sampler_create(&b->job, &b->sampler));
    if (b->job.setup.decode >= 0)
        WEFT_TRY(weft_job_load(&b->job, b->job.setup.decode));
    solver = b->job.setup.solver;
    floats = weft_batch_floats(&solver->batch);
    b->out = calloc(floats, sizeof *b->out);
    b->speaks = weft_comm_rank(world) == 0;
    if (!b->out) return weft_fail(WEFT_ENOMEM, "out of memory");
    weft_noise_init(b->sampler.noise, b->job.config.sample.rng,
                    b->job.config.sample.seed[0]);
    return weft_solver_start(solver, b->sampler.x);
}

int weft_command_bench(const weft_cli *cli)
{
    bench b = {0};
    weft_comm *world = NULL;
    weft_status st = weft_comm_open(&world);

    if (st == WEFT_OK) st = start(&b, world, cli);
    if (st == WEFT_OK) {
        st = run_all(&b);
        if (st != WEFT_OK) weft_comm_abort(world);
    } else if (!world || weft_comm_rank(world) == 0) {
        fprintf(stderr, "weft: %s\n", weft_fail_text());
    }
    free(b.out);
    weft_sampler_release(&b.sampler);
    weft_job_release(&b.job);
    weft_comm_close(world);
    return weft_exit_code(st);
}
