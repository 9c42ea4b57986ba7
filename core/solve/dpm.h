/*
 * dpm.h - one step of DPM-Solver and DPM-Solver++, with noise or without: the
 * table of methods 12.9. Inside core/solve only.
 *
 * With lambda = -ln sigma, e^-h is a ratio of sigmas, so that an end at sigma
 * 0, where h is infinite, needs no case of its own.
 */
#ifndef WEFT_CORE_SOLVE_DPM_H
#define WEFT_CORE_SOLVE_DPM_H

#include "core/solve/methods.h"

/* x' = x x + d0 D0 + d1 D1 + d2 D2 + noise z; D0 is what is kept of the
 * prediction, D1 and D2 its differences (by h, by h^2). */
typedef struct weft_dpm_terms {
    double x, d0, d1, d2, noise;
} weft_dpm_terms;

/* Of a step of order 1 to 3. In order 2 `midpoint` has its own d1; all others
 * integrate what D1 and D2 stand for. */
weft_dpm_terms weft_dpm_step(weft_dpm algorithm, bool midpoint, weft_level from,
                             weft_level to, int order);

/* Prediction m about x at node i becomes what the algorithm keeps: x0 or eps.
 */
void weft_dpm_convert(const weft_solver *s, int i, const float *x, float *m);
bool weft_dpm_keeps_x0(weft_dpm algorithm);

/* Of dpmpp_2m, dpmpp_2s and their like. Their first buffers, as many as the
 * order, hold what is kept of predictions, in turn: that of node i. */
float *weft_dpm_kept(const weft_solver *s, int i);
/* Of their tables: the question about x at node i, answered into kept(i), and
 * the draws of a step, 1 where the algorithm has noise. */
void weft_dpm_ask(weft_solver *s, int i, int k, const float *x,
                  weft_question *q);
int weft_dpm_draws(const weft_solver *s, int i);

#endif
