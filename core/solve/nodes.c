#include "core/solve/nodes.h"

#include <math.h>

#include "core/solve/respace.h"

/* How a solver's class spaces the times of its nodes. */
typedef enum grid {
    GRID_WHOLE,    /* train steps */
    GRID_FRACTION, /* they may lie between train steps */
    GRID_ABOVE,    /* train steps: one node more, without the cleanest */
    GRID_ORIGINAL, /* of the schedule that a net was distilled on */
} grid;

typedef struct walk {
    grid grid;
    bool karras;
} walk;

static const walk walks[WEFT_SOLVERS] = {
    [WEFT_DDIM] = {GRID_WHOLE, false},
    [WEFT_EULER] = {GRID_FRACTION, true},
    [WEFT_EULER_A] = {GRID_FRACTION, true},
    [WEFT_HEUN] = {GRID_FRACTION, true},
    [WEFT_DPMPP_2M] = {GRID_ABOVE, false},
    [WEFT_DPMPP_2M_SDE] = {GRID_ABOVE, false},
    [WEFT_DPMPP_3M_SDE] = {GRID_ABOVE, false},
    [WEFT_DPMPP_2S] = {GRID_ABOVE, false},
    [WEFT_DPMPP_2S_A] = {GRID_FRACTION, true},
    [WEFT_DPMPP_SDE] = {GRID_FRACTION, true},
    [WEFT_UNIPC] = {GRID_ABOVE, false},
    [WEFT_LMS] = {GRID_FRACTION, true},
    [WEFT_PNDM] = {GRID_WHOLE, false},
    [WEFT_LCM] = {GRID_ORIGINAL, false},
    [WEFT_TCD] = {GRID_ORIGINAL, false},
};

bool weft_nodes_karras(weft_solver_kind kind) { return walks[kind].karras; }

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
 * them; these differ in that DDIM's rounds. */
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
    return walks[c->solver].grid == GRID_FRACTION ? t : whole(t);
}

/* How many train steps lie above lambda_min (from 0 upward). */
static int steps_above(const weft_noise_schedule *c)
{
    int n = c->train_steps;

    while (n > 0 && -log(sigma_of(c->abar[n - 1])) < c->lambda_min) n--;
    return n;
}

/* The DPM classes and UniPC's space one node more and leave out the cleanest;
 * the range of the former may be cut at lambda_min. */
static double above_time(const weft_noise_schedule *c, int range, int n, int i)
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

/* Nets of consistency distillation know so many times, evenly spaced from the
 * last train step down; n of these, evenly (methods 12.11). */
static double original_time(const weft_noise_schedule *c, int n, int i)
{
    const int k = (int)(i * (c->original_steps / (double)n));

    return (double)(c->original_steps - k) *
               (c->train_steps / c->original_steps) -
           1;
}

static double time_at(const weft_noise_schedule *c, int range, int n, int i)
{
    switch (walks[c->solver].grid) {
    case GRID_ABOVE:
        return above_time(c, range, n, i);
    case GRID_ORIGINAL:
        return original_time(c, n, i);
    default:
        return common_time(c, n, i);
    }
}

static weft_status schedule_times(weft_solver *s)
{
    const weft_noise_schedule *c = s->schedule;
    const int range = steps_above(c);

    if (walks[s->kind].grid == GRID_ORIGINAL && s->steps > c->original_steps)
        return weft_fail(WEFT_EINPUT,
                         "solver %s: %d steps are more than the %d of "
                         "original_inference_steps",
                         weft_solver_name[s->kind], s->steps,
                         c->original_steps);
    for (int i = 0; i < s->steps; i++) {
        const double t = time_at(c, range, s->steps, i);

        /* DPMSolverSDEScheduler's are not rounded to float32. */
        s->time[i] = s->kind == WEFT_DPMPP_SDE ? t : (float)t;
    }
    return WEFT_OK;
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
                             "before it (%d steps; the schedule has %d to "
                             "take them from)",
                             i, t, s->time[i - 1], s->steps,
                             s->schedule->train_steps);
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

/* The logarithm as diffusers has it in its table. */
static double log_at(const weft_noise_schedule *c, int t)
{
    return (float)log(weft_noise_schedule_sigma(c, t));
}

/* The inverse for a sigma of one's own (methods 12.3). */
double weft_time_of(const weft_noise_schedule *c, double sigma)
{
    const int last = c->train_steps - 1;
    const double ls = log(fmax(sigma, 1e-10));
    int low = 0, high = last;
    double a, b, w;

    if (last == 0) return 0;
    while (high - low > 1) {
        const int middle = (low + high) / 2;

        if (log_at(c, middle) <= ls)
            low = middle;
        else
            high = middle;
    }
    a = log_at(c, low);
    b = log_at(c, low + 1);
    w = a < b ? (a - ls) / (a - b) : 0;
    w = w < 0 ? 0 : w > 1 ? 1 : w;
    return (1 - w) * low + w * (low + 1);
}

double weft_abar_of(const weft_noise_schedule *c, double time)
{
    const int t = (int)time;

    return time == t ? c->abar[t] : abar_of(sigma_between(c, time));
}

