/* SuperDiff's OR and AND, and the average, over DDIM or Euler ancestral. */
#include "core/solve/superpose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/solve/methods.h"
#include "core/solve/weights.h"

enum { MOST = WEFT_SUPERPOSED };

typedef struct superpose {
    weft_solver base;
    weft_solver_ops ops; /* the table with this method's name */
    weft_superpose_opts o;
    double bias[MOST];  /* AND: with the lift */
    bool diffuses;      /* the process whose densities are known */
    float *mixed;       /* where the inner solver looks for its answer */
    double *memory;     /* of these three: */
    double *kappa;      /* [n][models] */
    double *each, *sum; /* [stretches][n][sums], [n][sums] */
} superpose;

/* ---- one step's coefficients --------------------------------------------- */

/* From level hi to level lo: x = a x0 + b eps in VP coordinates. */
typedef struct coefficients {
    double to_vp, from_vp; /* state at hi to VP; VP at lo to state */
    weft_mix eps;          /* of x and the prediction */
    double a, b;           /* of hi */
    double sample, direct; /* x_lo = sample x0 + direct eps + spread z */
    double spread;
    double keep, beta; /* forward: x_hi ~ N(keep x_lo, beta) */
    double slope;      /* of the mean of x_lo in eps */
    double clip;       /* of x0; or infinity */
    double w;          /* guidance */
} coefficients;

static bool is_karras(const superpose *p)
{
    return p->base.inner->kind == WEFT_EULER_A;
}

static coefficients coefficients_of(const superpose *p, int i)
{
    const weft_solver *s = p->base.inner;
    const weft_noise_schedule *sched = s->schedule;
    const double hi = s->abar[i], lo = s->abar[i + 1];
    coefficients c = {.to_vp = 1, .from_vp = 1, .clip = INFINITY};

    c.a = sqrt(hi);
    c.b = sqrt(1 - hi);
    c.keep = c.a / sqrt(lo);
    c.beta = fmax(1 - hi / lo, 0);
    c.spread = sqrt((1 - lo) / (1 - hi) * c.beta);
    c.sample = sqrt(lo);
    c.direct = sqrt(fmax(1 - lo - c.spread * c.spread, 0));
    c.slope = c.direct - c.sample * c.b / c.a;
    c.eps = weft_mix_eps(sched->prediction, c.a, c.b);
    c.w = p->o.unconds ? weft_guidance_at(&p->o.guidance, i) : 1;
    if (is_karras(p)) {
        c.to_vp = c.a;
        c.from_vp = 1 / c.sample;
    } else if (sched->clip_sample) {
        c.clip = sched->clip_range;
    }
    return c;
}

static weft_total total_of(const superpose *p)
{
    return weft_total_or_solo(p->base.total, &p->base.batch);
}

/* ---- elements ------------------------------------------------------------ */

/* What the models say of one element: x in VP coordinates, their noise, and
 * that noise under guidance. */
typedef struct element {
    double x, z, e[MOST], g[MOST];
} element;

static const float *answer_of(const superpose *p, int j)
{
    return weft_solver_work(&p->base, p->base.inner->buffers + j);
}

static float *noise_of(const superpose *p)
{
    return weft_solver_work(&p->base,
                            p->base.inner->buffers + p->base.denoisers);
}

static element element_at(const superpose *p, const coefficients *c,
                          const float *x, size_t at)
{
    const int m = p->o.models, each = p->o.unconds == m;
    element e = {.x = x[at] * c->to_vp, .z = noise_of(p)[at]};

    for (int i = 0; i < m; i++) {
        e.e[i] = c->eps.x * e.x + c->eps.m * answer_of(p, i)[at];
        e.g[i] = e.e[i];
        if (c->w != 1) {
            const float u = answer_of(p, m + (each ? i : 0))[at];
            const double eu = c->eps.x * e.x + c->eps.m * u;

            e.g[i] = eu + c->w * (e.e[i] - eu);
        }
    }
    return e;
}

/* fn(p, c, x, at, kappa, sums) for every element; sums of k values each are
 * added up by stretch, then over the image. */
typedef void visit(const superpose *p, const coefficients *c, float *x,
                   size_t at, const double *kappa, double *sums);

typedef struct summing {
    const superpose *p;
    const coefficients *c;
    visit *fn;
    int k;
    float *x;
} summing;

static void sum_stretch(void *arg, const weft_stretch *s)
{
    const summing *v = arg;
    double *sums = v->p->each + s->index * (size_t)v->k;
    const double *kappa = v->p->kappa + s->sample * v->p->o.models;

    memset(sums, 0, (size_t)v->k * sizeof *sums);
    for (size_t at = s->at; at < s->at + s->floats; at++)
        v->fn(v->p, v->c, v->x, at, kappa, sums);
}

