#include "core/solve/nodes.h"

#include <math.h>

bool weft_nodes_karras(weft_solver_kind kind)
{
    return kind == WEFT_EULER || kind == WEFT_EULER_A || kind == WEFT_HEUN;
}

static double abar_of(double sigma) { return 1 / (1 + sigma * sigma); }
static double sigma_of(double abar) { return sqrt((1 - abar) / abar); }

/* numpy.linspace(0, stop, n)[i] */
static double linspace_at(double stop, int n, int i)
{
    if (i == n - 1 && n > 1) return stop;
    return n > 1 ? i * (stop / (n - 1)) : 0;
}

/* numpy.arange(from, 0, -ratio)[i]: it goes by the first difference. */
static double countdown_at(double from, double ratio, int i)
{
    return from + i * (from - ratio - from);
}

static double whole(double t) { return rint(t); }

/* Time of node i of n, as the classes of DDIM and of the Karras solvers space
 * them; these differ in that DDIM rounds. */
static double common_time(const weft_noise_schedule *c, int n, int i)
{
    const double last = c->train_steps - 1;
    double t;

    switch (c->spacing) {
    case WEFT_SPACING_LEADING:
        return (double)(n - 1 - i) * (c->train_steps / n) + c->steps_offset;
    case WEFT_SPACING_TRAILING:
        return whole(countdown_at(c->train_steps, c->train_steps / (double)n,
                                  i)) -
               1;
    case WEFT_SPACING_LINSPACE:
        break;
    }
    t = linspace_at(last, n, n - 1 - i);
    return weft_nodes_karras(c->solver) ? t : whole(t);
}

/* How many train steps lie above lambda_min (from 0 upward). */
static int steps_above(const weft_noise_schedule *c)
{
    int n = c->train_steps;

    while (n > 0 && -log(sigma_of(c->abar[n - 1])) < c->lambda_min) n--;
    return n;
}

/* DPMSolverMultistepScheduler spaces one node more and leaves out the
 * cleanest, and its range may be cut at lambda_min. */
static double dpmpp_time(const weft_noise_schedule *c, int range, int n, int i)
{
    switch (c->spacing) {
    case WEFT_SPACING_LEADING:
        return (double)(n - i) * (range / (n + 1)) + c->steps_offset;
    case WEFT_SPACING_TRAILING:
        return whole(countdown_at(range, c->train_steps / (double)n, i)) - 1;
    case WEFT_SPACING_LINSPACE:
        break;
    }
    return whole(linspace_at(range - 1, n + 1, n - i));
}

static void schedule_times(weft_solver *s)
{
    const weft_noise_schedule *c = s->schedule;
    const int range = s->kind == WEFT_DPMPP_2M ? steps_above(c) : 0;

    for (int i = 0; i < s->steps; i++)
        s->time[i] =
            (float)(s->kind == WEFT_DPMPP_2M ? dpmpp_time(c, range, s->steps, i)
                                             : common_time(c, s->steps, i));
}

static weft_status check_times(const weft_solver *s)
{
    const double last = s->schedule->train_steps - 1;

    for (int i = 0; i < s->steps; i++) {
        const double t = s->time[i];

        if (!(t >= 0 && t <= last))
            return weft_fail(WEFT_EINPUT,
                             "node %d of %d steps is at time %g, but the "
                             "schedule has 0 to %g",
                             i, s->steps, t, last);
        if (i > 0 && !(t < s->time[i - 1]))
            return weft_fail(WEFT_EINPUT,
                             "node %d is at time %g, not below %g of the node "
                             "before it (%d steps)",
                             i, t, s->time[i - 1], s->steps);
    }
    return WEFT_OK;
}

/* Between train steps; see "Nodes" in solver.h. */
static double sigma_between(const weft_noise_schedule *c, double t)
{
    const int low = (int)t;
    const double part = t - low, a = weft_noise_schedule_sigma(c, low);
    double b;

    if (part == 0) return a;
    b = weft_noise_schedule_sigma(c, low + 1);
    if (weft_nodes_karras(c->solver)) return (float)((b - a) * part + a);
    return exp(log(a) + part * (log(b) - log(a)));
}

