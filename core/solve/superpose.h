/*
 * superpose.h - several models sampled as one (SuperDiff, arXiv 2412.17762).
 *
 * M models of one latent space and one noising process are asked about the same
 * x; the step goes along sum_i kappa_i e_i, sum_i kappa_i = 1, where
 *
 *   OR       kappa = softmax(temperature ln q_i(x) + bias_i): samples of the
 *            mixture of the models; bias are the logarithms of its weights
 *   AND      kappa such that every ln q_i changes alike in this step. bias_i
 *            asks for densities that differ at the end: over the run ln q_i
 *            gains bias_i on the others, an equal part in every step. `lift`
 *            is the same for two models: the second gains it on the first
 *   average  kappa = bias / sum of bias; NULL: 1 / M each
 *
 * With guidance w each prediction in the sum is u_i + w (e_i - u_i); densities
 * are of the conditional predictions alone.
 *
 * Process. OR and AND follow the reverse diffusion by DDIM with eta 1 (VP
 * coordinates) or Euler ancestral (Karras'): one and the same process. The
 * average takes any solver; its densities are carried where the process is
 * that one.
 *
 * Density. ln q_i(x) is carried in double in VP coordinates, in natural
 * logarithms, from ln N(x_T; 0, 1) on. A step adds
 *
 *   ln N(x_lo; mu_i(x_hi), beta) - ln N(x_hi; sqrt(1 - beta) x_lo, beta),
 *
 * beta = 1 - abar_hi / abar_lo, mu_i the mean of x_lo that model i predicts
 * (detailed balance; to first order in the step the Ito formula of the paper).
 * It is exact for any steps where the data's deviation is 1, and otherwise
 * errs by the random part of the curvature along the path: strong order 1/2,
 * by the mean of many paths order 1. `quirk` has the sign that the released
 * code's OR gives to the term that is quadratic in e_i.
 *
 * Where the densities' changes cannot be made equal because predictions depend
 * on each other, kappa is the least change from 1 / M each.
 *
 * A question asks the conditional predictions first (who 0 .. M - 1), then the
 * unconditional ones: none, one that all share, or one each. Whole-sample sums
 * go through the solver's total: two in a step of AND, one otherwise.
 */
#ifndef WEFT_CORE_SOLVE_SUPERPOSE_H
#define WEFT_CORE_SOLVE_SUPERPOSE_H

#include "core/guide/guidance.h"
#include "core/solve/solver.h"

enum { WEFT_SUPERPOSED = WEFT_ASKED / 2 }; /* models, at most */

typedef enum weft_superpose_kind {
    WEFT_SUPERPOSE_OR,
    WEFT_SUPERPOSE_AND,
    WEFT_SUPERPOSE_AVERAGE,
} weft_superpose_kind;

typedef struct weft_superpose_opts {
    const char *name; /* of the method, for messages; borrowed */
    weft_superpose_kind kind;
    int models;             /* 2 or more */
    int unconds;            /* 0, 1 or models */
    weft_guidance guidance; /* not looked at without unconds; not rescaled */
    double temperature;     /* OR */
    const double *bias;     /* [models], copied; NULL: 0 each */
    double lift;            /* AND of two */
    bool quirk;             /* OR */
} weft_superpose_opts;

/* `inner` is owned from a successful return on. WEFT_EINPUT: fewer than two
 * models, a solver that does not follow the process, options that are not this
 * kind's. The solver carries log_density[n][models]. */
weft_status weft_superpose_create(const weft_superpose_opts *o,
                                  weft_solver *inner, weft_solver **s);

#endif
