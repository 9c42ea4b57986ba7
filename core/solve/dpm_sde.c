/* DPM-Solver++ in two evaluations a step, with noise, in Karras' coordinates:
 * k-diffusion's dpmpp_sde, whose two parts both start from x with noise of
 * their own from a Brownian tree, and dpmpp_2s_ancestral, which goes down below
 * the next level by two evaluations and up again by fresh noise (methods 12.9).
 */
#include "core/solve/brownian.h"
#include "core/solve/methods.h"
#include "core/solve/nodes.h"

/* Buffers: what the net reads, its answer, x ahead of its step, noise. */
enum { SCALED, ANSWER, AHEAD, NOISE };

/* From one level down, and up to another by noise. */
typedef struct split {
    double down, up;
} split;

static split split_of(double from, double to)
{
    const double up =
        fmin(to, to / from * sqrt(fmax(from * from - to * to, 0)));

    return (split){sqrt(to * to - up * up), up};
}

static double lowest(const weft_solver *s, int i)
{
    const double to = s->sigma[i + 1];

    return s->kind == WEFT_DPMPP_SDE ? to : split_of(s->sigma[i], to).down;
}

/* -ln sigma, and back, in float32: what the ends of the tree's intervals are in
 * the reference, to the last place. */
static float time_of(double sigma) { return -(float)log(sigma); }
static double sigma_of(float t) { return (float)exp(-t); }

/* Where the second evaluation is: halfway in ln sigma. */
static double middle(const weft_solver *s, int i)
{
    const float from = time_of(s->sigma[i]), to = time_of(lowest(s, i));

    return sigma_of(from + (to - from) * .5f);
}

static int stages(const weft_solver *s, int i)
{
    return lowest(s, i) > 0 ? 2 : 1;
}

static void ask(weft_solver *s, int i, int k, const float *x, weft_question *q)
{
    const double sigma = k ? middle(s, i) : s->sigma[i];
    const double time = k ? weft_time_of(s->schedule, sigma) : s->time[i];

    weft_ask_scaled(s, i, time, sigma, k ? weft_solver_work(s, AHEAD) : x,
                    weft_solver_work(s, ANSWER), q);
    if (k) q->in.abar = 1 / (1 + sigma * sigma);
}

/* `out` = the part `to` / sigma of x at node i, the rest of the x0 that the
 * answer about `about` at `level` gives. */
static void towards(const weft_solver *s, int i, double to, double level,
                    const float *about, const float *x, float *out)
{
    const double left = to / s->sigma[i];
    const weft_mix x0 = weft_mix_x0(s->schedule->prediction, 1, level);
    const double c[] = {(1 - left) * x0.x, (1 - left) * x0.m};
    const float *const m[] = {about, weft_solver_work(s, ANSWER)};

    weft_combine(left, x, c, m, 2, out, weft_solver_floats(s));
}

static weft_status sde_take(weft_solver *s, int i, int k, float *x)
{
    const bool first = k == 0 && stages(s, i) == 2;
    const double from = s->sigma[i];
    const double to = first ? middle(s, i) : s->sigma[i + 1];
    const split part = split_of(from, to);
    float *ahead = weft_solver_work(s, AHEAD);
    float *out = first ? ahead : x;
    float *const work[] = {weft_solver_work(s, NOISE),
                           weft_solver_work(s, SCALED),
                           weft_solver_work(s, ANSWER)};

    towards(s, i, part.down, k ? middle(s, i) : from, k ? ahead : x, x, out);
    if (stages(s, i) == 2)
        weft_brownian_add(s, sigma_of(time_of(from)), sigma_of(time_of(to)),
                          part.up, work, out);
    return WEFT_OK;
}

static weft_status ancestral_take(weft_solver *s, int i, int k, float *x)
{
    const double from = s->sigma[i];
    const split part = split_of(from, s->sigma[i + 1]);
    float *ahead = weft_solver_work(s, AHEAD);

    if (k < stages(s, i) - 1) {
        towards(s, i, middle(s, i), from, x, x, ahead);
        return WEFT_OK;
    }
    towards(s, i, part.down, k ? middle(s, i) : from, k ? ahead : x, x, x);
    weft_solver_add_noise(s, part.up, weft_solver_work(s, SCALED), x);
    return WEFT_OK;
}

static unsigned keeps(const weft_solver *s, int i, int k)
{
    (void)s;
    (void)i;
    return k ? 1u << AHEAD : 0;
}

const weft_solver_ops weft_dpmpp_sde_ops = {.name = "dpmpp_sde",
                                            .buffers = NOISE + 1,
                                            .stages = stages,
                                            .ask = ask,
                                            .take = sde_take,
                                            .keeps = keeps};
const weft_solver_ops weft_dpmpp_2s_a_ops = {.name = "dpmpp_2s_ancestral",
                                             .buffers = AHEAD + 1,
                                             .stages = stages,
                                             .draws = weft_one_draw,
                                             .ask = ask,
                                             .take = ancestral_take,
                                             .keeps = keeps};
