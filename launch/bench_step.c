/*
 * Evaluations one after the other, as a run makes them.
 *
 * Nothing keeps the ranks together but what they exchange. An evaluation ends
 * when the last rank has ended it; its time is that since the end of the one
 * before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "launch/bench.h"
#include "launch/standard.h"

/* Displaced evaluations before those that count: the first of them find their
 * peers' rows at hand, sent in step. */
enum { SETTLING = 2 };

typedef struct series {
    const char *kind;
    int skip, n; /* evaluations from the beginning: not timed; then timed */
    double *s;   /* [n] */
    double traffic[2 * WEFT_CLASSES + 1]; /* of the timed, all ranks */
} series;

enum { EXPOSED = 2 * WEFT_CLASSES, FACTS };

static void add(series *r, const weft_traffic *t, double sign)
{
    for (int c = 0; c < WEFT_CLASSES; c++) {
        r->traffic[c] += sign * (double)t->bytes[c];
        r->traffic[WEFT_CLASSES + c] += sign * (double)t->messages[c];
    }
    r->traffic[EXPOSED] += sign * t->exposed_s;
}

static weft_status evaluate(weft_bench *b, int n)
{
    for (int i = 0; i < n; i++) WEFT_TRY(weft_bench_eval(b));
    return WEFT_OK;
}

/* Ends of evaluations count from the start, on the slowest rank. */
static weft_status time_all(weft_bench *b, series *r)
{
    weft_traffic before, after;
    double start;

    WEFT_TRY(weft_flight_restart(&b->sampler.flight[0]));
    WEFT_TRY(evaluate(b, r->skip));
    before = weft_job_traffic(&b->job);
    WEFT_TRY(weft_comm_barrier(b->job.world));
    start = weft_clock();
    for (int i = 0; i < r->n; i++) {
        WEFT_TRY(weft_bench_eval(b));
        r->s[i] = weft_clock() - start;
    }
    after = weft_job_traffic(&b->job);
    add(r, &before, -1);
    add(r, &after, 1);
    WEFT_TRY(weft_comm_max(b->job.world, r->s, r->n));
    for (int i = r->n - 1; i > 0; i--) r->s[i] -= r->s[i - 1];
    return weft_comm_sum(b->job.world, r->traffic, FACTS);
}

static weft_status print(const weft_bench *b, series *r)
{
    const int ranks = b->job.setup.plan.ranks;
    const double mid = weft_bench_median(r->s, r->n);
    double bytes = 0, messages = 0;

    for (int c = 0; c < WEFT_CLASSES; c++) {
        bytes += r->traffic[c];
        messages += r->traffic[WEFT_CLASSES + c];
    }
    printf("{\"bench\": \"step\", \"kind\": \"%s\", \"ranks\": %d, \"n\": %d, "
           "\"min_s\": %.6f, \"median_s\": %.6f, \"max_s\": %.6f, "
           "\"bytes\": %.0f, \"messages\": %.0f, \"exposed_s\": %.6f}\n",
           r->kind, ranks, r->n, r->s[0], mid, r->s[r->n - 1], bytes / r->n,
           messages / r->n, r->traffic[EXPOSED] / r->n / ranks);
    return weft_standard_flush();
}

static weft_status one_series(weft_bench *b, const char *kind, int skip, int n)
{
    series r = {.kind = kind, .skip = skip, .n = n};
    weft_status st;

    r.s = calloc((size_t)n, sizeof *r.s);
    if (!r.s) return weft_fail(WEFT_ENOMEM, "out of memory");
    st = time_all(b, &r);
    if (st == WEFT_OK && b->speaks) st = print(b, &r);
    free(r.s);
    return st;
}

weft_status weft_bench_step(weft_bench *b)
{
    const weft_setup *setup = &b->job.setup;
    const weft_schedule *s = &setup->plan.net[setup->net_of[0]].sched;
    const int n = b->job.config.bench.runs;

    WEFT_TRY(evaluate(b, 1));
    if (!s->lag) return one_series(b, "in_step", 1, n);
    WEFT_TRY(one_series(b, "in_step", 0, n < s->warmup ? n : s->warmup));
    return one_series(b, "displaced", s->warmup + SETTLING, n);
}
