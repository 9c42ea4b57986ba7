/*
 * betas.h - the discrete table of a schedule: betas, and the cumulative alphas
 * that they make, as diffusers computes both in float32 (methods 12.1). Inside
 * core/solve only.
 */
#ifndef WEFT_CORE_SOLVE_BETAS_H
#define WEFT_CORE_SOLVE_BETAS_H

#include "core/solve/option.h"

/* What a class takes where the file is silent. */
typedef struct weft_betas {
    double start, end;
    const char *schedule;
    bool rescales; /* has rescale_betas_zero_snr */
    /* of its last train step after that: 0, or 2^-24 where the class divides by
     * it */
    double least;
} weft_betas;

/* Fills train_steps and abar; *abar* is the caller's also on failure. */
weft_status weft_betas_read(const weft_options *f, const weft_betas *usual,
                            weft_noise_schedule *s);

#endif