/* The inverse for a sigma of one's own, in float32 as diffusers does. */
static double time_of(const weft_noise_schedule *c, double sigma)
{
    const int last = c->train_steps - 1;
    const float ls = (float)log(fmax(sigma, 1e-10));
    int low = 0;
    float a, b, w;

    if (last == 0) return 0;
    while (low < last - 1 &&
           (float)log(weft_noise_schedule_sigma(c, low + 1)) <= ls)
        low++;
    a = (float)log(weft_noise_schedule_sigma(c, low));
    b = (float)log(weft_noise_schedule_sigma(c, low + 1));
    w = (a - ls) / (a - b);
    w = w < 0 ? 0 : w > 1 ? 1 : w;
    return (float)((double)(1 - w) * low + (double)w * (low + 1));
}

static void levels_from_times(weft_solver *s)
{
    const weft_noise_schedule *c = s->schedule;

    for (int i = 0; i < s->steps; i++) {
        const int t = (int)s->time[i];

        s->sigma[i] = sigma_between(c, s->time[i]);
        s->abar[i] = s->time[i] == t ? c->abar[t] : abar_of(s->sigma[i]);
    }
}

static weft_status levels_from_sigmas(const double *sigmas, weft_solver *s)
{
    for (int i = 0; i < s->steps; i++) {
        s->sigma[i] = (float)sigmas[i];
        if (!(s->sigma[i] > 0) || !isfinite(s->sigma[i]))
            return weft_fail(WEFT_EINPUT, "sigma %d is %g, not above 0", i,
                             sigmas[i]);
        s->abar[i] = abar_of(s->sigma[i]);
        s->time[i] = time_of(s->schedule, s->sigma[i]);
    }
    return WEFT_OK;
}

/* DDIM ends at the schedule's last alpha; but a leading grid that was shifted
 * by more than its ratio still has a train step below its last node. */
static double ddim_end(const weft_solver *s, bool own_nodes)
{
    const weft_noise_schedule *c = s->schedule;
    const int below = c->steps_offset - c->train_steps / s->steps;

    if (own_nodes || c->spacing != WEFT_SPACING_LEADING || below < 0)
        return c->final_abar;
    return c->abar[below];
}

static void fill_end(const weft_solver *s, bool own_nodes)
{
    const int end = s->steps;
    const bool min = s->schedule->final_sigma == WEFT_FINAL_SIGMA_MIN;

    s->time[end] = 0;
    if (s->kind == WEFT_DDIM) {
        s->abar[end] = ddim_end(s, own_nodes);
        s->sigma[end] = sigma_of(s->abar[end]);
        return;
    }
    s->sigma[end] = min ? weft_noise_schedule_sigma(s->schedule, 0) : 0;
    s->abar[end] = min ? s->schedule->abar[0] : 1;
}

/* The end may repeat the last level, to a rounding: then the last step stays
 * where it is. */
static weft_status check_levels(const weft_solver *s)
{
    for (int i = 1; i <= s->steps; i++) {
        const double room = i == s->steps ? 1 + 1e-6 : 1;

        if (!(s->sigma[i] < s->sigma[i - 1] * room))
            return weft_fail(WEFT_EINPUT,
                             "node %d has sigma %g, not below %g of the node "
                             "before it",
                             i, s->sigma[i], s->sigma[i - 1]);
    }
    return WEFT_OK;
}

static double init_sigma(const weft_solver *s)
{
    const double max = s->sigma[0];

    if (!weft_nodes_karras(s->kind)) return 1;
    return s->schedule->spacing == WEFT_SPACING_LEADING ? sqrt(max * max + 1)
                                                        : max;
}

weft_status weft_nodes_fill(const weft_solver_opts *o, weft_solver *s)
{
    if (o->sigmas) {
        WEFT_TRY(levels_from_sigmas(o->sigmas, s));
    } else {
        if (o->nodes)
            for (int i = 0; i < s->steps; i++) s->time[i] = (float)o->nodes[i];
        else
            schedule_times(s);
        WEFT_TRY(check_times(s));
        levels_from_times(s);
    }
    fill_end(s, o->nodes || o->sigmas);
    WEFT_TRY(check_levels(s));
    s->init_sigma = init_sigma(s);
    return WEFT_OK;
}