static weft_status sum_over(superpose *p, const coefficients *c, visit *fn,
                            int k, float *x)
{
    const weft_batch *b = &p->base.batch;
    const weft_total t = total_of(p);
    summing v = {p, c, fn, k, x};

    weft_total_visit(&t, b, sum_stretch, &v);
    return weft_total_sum(&t, p->each, b->n * k, p->sum);
}

/* ---- weights ------------------------------------------------------------- */

static double mean_of(const double *v, int m)
{
    double sum = 0;

    for (int i = 0; i < m; i++) sum += v[i];
    return sum / m;
}

/* Of the system that makes all ln q_i change alike, about the models' mean so
 * that nearly equal predictions lose no digits: [m][m] <g_j, e_i>, then
 * [m] |e_i|^2 / 2 - spread / slope <e_i, z>. */
static void add_system(const superpose *p, const coefficients *c, float *x,
                       size_t at, const double *kappa, double *sums)
{
    const int m = p->o.models;
    const element v = element_at(p, c, x, at);
    const double e0 = mean_of(v.e, m), g0 = mean_of(v.g, m);
    const double rest = e0 - g0 - c->spread / c->slope * v.z;

    (void)kappa;
    for (int i = 0; i < m; i++) {
        const double e = v.e[i] - e0;

        for (int j = 0; j < m; j++) sums[i * m + j] += (v.g[j] - g0) * e;
        sums[m * m + i] += e * (e / 2 + rest);
    }
}

static weft_status weigh_and(superpose *p, const coefficients *c, float *x)
{
    const int m = p->o.models, k = m * m + m;
    const double part = c->beta / (c->slope * c->slope) / p->base.steps;

    WEFT_TRY(sum_over(p, c, add_system, k, x));
    for (int n = 0; n < p->base.batch.n; n++) {
        double *system = p->sum + n * k;

        for (int i = 0; i < m; i++) system[m * m + i] += part * p->bias[i];
        weft_weights_and(m, system, system + m * m, p->kappa + n * m);
    }
    return WEFT_OK;
}

/* A step that stays at its level changes no density: any weights will do. */
static bool weighs_by_sums(const superpose *p, double beta)
{
    return p->o.kind == WEFT_SUPERPOSE_AND && beta > 0;
}

static weft_status weigh(superpose *p, const coefficients *c, float *x)
{
    const int m = p->o.models;

    if (weighs_by_sums(p, c->beta)) return weigh_and(p, c, x);
    for (int n = 0; n < p->base.batch.n; n++)
        if (p->o.kind == WEFT_SUPERPOSE_OR)
            weft_weights_or(m, p->o.temperature, p->base.log_density + n * m,
                            p->bias, p->kappa + n * m);
        else
            for (int i = 0; i < m; i++)
                p->kappa[n * m + i] =
                    p->o.kind == WEFT_SUPERPOSE_AND ? 1. / m : p->bias[i];
    return WEFT_OK;
}

/* ---- the step ------------------------------------------------------------ */

/* x goes from hi to lo; |x_lo - mu_i|^2 for every model, |x_hi - keep x_lo|^2,
 * and |e_i|^2 for the quirk, are added up. */
static void step_element(const superpose *p, const coefficients *c, float *x,
                         size_t at, const double *kappa, double *sums)
{
    const int m = p->o.models;
    const element v = element_at(p, c, x, at);
    double eps = 0, lo, back;

    for (int i = 0; i < m; i++) eps += kappa[i] * v.g[i];
    lo = c->sample * weft_clip((v.x - c->b * eps) / c->a, c->clip) +
         c->direct * eps + c->spread * v.z;
    for (int i = 0; i < m; i++) {
        const double mean =
            c->sample * ((v.x - c->b * v.e[i]) / c->a) + c->direct * v.e[i];

        sums[i] += (lo - mean) * (lo - mean);
        if (p->o.quirk) sums[m + 1 + i] += v.e[i] * v.e[i];
    }
    back = v.x - c->keep * lo;
    sums[m] += back * back;
    x[at] = (float)(lo * c->from_vp);
}

static int step_sums(const superpose *p)
{
    return p->o.models * (p->o.quirk ? 2 : 1) + 1;
}

static void add_densities(superpose *p, const coefficients *c)
{
    const int m = p->o.models, k = step_sums(p);

    if (!(c->beta > 0)) return;
    for (int n = 0; n < p->base.batch.n; n++) {
        const double *sum = p->sum + n * k;

        for (int i = 0; i < m; i++) {
            double *ll = &p->base.log_density[n * m + i];

            *ll += (sum[m] - sum[i]) / (2 * c->beta);
            if (p->o.quirk)
                *ll += c->slope * c->slope / c->beta * sum[m + 1 + i];
        }
    }
}

