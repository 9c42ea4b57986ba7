#include "core/solve/dpm.h"

static bool is_sde(weft_dpm algorithm)
{
    return algorithm == WEFT_DPM_SDE_PLUS || algorithm == WEFT_DPM_SDE;
}

bool weft_dpm_keeps_x0(weft_dpm algorithm)
{
    return algorithm == WEFT_DPM_PLUS || algorithm == WEFT_DPM_SDE_PLUS;
}

void weft_dpm_convert(const weft_solver *s, int i, const float *x, float *m)
{
    const weft_noise_schedule *c = s->schedule;
    const weft_level at = weft_level_at(s, i);
    const weft_mix want = weft_dpm_keeps_x0(c->algorithm)
                              ? weft_mix_x0(c->prediction, at.a, at.b)
                              : weft_mix_eps(c->prediction, at.a, at.b);

    weft_blend((weft_mix){want.m, want.x}, m, x, weft_solver_floats(s));
}

float *weft_dpm_kept(const weft_solver *s, int i)
{
    return weft_solver_work(s, i % s->schedule->solver_order);
}

void weft_dpm_ask(weft_solver *s, int i, int k, const float *x,
                  weft_question *q)
{
    (void)k;
    weft_ask_at(s, i, x, weft_dpm_kept(s, i), q);
}

int weft_dpm_draws(const weft_solver *s, int i)
{
    (void)i;
    return is_sde(s->schedule->algorithm);
}

/* The algorithms integrate the same polynomial against exponentials of their
 * own: z is what the exponent gains over the step. */
weft_dpm_terms weft_dpm_step(weft_dpm algorithm, bool midpoint, weft_level from,
                             weft_level to, int order)
{
    const double h = log(from.sigma / to.sigma);
    const double left = to.sigma / from.sigma;
    const double stretch = is_sde(algorithm) ? 2 : 1;
    weft_dpm_terms t = {0};
    double z, amount;

    if (weft_dpm_keeps_x0(algorithm)) {
        z = -stretch * h;
        amount = -to.a;
        t.x = to.b / from.b;
        if (stretch == 2) t.x *= left;
        if (stretch == 2) t.noise = to.b * sqrt(fmax(1 - left * left, 0));
    } else {
        z = h;
        amount = -to.b * stretch;
        t.x = to.a / from.a;
        if (stretch == 2) t.noise = to.b * sqrt(fmax(expm1(2 * h), 0));
    }
    t.d0 = amount * expm1(z);
    if (order == 1) return t;
    t.d1 = midpoint && order == 2 ? t.d0 / 2 : amount * weft_phi(z, 1);
    t.d2 = amount * weft_phi(z, 2);
    return t;
}
