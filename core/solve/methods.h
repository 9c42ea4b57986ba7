/*
 * methods.h - what the solvers of core/solve share: their tables, and the
 * element loops. Inside core/solve only.
 */
#ifndef WEFT_CORE_SOLVE_METHODS_H
#define WEFT_CORE_SOLVE_METHODS_H

#include <math.h>

#include "core/solve/solver.h"

extern const weft_solver_ops weft_ddim_ops, weft_euler_ops, weft_euler_a_ops,
    weft_heun_ops, weft_dpmpp_2m_ops, weft_dpmpp_2m_sde_ops,
    weft_dpmpp_3m_sde_ops, weft_dpmpp_2s_ops, weft_dpmpp_2s_a_ops,
    weft_dpmpp_sde_ops, weft_unipc_ops, weft_lms_ops, weft_pndm_ops,
    weft_lcm_ops, weft_tcd_ops;

/* Two coefficients: x of x, m of the net's prediction. */
typedef struct weft_mix {
    double x, m;
} weft_mix;

/* How x0 and eps come from x = a x0 + b eps and the prediction. */
weft_mix weft_mix_x0(weft_prediction p, double a, double b);
weft_mix weft_mix_eps(weft_prediction p, double a, double b);

/* v held within -range .. range; not-a-number stays what it is, so that it is
 * found after the step. */
static inline double weft_clip(double v, double range)
{
    return v < -range ? -range : v > range ? range : v;
}

/* Make `outer`, which begins with a weft_solver, look like the solver that it
 * is made of: nodes, levels, schedule. It owns `inner` from then on. */
static inline void weft_solver_wrap(weft_solver *outer,
                                    const weft_solver_ops *ops,
                                    weft_solver *inner)
{
    *outer = *inner;
    outer->ops = ops;
    outer->inner = inner;
}

/* Steps before step i that its model has walked: what a multistep method may
 * look back on. */
static inline int weft_solver_history(const weft_solver *s, int i)
{
    const bool second = s->handover && i >= s->handover;

    return i - (second ? s->handover : s->first);
}

/* The question about x as it is at node i; the answer goes to `answer`. */
static inline void weft_ask_at(const weft_solver *s, int i, const float *x,
                               float *answer, weft_question *q)
{
    q->in = (weft_input){.x = x, .time = s->time[i], .node = i};
    q->answer[0] = answer;
}

/* For tables: every step draws once. */
int weft_one_draw(const weft_solver *s, int i);

/* A noise level: Karras sigma, and x = a x0 + b eps. */
typedef struct weft_level {
    double sigma, a, b;
} weft_level;

static inline weft_level weft_level_at(const weft_solver *s, int i)
{
    return (weft_level){s->sigma[i], sqrt(s->abar[i]), sqrt(1 - s->abar[i])};
}

/* The question about x / sqrt(sigma^2 + 1), scaled into buffer 0, for solvers
 * in Karras' coordinates. */
void weft_ask_scaled(weft_solver *s, int i, double time, double sigma,
                     const float *x, float *answer, weft_question *q);
/* Prediction m about x at node i becomes the slope (x - x0) / sigma of Karras'
 * coordinates. */
void weft_slope(const weft_solver *s, int i, const float *x, float *m);

/* The sum over j > 0 of z^j / (j + k)!, for k 1 to 3: f_k of methods 12.10. */
double weft_phi(double z, int k);

size_t weft_solver_floats(const weft_solver *s);

/* x = cx from + sum of c[j] m[j], j < terms; x may be any of them. */
void weft_combine(double cx, const float *from, const double *c,
                  const float *const *m, int terms, float *x, size_t n);
/* x = c.x x + c.m m */
void weft_blend(weft_mix c, float *x, const float *m, size_t n);
/* out = factor x; out may be x. */
void weft_scale(double factor, const float *x, float *out, size_t n);
/* A fresh draw of every sample. */
void weft_solver_draw(weft_solver *s, float *z);
/* x += amount z for a fresh draw z of every sample, kept in `z`. */
void weft_solver_add_noise(weft_solver *s, double amount, float *z, float *x);

#endif