static weft_status diffuse(superpose *p, int i, float *x)
{
    const coefficients c = coefficients_of(p, i);

    weft_solver_draw(&p->base, noise_of(p));
    WEFT_TRY(weigh(p, &c, x));
    WEFT_TRY(sum_over(p, &c, step_element, step_sums(p), x));
    add_densities(p, &c);
    return WEFT_OK;
}

/* Any solver: it gets the average as its one answer. The same mixture of raw
 * predictions is that of eps, of x0 and of v. */
static void mix(const superpose *p, double w)
{
    const int m = p->o.models, n = p->base.denoisers;
    double part[WEFT_ASKED] = {0};

    for (int i = 0; i < m; i++) {
        part[i] = w * p->bias[i];
        if (n > m) part[n == 2 * m ? m + i : m] += (1 - w) * p->bias[i];
    }
    for (size_t at = 0; at < weft_solver_floats(&p->base); at++) {
        double sum = 0;

        for (int j = 0; j < n; j++) sum += part[j] * answer_of(p, j)[at];
        p->mixed[at] = (float)sum;
    }
}

/* ---- stages -------------------------------------------------------------- */

static superpose *of(weft_solver *s) { return (superpose *)s; }

static int stages(const weft_solver *s, int i)
{
    return weft_solver_stages(s->inner, i);
}

static void who(const weft_solver *s, int i, int k, weft_question *q)
{
    (void)i;
    (void)k;
    q->n = s->denoisers;
    for (int j = 0; j < q->n; j++) q->who[j] = j;
}

static int draws(const weft_solver *s, int i)
{
    return weft_solver_draws(s->inner, i);
}

static void ask(weft_solver *s, int i, int k, const float *x, weft_question *q)
{
    superpose *p = of(s);

    p->base.inner->ops->ask(p->base.inner, i, k, x, q);
    p->mixed = q->answer[0];
    for (int j = 0; j < q->n; j++)
        q->answer[j] = weft_solver_work(s, p->base.inner->buffers + j);
}

static weft_status take(weft_solver *s, int i, int k, float *x)
{
    superpose *p = of(s);

    if (p->diffuses) return diffuse(p, i, x);
    mix(p, p->o.unconds ? weft_guidance_at(&p->o.guidance, i + k) : 1);
    return p->base.inner->ops->take(p->base.inner, i, k, x);
}

static unsigned keeps(const weft_solver *s, int i, int k)
{
    return weft_solver_keeps(s->inner, i, k);
}

/* ---- beginning ----------------------------------------------------------- */

static weft_status bind(weft_solver *s)
{
    superpose *p = of(s);
    const size_t n = (size_t)s->batch.n, m = (size_t)p->o.models;
    const size_t sums = n * (size_t)s->sums;
    const weft_total t = total_of(p);

    if (!p->diffuses) return WEFT_OK;
    free(p->memory);
    p->memory = malloc((2 * n * m + sums * (weft_total_stretches(&t) + 1)) *
                       sizeof(double));
    if (!p->memory)
        return weft_fail(WEFT_ENOMEM, "no memory for sums of %s", p->o.name);
    s->log_density = p->memory;
    p->kappa = p->memory + n * m;
    p->sum = p->kappa + n * m;
    p->each = p->sum + sums;
    return WEFT_OK;
}

static void add_square(const superpose *p, const coefficients *c, float *x,
                       size_t at, const double *kappa, double *sums)
{
    const double v = x[at] * c->to_vp;

    (void)p;
    (void)kappa;
    sums[0] += v * v;
}

/* ln N(x_T; 0, 1) for every model. */
static weft_status start(weft_solver *s, float *x)
{
    superpose *p = of(s);
    const coefficients c = coefficients_of(p, 0);
    const double floats =
        (double)s->field.h * (double)s->field.w * (double)s->field.c;
    const double two_pi = 2 * acos(-1);

    if (!p->diffuses) return WEFT_OK;
    WEFT_TRY(sum_over(p, &c, add_square, 1, x));
    for (int n = 0; n < s->batch.n; n++)
        for (int i = 0; i < p->o.models; i++)
            s->log_density[n * p->o.models + i] =
                -(p->sum[n] + floats * log(two_pi)) / 2;
    return WEFT_OK;
}

/* As start and diffuse do. */
static weft_solver_sums totals(const weft_solver *s, int i)
{
    const superpose *p = (const superpose *)s;
    const int m = p->o.models;

    if (!p->diffuses) return (weft_solver_sums){0, 0};
    if (i < 0) return (weft_solver_sums){1, 1};
    if (!weighs_by_sums(p, coefficients_of(p, i).beta))
        return (weft_solver_sums){1, step_sums(p)};
    return (weft_solver_sums){2, m * m + m + step_sums(p)};
}

