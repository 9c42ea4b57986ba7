/*
 * solver_run.h - a solver with a toy net, its noise and its buffers, for the
 * tests of solvers. Rows of the image as a rank would hold them.
 */
#ifndef WEFT_TESTS_CORE_SOLVER_RUN_H
#define WEFT_TESTS_CORE_SOLVER_RUN_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/solve/solver.h"

enum { SEED = 11 }; /* of the goldens; sample k has SEED + k */

static inline weft_noise_schedule read_schedule(weft_solver_kind kind,
                                                const char *text)
{
    weft_noise_schedule c;
    weft_json *j;

    assert_int_equal(weft_json_parse("case", text, strlen(text), &j), WEFT_OK);
    assert_int_equal(weft_noise_schedule_read(j, NULL, kind, &c), WEFT_OK);
    weft_json_free(j);
    return c;
}

/* rule(net, x, k, time): k counts as torch does, over the whole image. */
typedef struct toy {
    weft_denoiser base;
    weft_input in;
    weft_field field;
    float (*rule)(const struct toy *t, double x, int k, double time);
    const weft_solver *solver; /* that asks */
    int calls;
    int which; /* for rules that serve several */
    const void *arg;
} toy;

static inline float golden_rule(const toy *t, double x, int k, double time)
{
    (void)t;
    return (float)(.3 * x + .1 * sin(time / 100 + k));
}

static inline weft_status toy_ask(weft_denoiser *d, const weft_input *in)
{
    ((toy *)d)->in = *in;
    return WEFT_OK;
}

static inline weft_status toy_work(weft_denoiser *d)
{
    ((toy *)d)->calls++;
    return WEFT_OK;
}

static inline weft_status toy_answer(weft_denoiser *d, float *out)
{
    const toy *t = (const toy *)d;
    const weft_batch *b = &d->batch;
    size_t at = 0;

    for (int y = 0; y < b->rows; y++)
        for (int n = 0; n < b->n; n++)
            for (int col = 0; col < b->w; col++)
                for (int c = 0; c < b->c; c++, at++) {
                    const int k = (c * t->field.h + t->field.row0 + y) * b->w;

                    out[at] = t->rule(t, t->in.x[at], k + col, t->in.time);
                }
    return WEFT_OK;
}

static const weft_denoiser_ops toy_ops = {"toy", toy_ask, toy_work, toy_answer,
                                          NULL};

typedef struct run {
    weft_solver *s;
    weft_noise noise[3];
    float *buffer, *x;
    toy net;
    weft_denoiser *ask; /* the net */
    size_t floats;
} run;

static inline void run_open(run *r, const weft_solver_opts *o,
                            const weft_noise_schedule *c, weft_field f, int n)
{
    const weft_batch b = {f.rows, n, f.w, f.c};

    memset(r, 0, sizeof *r);
    if (weft_solver_create(o, c, &r->s) != WEFT_OK)
        fail_msg("%s", weft_fail_text());
    r->floats = weft_batch_floats(&b);
    r->buffer = malloc(weft_solver_buffer_floats(r->s, &b) * sizeof(float));
    r->x = malloc(r->floats * sizeof(float));
    assert_non_null(r->buffer);
    assert_non_null(r->x);
    for (int k = 0; k < n; k++)
        weft_noise_init(&r->noise[k], WEFT_RNG_TORCH_CPU, (uint64_t)(SEED + k));
    assert_int_equal(weft_solver_bind(r->s, &b, &f, r->noise, r->buffer),
                     WEFT_OK);
    r->net = (toy){.base = {.ops = &toy_ops, .batch = b},
                   .field = f,
                   .rule = golden_rule,
                   .solver = r->s};
    r->ask = &r->net.base;
}

static inline void run_all(run *r)
{
    assert_int_equal(weft_solver_start(r->s, r->x), WEFT_OK);
    for (int i = 0; i < r->s->steps; i++) {
        const int calls = r->net.calls;
        const uint32_t draw = r->noise[0].draw;

        assert_int_equal(weft_solver_step(r->s, i, &r->ask, r->x), WEFT_OK);
        assert_int_equal(r->net.calls - calls, weft_solver_passes(r->s, i));
        assert_int_equal(r->noise[0].draw - draw, weft_solver_draws(r->s, i));
    }
}

static inline void run_close(run *r)
{
    weft_solver_destroy(r->s);
    free(r->buffer);
    free(r->x);
}

#endif
