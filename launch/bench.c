/*
 * `weft bench`: how long the parts of a run take, as JSON lines.
 *
 *   run         the first line: what the others are of
 *   unet_eval   one guided evaluation of one sample
 *   vae_decode  one picture from its latents
 *   image       all steps and the decoding, nothing written
 *               (of these cpu_s is the median processor time of one rank)
 *   step        evaluations one after the other, as a run makes them, in step
 *               and displaced; with what they send and wait for
 *   layers      the evaluation by class of layer, against the rate of the
 *               matrix kernel on data that stays in the nearest cache
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "launch/bench.h"
#include "launch/commands.h"
#include "launch/standard.h"

/* ---- what is timed ------------------------------------------------------- */

weft_status weft_bench_eval(weft_bench *b)
{
    weft_flight *f = &b->sampler.flight[0];
    const weft_input in = {.x = f->x, .time = b->job.setup.solver->time[0]};

    if (!f->solver) return WEFT_OK;
    return weft_predict(f->asked[0], &in, b->out);
}

/* The first of an image, so in step. */
static weft_status unet_eval(weft_bench *b)
{
    WEFT_TRY(weft_flight_restart(&b->sampler.flight[0]));
    return weft_bench_eval(b);
}

static weft_status vae_decode(weft_bench *b)
{
    const float *picture;

    return weft_sampler_decode(&b->sampler, &b->sampler.flight[0], 0, &picture);
}

static weft_status image(weft_bench *b)
{
    weft_share share;
    weft_status st;

    WEFT_TRY(weft_share_make(&b->job.setup.plan, NULL, b->job.index, &share));
    share.nbatches = 1;
    st = weft_sampler_run(&b->sampler, &(weft_voyage){.share = &share});
    weft_share_release(&share);
    WEFT_TRY(st);
    return b->job.setup.decode >= 0 ? vae_decode(b) : WEFT_OK;
}

/* ---- timing -------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Seconds by the wall and of this process, of the rank where they are most. */
static weft_status time_one(weft_bench *b, weft_timed *fn, double *wall,
                            double *cpu)
{
    double t[2] = {-weft_clock(), -weft_cpu_clock()};

    WEFT_TRY(fn(b));
    t[0] += weft_clock();
    t[1] += weft_cpu_clock();
    WEFT_TRY(weft_comm_max(b->job.world, t, 2));
    *wall = t[0];
    *cpu = t[1];
    return WEFT_OK;
}

double weft_bench_median(double *s, int n)
{
    qsort(s, (size_t)n, sizeof *s, by_value);
    return n % 2 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2;
}

/* One run to warm up, then `n` that count. */
static weft_status measure(weft_bench *b, const char *name, weft_timed *fn)
{
    const int n = b->job.config.bench.runs;
    double *s = calloc((size_t)n * 2, sizeof *s);

    if (!s) return WEFT_ENOMEM;
    double *cpu = s + n;
    weft_status st = time_one(b, fn, s, cpu);

    for (int i = 0; i < n && st == WEFT_OK; i++)
        st = time_one(b, fn, &s[i], &cpu[i]);
    if (st == WEFT_OK && b->speaks) {
        const double mid = weft_bench_median(s, n);

        printf("{\"bench\": \"%s\", \"n\": %d, \"min_s\": %.6f, "
               "\"median_s\": %.6f, \"max_s\": %.6f, \"cpu_s\": %.6f}\n",
               name, n, s[0], mid, s[n - 1], weft_bench_median(cpu, n));
        st = weft_standard_flush();
    }
    free(s);
    return st;
}

/* ---- the command --------------------------------------------------------- */

static bool wants(const weft_bench *b, const char *what)
{
    const char *asked = b->job.config.bench.what;

    return !strcmp(asked, "all") || !strcmp(asked, what);
}

static weft_status print_run(const weft_bench *b)
{
    const weft_plan *p = &b->job.setup.plan;
    char *about;

    if (!b->speaks) return WEFT_OK;
    WEFT_TRY(weft_config_about(&b->job.config, &about));
    printf("{\"bench\": \"run\", %s\"ranks\": %d, \"patches\": %d, "
           "\"threads\": %d, \"kernels\": \"%s\", \"isa\": \"%s\", "
           "\"width\": %d, \"height\": %d}\n",
           about, p->ranks, weft_plan_group(p), p->threads, p->kernels,
           p->dev->isa, p->width, p->height);
    free(about);
    return weft_standard_flush();
}

static weft_status run_all(weft_bench *b)
{
    const weft_setup *s = &b->job.setup;

    if (b->job.config.bench.cluster) return weft_bench_cluster(b);
    WEFT_TRY(print_run(b));
    if (wants(b, "unet_eval")) WEFT_TRY(measure(b, "unet_eval", unet_eval));
    if (wants(b, "vae_decode") && s->decode >= 0)
        WEFT_TRY(measure(b, "vae_decode", vae_decode));
    if (wants(b, "image")) WEFT_TRY(measure(b, "image", image));
    if (wants(b, "step")) WEFT_TRY(weft_bench_step(b));
    if (!wants(b, "layers")) return WEFT_OK;
    WEFT_TRY(weft_bench_layers(b, s->net_of[0], "unet_eval", unet_eval));
    return s->decode >= 0
               ? weft_bench_layers(b, s->decode, "vae_decode", vae_decode)
               : WEFT_OK;
}

/* What is timed is so in an order of its own: all that samples stays. */
static void keep_all(weft_plan *p)
{
    for (int i = 0; i < p->nnets; i++)
        if (p->net[i].phase == WEFT_PHASE_LATER)
            p->net[i].phase = WEFT_PHASE_STEPS;
}

static weft_status start(weft_bench *b, weft_comm *world, const weft_cli *cli)
{
    const char *override[WEFT_MAX_OVERRIDES + 1];
    weft_flight *f = &b->sampler.flight[0];
    const int first = 0;

    memcpy(override, cli->override, sizeof cli->override);
    override[cli->noverrides] = "run.batch=1";
    WEFT_TRY(weft_job_plan(world, cli->path, override, cli->noverrides + 1,
                           &b->job));
    keep_all(&b->job.setup.plan);
    WEFT_TRY(weft_job_connect(&b->job, true));
    WEFT_TRY(weft_sampler_create(&b->job, &b->sampler));
    if (b->job.setup.decode >= 0)
        WEFT_TRY(weft_job_load(&b->job, b->job.setup.models.vae));
    b->speaks = weft_comm_rank(world) == 0;
    WEFT_TRY(weft_flight_enter(f, &first, 1));
    if (!f->solver) return WEFT_OK;
    b->out = calloc(weft_batch_floats(&f->solver->batch), sizeof *b->out);
    return b->out ? WEFT_OK : weft_fail(WEFT_ENOMEM, "out of memory");
}

int weft_command_bench(const weft_cli *cli)
{
    weft_bench b = {0};
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
