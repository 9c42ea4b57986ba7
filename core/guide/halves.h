/*
 * halves.h - both conditions asked in one batch, answered one by one: for a
 * solver that mixes the predictions of several models itself.
 */
#ifndef WEFT_CORE_GUIDE_HALVES_H
#define WEFT_CORE_GUIDE_HALVES_H

#include "core/guide/denoiser.h"

/* `both`: of batch 2 n, within each row samples 0 .. n-1 conditional, n .. 2n-1
 * the same samples unconditional; borrowed. *cond is of batch n, asks it, and
 * counts its evaluations. */
weft_status weft_halves_create(weft_denoiser *both, weft_denoiser **cond);

/* The other half. It is asked whenever `cond` is, about the same, and answered
 * later than that, which it borrows. */
weft_status weft_halves_other(weft_denoiser *cond, weft_denoiser **uncond);

#endif