static void release(weft_solver *s) { free(of(s)->memory); }

/* ---- making -------------------------------------------------------------- */

static const weft_solver_ops superpose_ops = {.stages = stages,
                                              .who = who,
                                              .draws = draws,
                                              .ask = ask,
                                              .take = take,
                                              .bind = bind,
                                              .keeps = keeps,
                                              .start = start,
                                              .totals = totals,
                                              .release = release};

static bool diffuses(const weft_solver *inner)
{
    return inner->kind == WEFT_EULER_A ||
           (inner->kind == WEFT_DDIM && inner->eta == 1);
}

static weft_status check_process(const weft_superpose_opts *o,
                                 const weft_solver *inner)
{
    if (diffuses(inner) && !(inner->abar[0] > 0))
        return weft_fail(WEFT_EINPUT,
                         "%s: no density says anything where "
                         "rescale_betas_zero_snr leaves no signal",
                         o->name);
    if (o->kind == WEFT_SUPERPOSE_AVERAGE || diffuses(inner)) return WEFT_OK;
    if (inner->kind == WEFT_DDIM)
        return weft_fail(WEFT_EINPUT,
                         "%s follows the reverse diffusion: ddim with eta 1, "
                         "not %g",
                         o->name, inner->eta);
    return weft_fail(WEFT_EINPUT,
                     "%s follows the reverse diffusion: solver ddim (eta 1) or "
                     "euler_ancestral, not %s",
                     o->name, inner->ops->name);
}

static weft_status check_numbers(const weft_superpose_opts *o)
{
    double sum = 0;

    for (int i = 0; i < o->models; i++) sum += o->bias ? o->bias[i] : 1;
    if (!isfinite(sum) || !isfinite(o->lift) || !isfinite(o->temperature))
        return weft_fail(WEFT_EINPUT,
                         "%s: bias, lift and temperature are finite numbers",
                         o->name);
    if (o->kind == WEFT_SUPERPOSE_AVERAGE && !(fabs(sum) > 1e-6))
        return weft_fail(WEFT_EINPUT,
                         "%s: the weights (bias) sum to %g: there is no mean",
                         o->name, sum);
    if (o->lift != 0 && (o->kind != WEFT_SUPERPOSE_AND || o->models != 2))
        return weft_fail(WEFT_EINPUT,
                         "%s: a lift is between two models of an AND; bias is "
                         "for any number",
                         o->name);
    if (o->quirk && o->kind != WEFT_SUPERPOSE_OR)
        return weft_fail(WEFT_EINPUT, "%s: only the released OR has a quirk",
                         o->name);
    return WEFT_OK;
}

static weft_status check(const weft_superpose_opts *o, const weft_solver *inner)
{
    WEFT_MUST(o->unconds == 0 || o->unconds == 1 || o->unconds == o->models);
    WEFT_MUST(o->guidance.rescale == 0);
    if (o->models < 2)
        return weft_fail(WEFT_EINPUT,
                         "%s: %d model is no superposition: it takes two or "
                         "more",
                         o->name, o->models);
    if (o->models > MOST)
        return weft_fail(WEFT_EINPUT, "%s: %d models are more than %d", o->name,
                         o->models, MOST);
    WEFT_TRY(check_numbers(o));
    return check_process(o, inner);
}

/* Average: parts of 1. AND: with the lift, which the second model gains. */
static void set_bias(superpose *p)
{
    const weft_superpose_opts *o = &p->o;
    double sum = 0;

    for (int i = 0; i < o->models; i++) {
        p->bias[i] = o->bias ? o->bias[i] : o->kind == WEFT_SUPERPOSE_AVERAGE;
        sum += p->bias[i];
    }
    for (int i = 0; i < o->models && o->kind == WEFT_SUPERPOSE_AVERAGE; i++)
        p->bias[i] /= sum;
    p->bias[0] -= o->lift / 2;
    p->bias[1] += o->lift / 2;
    p->o.bias = NULL;
}

weft_status weft_superpose_create(const weft_superpose_opts *o,
                                  weft_solver *inner, weft_solver **s)
{
    superpose *p;

    WEFT_TRY(check(o, inner));
    p = calloc(1, sizeof *p);
    if (!p) return weft_fail(WEFT_ENOMEM, "no memory for a solver");
    p->ops = superpose_ops;
    p->ops.name = o->name;
    weft_solver_wrap(&p->base, &p->ops, inner);
    p->o = *o;
    p->diffuses = diffuses(inner);
    set_bias(p);
    p->base.denoisers = o->models + o->unconds;
    p->base.buffers = inner->buffers + p->base.denoisers + 1;
    p->base.models = p->diffuses ? o->models : 0;
    p->base.sums = p->base.models * (p->base.models + 2) + 1;
    *s = &p->base;
    return WEFT_OK;
}