static void levels_from_times(weft_solver *s)
{
    const weft_noise_schedule *c = s->schedule;

    for (int i = 0; i < s->steps; i++) {
        s->sigma[i] = sigma_between(c, s->time[i]);
        s->abar[i] = weft_abar_of(c, s->time[i]);
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
        s->time[i] = (float)weft_time_of(s->schedule, s->sigma[i]);
    }
    return WEFT_OK;
}

/* What the classes in whole train steps make of the time of a respaced sigma:
 * Karras' (and Lu's) they round, others they cut off. */
static double respaced_time(const weft_noise_schedule *c, double t)
{
    if (walks[c->solver].grid == GRID_FRACTION) return (float)t;
    if (c->respacing == WEFT_RESPACED_KARRAS ||
        c->respacing == WEFT_RESPACED_LU)
        return c->whole_times ? whole(t) : floor(t);
    return floor(t);
}

/* In place of the sigmas of the nodes: others between the same ends, for the
 * Karras solvers, or between those of the table. */
static void respace(weft_solver *s)
{
    const weft_noise_schedule *c = s->schedule;
    const bool own = walks[s->kind].grid == GRID_FRACTION;
    const bool fixed = c->respacing == WEFT_RESPACED_LU ||
                       (c->respacing == WEFT_RESPACED_KARRAS &&
                        (s->kind == WEFT_LMS || s->kind == WEFT_DPMPP_SDE));
    double max =
        own ? s->sigma[0] : weft_noise_schedule_sigma(c, c->train_steps - 1);
    double min = own ? s->sigma[s->steps - 1] : weft_noise_schedule_sigma(c, 0);

    if (c->sigma_max > 0 && !fixed) max = c->sigma_max;
    if (c->sigma_min > 0 && !fixed) min = c->sigma_min;
    for (int i = 0; i < s->steps; i++) {
        const double sigma = weft_respaced(c->respacing, max, min, s->steps, i);

        s->sigma[i] = (float)sigma;
        s->abar[i] = abar_of(s->sigma[i]);
        s->time[i] = respaced_time(c, weft_time_of(c, sigma));
    }
}

/* DDIM and PNDM end at the schedule's last alpha; but a leading grid that was
 * shifted by more than its ratio still has a train step below its last node. */
static double whole_end(const weft_solver *s, bool own_nodes)
{
    const weft_noise_schedule *c = s->schedule;
    const int below = c->steps_offset - c->train_steps / s->steps;

    if (own_nodes || c->spacing != WEFT_SPACING_LEADING || below < 0)
        return c->final_abar;
    return c->abar[below];
}

/* TCD's steps end at train step 0 and take no account of what is left there. */
static void fill_end(const weft_solver *s, bool own_nodes)
{
    const weft_noise_schedule *c = s->schedule;
    const int end = s->steps;
    const bool min = c->final_sigma == WEFT_FINAL_SIGMA_MIN;

    s->time[end] = 0;
    if (walks[s->kind].grid == GRID_WHOLE || s->kind == WEFT_TCD) {
        s->abar[end] =
            s->kind == WEFT_TCD ? c->abar[0] : whole_end(s, own_nodes);
        s->sigma[end] = sigma_of(s->abar[end]);
    } else if (min && s->kind == WEFT_UNIPC &&
               c->respacing != WEFT_RESPACED_NOT) {
        s->abar[end] = s->abar[end - 1];
        s->sigma[end] = s->sigma[end - 1];
    } else {
        s->sigma[end] = min ? weft_noise_schedule_sigma(c, 0) : 0;
        s->abar[end] = min ? c->abar[0] : 1;
    }
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

/* Without signal, x is the noise and nothing follows from it. */
static weft_status check_start(const weft_solver *s)
{
    if (s->abar[0] > 0 || s->schedule->prediction != WEFT_PREDICT_EPSILON)
        return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "solver %s: a net that predicts epsilon cannot start "
                     "where rescale_betas_zero_snr leaves no signal; it wants "
                     "prediction_type v_prediction or sample",
                     weft_solver_name[s->kind]);
}

static double init_sigma(const weft_solver *s)
{
    const double max = s->sigma[0];

    if (!weft_nodes_karras(s->kind)) return 1;
    return s->schedule->spacing == WEFT_SPACING_LEADING ? sqrt(max * max + 1)
                                                        : max;
}

/* Nodes of one's own stay where they are. */
static weft_status times(const weft_solver_opts *o, weft_solver *s)
{
    const bool respaced = s->schedule->respacing != WEFT_RESPACED_NOT;

    if (!o->nodes) return schedule_times(s);
    if (respaced)
        return weft_fail(WEFT_EINPUT,
                         "nodes cannot be given where the schedule respaces "
                         "sigmas (use_karras_sigmas and the like)");
    for (int i = 0; i < s->steps; i++) s->time[i] = (float)o->nodes[i];
    return WEFT_OK;
}

weft_status weft_nodes_fill(const weft_solver_opts *o, weft_solver *s)
{
    if (o->sigmas) {
        WEFT_TRY(levels_from_sigmas(o->sigmas, s));
    } else {
        WEFT_TRY(times(o, s));
        WEFT_TRY(check_times(s));
        levels_from_times(s);
        if (s->schedule->respacing != WEFT_RESPACED_NOT) respace(s);
    }
    fill_end(s, o->nodes || o->sigmas);
    WEFT_TRY(check_levels(s));
    WEFT_TRY(check_start(s));
    s->init_sigma = init_sigma(s);
    return WEFT_OK;
}
