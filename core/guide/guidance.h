/*
 * guidance.h - how strongly a condition is followed, step by step.
 *
 * The guided prediction is e_u + w (e_c - e_u), literally (Ho & Salimans 2022,
 * eq. 6 in this form), in float as diffusers computes it; w = 1 is the
 * conditional prediction itself. With good and bad models in place of the two
 * conditions and w = 1 + v it is auto-guidance, good + v (good - bad) (Karras
 * et al. 2024).
 *
 * w may change from step to step: along a line from `scale` in the first step
 * to `end` in the last (Wang et al. 2024 compare such schedules), and only
 * within an interval of the steps (Kynkaanniemi et al. 2024), outside of which
 * it is 1. As in diffusers' guiders, an interval is given in fractions: step i
 * of n is guided where floor(start n) <= i < floor(stop n). Heun's second
 * evaluation has the weight of the node that it is made at.
 *
 * Rescaled (Lin et al. 2024, eq. 15 and 16), the guided prediction e becomes
 * phi e std(e_c) / std(e) + (1 - phi) e with the deviations over all elements
 * of a sample.
 */
#ifndef WEFT_CORE_GUIDE_GUIDANCE_H
#define WEFT_CORE_GUIDE_GUIDANCE_H

#include <stdbool.h>

#include "core/guide/denoiser.h"
#include "core/guide/total.h"

enum { WEFT_RESCALE_SUMS = 4 }; /* of one sample, in one total */

/* {.scale = w} is plain guidance. */
typedef struct weft_guidance {
    double scale;
    bool linear;
    double end; /* of a linear schedule */
    bool limited;
    double start, stop;      /* of an interval, 0 to 1 */
    int steps;               /* where linear or limited */
    double rescale;          /* phi, 0 to 1; 0: not rescaled */
    const weft_total *total; /* borrowed; where rescaled. NULL: all rows here */
} weft_guidance;

/* w at a node. */
double weft_guidance_at(const weft_guidance *g, int node);

/* Either one inner denoiser of batch 2 n (within each row samples 0 .. n-1 are
 * conditional, n .. 2n-1 the same samples unconditional; `uncond` NULL), or two
 * of batch n. Both conditions are evaluated at every node, whatever w is there,
 * so that the messages of a run do not depend on it. Evaluations are those of
 * the inner ones, which are borrowed: whoever made them destroys them, later.
 * *g is copied. WEFT_EINPUT: a weight that is not finite. */
weft_status weft_cfg_create(weft_denoiser *cond, weft_denoiser *uncond,
                            const weft_guidance *g, weft_denoiser **out);

#endif
