/*
 * reflect.h - solvers that step down and come back up before they go on.
 *
 * On each of the first `lambda` steps x makes `rounds` round trips between
 * nodes i and i + 1, then the ordinary step:
 *
 *   W2SD        down with the strong model, up by the inverse with the weak
 *               one, so that x moves along the difference of their scores
 *               (arXiv 2502.00473, algorithm 1)
 *   Z-Sampling  the same with one model and two guidance scales
 *   re-sampling down with the strong model, up by fresh noise: the baseline
 *
 * What "strong" and "weak" are (weights, guidance, condition) is in the
 * denoisers: a question's who is one of the enumeration below. On the way up
 * the weak one is asked about the cleaner x with the time of the noisier node.
 *
 * inverse_offset 1 is the map of the released code, whose inverse has the
 * coefficients of one level further down: from node i + 2 to node i + 1, with x
 * then taken to be at node i.
 */
#ifndef WEFT_CORE_SOLVE_REFLECT_H
#define WEFT_CORE_SOLVE_REFLECT_H

#include "core/solve/solver.h"

enum {
    WEFT_REFLECT_ORDINARY,
    WEFT_REFLECT_STRONG,
    WEFT_REFLECT_WEAK, /* not asked where re-sampling */
};

typedef struct weft_reflect_opts {
    const char *name; /* of the method, for messages; borrowed */
    int lambda;       /* reflected steps, 0 to all */
    int rounds;       /* 1 or more */
    int inverse_offset;
    bool resample;
} weft_reflect_opts;

/* `inner` is DDIM (of any eta where re-sampling), owned from a successful
 * return on. WEFT_EINPUT: an inner solver without an inverse, or with noise
 * that an inverse would not undo; lambda beyond the steps; a reflected step
 * that cannot be inverted. */
weft_status weft_reflect_create(const weft_reflect_opts *o, weft_solver *inner,
                                weft_solver **s);

#endif
