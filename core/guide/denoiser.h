/*
 * denoiser.h - whatever predicts, one of weft's five seams.
 *
 * A model is a denoiser; guidance is a denoiser made of denoisers. A denoiser
 * serves a fixed batch of n samples with fixed conditions, set up in the plan;
 * a prediction allocates nothing.
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

typedef struct weft_denoiser weft_denoiser;

typedef struct weft_denoiser_ops {
    const char *name;
    /* x: what the net reads (a solver has scaled it); time: the net's time,
     * fractional where the solver's nodes are; out: the raw prediction
     * (epsilon, v or sample, as the schedule says), not x itself. Collective
     * over the patches; same call, same order on all of them. */
    weft_status (*predict)(weft_denoiser *d, const float *x, double time,
                           float *out);
    void (*destroy)(weft_denoiser *d);
} weft_denoiser_ops;

/* First member of every denoiser. */
struct weft_denoiser {
    const weft_denoiser_ops *ops;
    weft_batch batch;
    uint64_t evaluations; /* passes of a net, per sample and condition */
};

static inline weft_status weft_predict(weft_denoiser *d, const float *x,
                                       double time, float *out)
{
    return d->ops->predict(d, x, time, out);
}

void weft_denoiser_destroy(weft_denoiser *d); /* NULL is nothing */

/* e_u + w (e_c - e_u), literally (Ho & Salimans 2022, eq. 6 in this form), in
 * float as diffusers computes it. Either one inner denoiser of batch 2 n
 * (within each row samples 0 .. n-1 are conditional, n .. 2n-1 the same
 * samples unconditional; `uncond` NULL), or two of batch n. Its evaluations
 * are those of the inner ones. The inner ones are owned from a successful
 * return on. */
weft_status weft_cfg_create(weft_denoiser *cond, weft_denoiser *uncond,
                            double w, weft_denoiser **out);

#endif
