/* DDIM (Song, Meng and Ermon 2021, eq. 12 and 16) and its inverse. */
#include <math.h>

#include "core/solve/methods.h"

/* x = lo0 clip(x0) + loe eps, where clipping of x0 leaves eps as it was. */
static void clipped(weft_mix x0, weft_mix eps, double range, double lo0,
                    double loe, float *x, const float *m, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        const double start = x0.x * x[k] + x0.m * m[k];

        x[k] = (float)(lo0 * weft_clip(start, range) +
                       loe * (eps.x * x[k] + eps.m * m[k]));
    }
}

/* Spread of the fresh noise between two levels (eq. 16). */
static double noise_spread(double eta, double hi, double lo)
{
    return eta * sqrt((1 - lo) / (1 - hi) * fmax(1 - hi / lo, 0));
}

/* From level `from` to level `to` without clipping: both are linear in x and
 * in the prediction. */
static weft_mix transfer(weft_prediction p, double from, double to, double to_s)
{
    const double a = sqrt(from), b = sqrt(1 - from);
    const weft_mix x0 = weft_mix_x0(p, a, b), eps = weft_mix_eps(p, a, b);

    return (weft_mix){sqrt(to) * x0.x + to_s * eps.x,
                      sqrt(to) * x0.m + to_s * eps.m};
}

static int draws(const weft_solver *s, int i)
{
    (void)i;
    return s->eta > 0;
}

static void ask(weft_solver *s, int i, int k, const float *x, weft_question *q)
{
    (void)k;
    weft_ask_at(s, i, x, weft_solver_work(s, 0), q);
}

static weft_status take(weft_solver *s, int i, int k, float *x)
{
    const weft_noise_schedule *c = s->schedule;
    const double hi = s->abar[i], lo = s->abar[i + 1];
    const double spread = noise_spread(s->eta, hi, lo);
    const double direct = sqrt(fmax(1 - lo - spread * spread, 0));
    const size_t n = weft_solver_floats(s);
    const float *m = weft_solver_work(s, 0);

    (void)k;
    if (c->clip_sample)
        clipped(weft_mix_x0(c->prediction, sqrt(hi), sqrt(1 - hi)),
                weft_mix_eps(c->prediction, sqrt(hi), sqrt(1 - hi)),
                c->clip_range, sqrt(lo), direct, x, m, n);
    else
        weft_blend(transfer(c->prediction, hi, lo, direct), x, m, n);
    if (s->eta > 0) weft_solver_add_noise(s, spread, weft_solver_work(s, 1), x);
    return WEFT_OK;
}

static weft_status can_invert(const weft_solver *s, int from)
{
    if (s->schedule->prediction != WEFT_PREDICT_SAMPLE || s->abar[from] < 1)
        return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "step %d of %d cannot be inverted: no noise is left and "
                     "the net predicts the sample",
                     from, s->steps);
}

static weft_status invert(weft_solver *s, int from, int to, float *x)
{
    const double hi = s->abar[to], lo = s->abar[from];

    weft_blend(transfer(s->schedule->prediction, lo, hi, sqrt(1 - hi)), x,
               weft_solver_work(s, 0), weft_solver_floats(s));
    return WEFT_OK;
}

const weft_solver_ops weft_ddim_ops = {.name = "ddim",
                                       .buffers = 2,
                                       .draws = draws,
                                       .ask = ask,
                                       .take = take,
                                       .can_invert = can_invert,
                                       .invert = invert};
