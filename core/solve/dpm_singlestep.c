/* DPM-Solver and DPM-Solver++, single step, as DPMSolverSinglestepScheduler has
 * it: nodes go in groups, and every node of a group is reached from the
 * group's first, with the predictions made on the way. */
#include "core/solve/dpm.h"

/* Buffers: dpm.h's, then x at the first node of the group. */
static float *first_x(const weft_solver *s)
{
    return weft_solver_work(s, s->schedule->solver_order);
}

/* Of node i in its group, from 1; but the last one may have to do alone. */
static int place_of(const weft_solver *s, int i)
{
    const weft_noise_schedule *c = s->schedule;
    const int most = c->solver_order, n = s->steps;

    if (i == n - 1 && (c->final_sigma == WEFT_FINAL_ZERO ||
                       (c->lower_order_final && n % most == 0)))
        return 1;
    return i % most + 1;
}

/* A walk that begins within a group has less behind it. */
static int order_of(const weft_solver *s, int i)
{
    const int place = place_of(s, i), most = weft_solver_history(s, i) + 1;

    return most < place ? most : place;
}

/* Weights of the predictions at the group's nodes, the first one's first. */
static void spread(const weft_solver *s, int base, int order, bool heun,
                   const weft_dpm_terms *t, double *c)
{
    const double *sigma = s->sigma;
    const double h = log(sigma[base] / sigma[base + order]);
    double r0, r1 = 0, far, near = 0;

    c[0] = t->d0;
    if (order < 2) return;
    r0 = log(sigma[base] / sigma[base + order - 1]) / h;
    far = t->d1 / r0;
    if (order == 3) {
        r1 = log(sigma[base] / sigma[base + 1]) / h;
        /* D1 and D2 of the parabola through three predictions. */
        if (heun) far = (2 * t->d2 - t->d1 * r1) / (r0 - r1) / r0;
        if (heun) near = (t->d1 * r0 - 2 * t->d2) / (r0 - r1) / r1;
        c[1] = near;
    }
    c[order - 1] = far;
    c[0] -= far + near;
}

/* A draw goes where the next prediction will: no other of this group is there.
 */
static weft_status take(weft_solver *s, int i, int k, float *x)
{
    const weft_noise_schedule *c = s->schedule;
    const int order = order_of(s, i), base = i + 1 - order;
    const weft_dpm_terms t =
        weft_dpm_step(c->algorithm, !c->heun, weft_level_at(s, base),
                      weft_level_at(s, i + 1), order);
    const size_t n = weft_solver_floats(s);
    const float *m[3];
    double w[3];

    (void)k;
    weft_dpm_convert(s, i, x, weft_dpm_kept(s, i));
    if (order == 1) weft_scale(1, x, first_x(s), n);
    for (int j = 0; j < order; j++) m[j] = weft_dpm_kept(s, base + j);
    spread(s, base, order, c->heun, &t, w);
    weft_combine(t.x, first_x(s), w, m, order, x, n);
    if (weft_dpm_draws(s, i))
        weft_solver_add_noise(s, t.noise, weft_dpm_kept(s, i + 1), x);
    return WEFT_OK;
}

static unsigned keeps(const weft_solver *s, int i, int k)
{
    const int most = s->schedule->solver_order, order = order_of(s, i);
    unsigned bits = order > 1 ? 1u << most : 0;

    (void)k;
    for (int j = 1; j < order; j++) bits |= 1u << (i - j) % most;
    return bits;
}

const weft_solver_ops weft_dpmpp_2s_ops = {.name = "dpmpp_2s",
                                           .buffers = 1,
                                           .orders = true,
                                           .draws = weft_dpm_draws,
                                           .ask = weft_dpm_ask,
                                           .take = take,
                                           .keeps = keeps};
