/* Euler, Euler ancestral and Heun in Karras' coordinates, x = x0 + sigma eps
 * (Karras et al. 2022, algorithm 1; k-diffusion for the ancestral split). */
#include <math.h>

#include "core/solve/methods.h"

void weft_ask_scaled(weft_solver *s, int i, double time, double sigma,
                     const float *x, float *answer, weft_question *q)
{
    float *scaled = weft_solver_work(s, 0);

    weft_scale(1 / sqrt(sigma * sigma + 1), x, scaled, weft_solver_floats(s));
    q->in = (weft_input){.x = scaled, .time = time, .node = i};
    q->answer[0] = answer;
}

static void ask_scaled(weft_solver *s, int i, const float *x, float *answer,
                       weft_question *q)
{
    weft_ask_scaled(s, i, s->time[i], s->sigma[i], x, answer, q);
}

static void euler_ask(weft_solver *s, int i, int k, const float *x,
                      weft_question *q)
{
    (void)k;
    ask_scaled(s, i, x, weft_solver_work(s, 1), q);
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

static void euler_to(weft_solver *s, int i, double to, float *x)
{
    weft_blend(along(s, i, to), x, weft_solver_work(s, 1),
               weft_solver_floats(s));
}

static weft_status euler_take(weft_solver *s, int i, int k, float *x)
{
    (void)k;
    euler_to(s, i, s->sigma[i + 1], x);
    return WEFT_OK;
}

/* Down below the next level, and up again by fresh noise. */
static weft_status euler_a_take(weft_solver *s, int i, int k, float *x)
{
    const double from = s->sigma[i], to = s->sigma[i + 1];
    const double up = to / from * sqrt(from * from - to * to);
    const double down = to * (to / from);

    (void)k;
    euler_to(s, i, down, x);
    weft_solver_add_noise(s, up, weft_solver_work(s, 0), x);
    return WEFT_OK;
}

void weft_slope(const weft_solver *s, int i, const float *x, float *m)
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
static int heun_stages(const weft_solver *s, int i)
{
    return i < s->steps - 1 ? 2 : 1;
}

/* Buffers: 0 what the net reads, 1 and 2 the slopes, 3 the end of Euler's
 * step. */
static void heun_ask(weft_solver *s, int i, int k, const float *x,
                     weft_question *q)
{
    ask_scaled(s, i + k, k ? weft_solver_work(s, 3) : x,
               weft_solver_work(s, 1 + k), q);
}

static weft_status heun_take(weft_solver *s, int i, int k, float *x)
{
    const double dt = s->sigma[i + 1] - s->sigma[i];
    const size_t n = weft_solver_floats(s);
    float *first = weft_solver_work(s, 1), *second = weft_solver_work(s, 2);
    float *ahead = weft_solver_work(s, 3);

    weft_slope(s, i + k, k ? ahead : x, k ? second : first);
    if (k == 1) {
        weft_blend((weft_mix){1, dt / 2}, x, first, n);
        weft_blend((weft_mix){1, dt / 2}, x, second, n);
    } else if (heun_stages(s, i) == 1) {
        weft_blend((weft_mix){1, dt}, x, first, n);
    } else {
        weft_scale(1, x, ahead, n);
        weft_blend((weft_mix){1, dt}, ahead, first, n);
    }
    return WEFT_OK;
}

static unsigned heun_keeps(const weft_solver *s, int i, int k)
{
    (void)s;
    (void)i;
    return k ? 1u << 1 | 1u << 3 : 0;
}

const weft_solver_ops weft_euler_ops = {
    .name = "euler", .buffers = 2, .ask = euler_ask, .take = euler_take};
const weft_solver_ops weft_euler_a_ops = {.name = "euler_ancestral",
                                          .buffers = 2,
                                          .draws = weft_one_draw,
                                          .ask = euler_ask,
                                          .take = euler_a_take};
const weft_solver_ops weft_heun_ops = {.name = "heun",
                                       .buffers = 4,
                                       .stages = heun_stages,
                                       .ask = heun_ask,
                                       .take = heun_take,
                                       .keeps = heun_keeps};
