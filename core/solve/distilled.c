/* Solvers for distilled nets: LCM (Luo et al. 2023, algorithm 3) and TCD (Zheng
 * et al. 2024, algorithm 2; methods 12.11). */
#include "core/solve/methods.h"
#include "core/solve/nodes.h"

#define SIGMA_DATA 0.5

static void ask(weft_solver *s, int i, int k, const float *x, weft_question *q)
{
    (void)k;
    weft_ask_at(s, i, x, weft_solver_work(s, 0), q);
}

/* The last step ends without noise. */
static int lcm_draws(const weft_solver *s, int i) { return i < s->steps - 1; }

/* The consistency function: x0 by the net, and a part of x that vanishes but
 * at the start of time. */
static void consistent(const weft_solver *s, int i, double scale, float *x)
{
    const weft_noise_schedule *c = s->schedule;
    const weft_level at = weft_level_at(s, i);
    const weft_mix x0 = weft_mix_x0(c->prediction, at.a, at.b);
    const double t = s->time[i] * c->timestep_scaling;
    const double d = t * t + SIGMA_DATA * SIGMA_DATA;
    const double skip = SIGMA_DATA * SIGMA_DATA / d, out = t / sqrt(d);
    const double range = c->clip_sample ? c->clip_range : INFINITY;
    const float *m = weft_solver_work(s, 0);
    const size_t n = weft_solver_floats(s);

    for (size_t k = 0; k < n; k++) {
        const double start = weft_clip(x0.x * x[k] + x0.m * m[k], range);

        x[k] = (float)(scale * (out * start + skip * x[k]));
    }
}

static weft_status lcm_take(weft_solver *s, int i, int k, float *x)
{
    const weft_level to = weft_level_at(s, i + 1);

    (void)k;
    consistent(s, i, to.a, x);
    if (lcm_draws(s, i))
        weft_solver_add_noise(s, to.b, weft_solver_work(s, 0), x);
    return WEFT_OK;
}

static int tcd_draws(const weft_solver *s, int i)
{
    return s->eta > 0 && i < s->steps - 1;
}

/* Time s of the paper, a train step: the part 1 - eta of the next node's, in
 * float32 as its class has it. A time that was found from a sigma is the train
 * step that it is next to. */
static double resting_abar(const weft_solver *s, int i)
{
    const double time = s->time[i + 1];
    const double next = fabs(time - rint(time)) < .01 ? rint(time) : time;

    return s->schedule->abar[(int)((float)(1 - s->eta) * (float)next)];
}

/* Down to time s by the net, and up to the next node by noise. */
static weft_status tcd_take(weft_solver *s, int i, int k, float *x)
{
    const double at = s->abar[i], rest = resting_abar(s, i);
    const double left = fmin(s->abar[i + 1] / rest, 1);
    const weft_prediction p = s->schedule->prediction;
    const weft_mix x0 = weft_mix_x0(p, sqrt(at), sqrt(1 - at));
    const weft_mix eps = weft_mix_eps(p, sqrt(at), sqrt(1 - at));
    const double up = tcd_draws(s, i) ? sqrt(left) : 1;
    const weft_mix down = {up * (sqrt(rest) * x0.x + sqrt(1 - rest) * eps.x),
                           up * (sqrt(rest) * x0.m + sqrt(1 - rest) * eps.m)};

    (void)k;
    weft_blend(down, x, weft_solver_work(s, 0), weft_solver_floats(s));
    if (tcd_draws(s, i))
        weft_solver_add_noise(s, sqrt(1 - left), weft_solver_work(s, 1), x);
    return WEFT_OK;
}

const weft_solver_ops weft_lcm_ops = {.name = "lcm",
                                      .buffers = 1,
                                      .draws = lcm_draws,
                                      .ask = ask,
                                      .take = lcm_take};
const weft_solver_ops weft_tcd_ops = {.name = "tcd",
                                      .buffers = 2,
                                      .draws = tcd_draws,
                                      .ask = ask,
                                      .take = tcd_take};
