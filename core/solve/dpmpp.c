/* DPM-Solver++, second order, multistep, midpoint (Lu et al. 2022, algorithm
 * 2). With lambda = -ln sigma, e^-h is a ratio of sigmas, so that the end at
 * sigma 0, where h is infinite, needs no case of its own. */
#include <math.h>

#include "core/solve/methods.h"

/* Rules of DPMSolverMultistepScheduler: where the last step must, or in short
 * runs should, do without history. */
static bool first_order(const weft_solver *s, int i)
{
    const weft_noise_schedule *c = s->schedule;

    if (c->solver_order == 1 || s->history < 1) return true;
    if (i < s->steps - 1) return false;
    return c->euler_at_final || (c->lower_order_final && s->steps < 15) ||
           c->final_sigma == WEFT_FINAL_ZERO;
}

/* h / (2 h0): the weight of m0 - m1 beside m0. */
static double history_weight(const weft_solver *s, int i)
{
    const double *sigma = s->sigma;

    if (first_order(s, i)) return 0;
    return log(sigma[i] / sigma[i + 1]) / log(sigma[i - 1] / sigma[i]) / 2;
}

static void multistep(double cx, double c0, double c1, float *x,
                      const float *m0, const float *m1, size_t n)
{
    for (size_t k = 0; k < n; k++)
        x[k] = (float)(cx * x[k] + c0 * m0[k] + c1 * m1[k]);
}

/* The last two predictions take turns in two buffers. */
static void ask(weft_solver *s, int i, int k, const float *x, weft_question *q)
{
    (void)k;
    weft_ask_at(s, i, x, weft_solver_work(s, i % 2), q);
}

static weft_status take(weft_solver *s, int i, int k, float *x)
{
    const double from = s->sigma[i], to = s->sigma[i + 1];
    const double a = sqrt(s->abar[i]), a_to = sqrt(s->abar[i + 1]);
    const double left = to / from, w = history_weight(s, i);
    const double weight = a_to * (1 - left);
    const size_t n = weft_solver_floats(s);
    const weft_mix x0 = weft_mix_x0(s->schedule->prediction, a, from * a);
    float *now = weft_solver_work(s, i % 2),
          *old = weft_solver_work(s, 1 - i % 2);

    (void)k;
    for (size_t e = 0; e < n; e++)
        now[e] = (float)(x0.x * x[e] + x0.m * now[e]);
    if (w == 0)
        weft_blend((weft_mix){left * a_to / a, weight}, x, now, n);
    else
        multistep(left * a_to / a, weight * (1 + w), -weight * w, x, now, old,
                  n);
    s->history++;
    return WEFT_OK;
}

/* The last prediction, unless there was none. */
static unsigned keeps(const weft_solver *s, int i, int k)
{
    (void)s;
    (void)k;
    return i > 0 ? 1u << (1 - i % 2) : 0;
}

const weft_solver_ops weft_dpmpp_ops = {
    .name = "dpmpp_2m", .ask = ask, .take = take, .keeps = keeps};
