/*
 * analytic.h - a model that is known exactly, as a denoiser.
 *
 * Its data are a mixture of normal images: component k has the same mean in all
 * pixels of a channel and one standard deviation in all elements. At the level
 * x = a x0 + b eps the mixture is again one, of components
 * N(a mean_k, a^2 std_k^2 + b^2), so that E[x0 | x], and with it every
 * prediction, has a closed form. Which component an image belongs to is decided
 * over all of its elements: the sums go through a total.
 *
 * It is what methods are tested against, on any number of ranks.
 */
#ifndef WEFT_CORE_GUIDE_ANALYTIC_H
#define WEFT_CORE_GUIDE_ANALYTIC_H

#include "core/guide/denoiser.h"
#include "core/guide/total.h"
#include "core/solve/schedule.h"

enum { WEFT_COMPONENTS = 64, WEFT_ANALYTIC_CHANNELS = 64 }; /* at most */

typedef struct weft_component {
    double weight; /* above 0; of the sum of all */
    double std;    /* above 0 */
    double mean[WEFT_ANALYTIC_CHANNELS];
} weft_component;

typedef struct weft_analytic_opts {
    weft_batch batch; /* my rows */
    const weft_component *component;
    int components;
    weft_prediction prediction;
    const double *abar;      /* [nodes], of the solver that asks; borrowed */
    const weft_total *total; /* over my rows, borrowed; NULL: all rows here */
} weft_analytic_opts;

/* Components are copied. WEFT_EINPUT: numbers that are not as said above. */
weft_status weft_analytic_create(const weft_analytic_opts *o,
                                 weft_denoiser **out);

#endif
