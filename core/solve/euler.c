/* Euler, Euler ancestral and Heun in Karras' coordinates, x = x0 + sigma eps
 * (Karras et al. 2022, algorithm 1; k-diffusion for the ancestral split). */
#include <math.h>

#include "core/solve/methods.h"

/* The net at node i: it reads x / sqrt(sigma^2 + 1). */
static weft_status predict(const weft_solver *s, int i, weft_denoiser *d,
                           const float *x, float *scaled, float *m)
{
    const double sigma = s->sigma[i];

    weft_scale(1 / sqrt(sigma * sigma + 1), x, scaled, weft_solver_floats(s));
    return weft_predict(d, scaled, s->time[i], m);
}

/* x0 of Karras coordinates; v is defined on the scaled input, hence the mix
 * for a = 1. */
static weft_mix start_at(const weft_solver *s, int i)
{
    return weft_mix_x0(s->schedule->prediction, 1, s->sigma[i]);
}

/* x goes along the line from x to x0 until sigma is `to`:
 * x + (x - x0) / sigma (to - sigma). */
static weft_mix along(const weft_solver *s, int i, double to)
{
    const double left = to / s->sigma[i];
    const weft_mix x0 = start_at(s, i);

    return (weft_mix){left + (1 - left) * x0.x, (1 - left) * x0.m};
}

static weft_status euler_to(weft_solver *s, int i, weft_denoiser *d, double to,
                            float *x)
{
    float *scaled = weft_solver_work(s, 0), *m = weft_solver_work(s, 1);

    WEFT_TRY(predict(s, i, d, x, scaled, m));
    weft_blend(along(s, i, to), x, m, weft_solver_floats(s));
    return WEFT_OK;
}

static weft_status euler_step(weft_solver *s, int i, weft_denoiser *d, float *x)
{
    return euler_to(s, i, d, s->sigma[i + 1], x);
}

/* Down below the next level, and up again by fresh noise. */
static weft_status euler_a_step(weft_solver *s, int i, weft_denoiser *d,
                                float *x)
{
    const double from = s->sigma[i], to = s->sigma[i + 1];
    const double up = to / from * sqrt(from * from - to * to);
    const double down = to * (to / from);

    WEFT_TRY(euler_to(s, i, d, down, x));
    weft_solver_add_noise(s, up, weft_solver_work(s, 0), x);
    return WEFT_OK;
}

/* m becomes the slope (x - x0) / sigma. */
static void slope(const weft_solver *s, int i, const float *x, float *m)
{
    const weft_noise_schedule *c = s->schedule;
    const weft_mix x0 = start_at(s, i);
    const double range = c->clip_sample ? c->clip_range : INFINITY;
    const double scale = 1 / s->sigma[i];
    const size_t n = weft_solver_floats(s);

    for (size_t k = 0; k < n; k++) {
        const double start = x0.x * x[k] + x0.m * m[k];

        m[k] = (float)((x[k] - weft_clip(start, range)) * scale);
    }
}

/* Euler's step, then the mean of the slopes at both ends (trapezium), but for
 * a last step to sigma 0, where there is no slope. */
static weft_status heun_step(weft_solver *s, int i, weft_denoiser *d, float *x)
{
    const double dt = s->sigma[i + 1] - s->sigma[i];
    const size_t n = weft_solver_floats(s);
    float *scaled = weft_solver_work(s, 0), *first = weft_solver_work(s, 1);
    float *second = weft_solver_work(s, 2), *ahead = weft_solver_work(s, 3);

    WEFT_TRY(predict(s, i, d, x, scaled, first));
    slope(s, i, x, first);
    if (weft_solver_passes(s, i) == 1) {
        weft_blend((weft_mix){1, dt}, x, first, n);
        return WEFT_OK;
    }
    weft_scale(1, x, ahead, n);
    weft_blend((weft_mix){1, dt}, ahead, first, n);
    WEFT_TRY(predict(s, i + 1, d, ahead, scaled, second));
    slope(s, i + 1, ahead, second);
    weft_blend((weft_mix){1, dt / 2}, x, first, n);
    weft_blend((weft_mix){1, dt / 2}, x, second, n);
    return WEFT_OK;
}

const weft_solver_ops weft_euler_ops = {"euler", euler_step, NULL, 2};
const weft_solver_ops weft_euler_a_ops = {"euler_ancestral", euler_a_step, NULL,
                                          2};
const weft_solver_ops weft_heun_ops = {"heun", heun_step, NULL, 4};
