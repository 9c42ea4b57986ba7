/*
 * denoiser.h - whatever predicts, one of weft's five seams.
 *
 * A model is a denoiser; guidance is a denoiser made of denoisers. A denoiser
 * serves a fixed batch of n samples with fixed conditions, set up in the plan;
 * a prediction allocates nothing.
 *
 * A prediction is made in three moves, so that nets on different ranks work at
 * the same time:
 *
 *     ask(in)      take the question in; no evaluation, no waiting
 *     work()       evaluate what lives on this rank, post what others need
 *     answer(out)  wait for what comes from elsewhere, combine, give my rows
 *
 * Whoever asks several denoisers asks all, lets all work, then takes all
 * answers; a denoiser made of denoisers does so with its inner ones. Every rank
 * makes the same calls in the same order. One question at a time.
 */
#ifndef WEFT_CORE_GUIDE_DENOISER_H
#define WEFT_CORE_GUIDE_DENOISER_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/* My rows of a batch: [rows][n][w][c] float. */
typedef struct weft_batch {
    int rows, n, w, c;
} weft_batch;

static inline size_t weft_batch_floats(const weft_batch *b)
{
    return (size_t)b->rows * (size_t)b->n * (size_t)b->w * (size_t)b->c;
}

/* What a denoiser is asked about. */
typedef struct weft_input {
    const float *x; /* what the net reads (a solver has scaled it); borrowed and
                     * unchanged until the answer */
    double time;    /* the net's; fractional where the solver's nodes are */
    int node;       /* of the solver, whose time this is */
    double abar;    /* cumulative alpha where x is, if that is between nodes; 0:
                     * the node's */
    int lane;       /* questions of one kind, a step apart (exchange.h) */
} weft_input;

typedef struct weft_denoiser weft_denoiser;

typedef struct weft_denoiser_ops {
    const char *name;
    weft_status (*ask)(weft_denoiser *d, const weft_input *in);
    weft_status (*work)(weft_denoiser *d);
    /* out: the raw prediction (epsilon, v or sample, as the schedule says), not
     * x itself. */
    weft_status (*answer)(weft_denoiser *d, float *out);
    void (*destroy)(weft_denoiser *d);
} weft_denoiser_ops;

/* First member of every denoiser. */
struct weft_denoiser {
    const weft_denoiser_ops *ops;
    weft_batch batch;
    uint64_t evaluations; /* passes of a net, per sample and condition */
};

static inline weft_status weft_ask(weft_denoiser *d, const weft_input *in)
{
    return d->ops->ask(d, in);
}

static inline weft_status weft_work(weft_denoiser *d)
{
    return d->ops->work(d);
}

static inline weft_status weft_answer(weft_denoiser *d, float *out)
{
    return d->ops->answer(d, out);
}

/* x of a batch of n, twice in each row: of one of 2 n. */
void weft_batch_twice(const weft_batch *b, const float *x, float *twice);

/* All three moves. */
weft_status weft_predict(weft_denoiser *d, const weft_input *in, float *out);

void weft_denoiser_destroy(weft_denoiser *d); /* NULL is nothing */

#endif
