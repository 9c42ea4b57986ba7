#include "core/solve/solver.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "core/finite.h"
#include "core/solve/methods.h"
#include "core/solve/nodes.h"

#define STEPS_MAX 100000

static const weft_solver_ops *const ops_of[WEFT_SOLVERS] = {
    [WEFT_DDIM] = &weft_ddim_ops,
    [WEFT_EULER] = &weft_euler_ops,
    [WEFT_EULER_A] = &weft_euler_a_ops,
    [WEFT_HEUN] = &weft_heun_ops,
    [WEFT_DPMPP_2M] = &weft_dpmpp_2m_ops,
    [WEFT_DPMPP_2M_SDE] = &weft_dpmpp_2m_sde_ops,
    [WEFT_DPMPP_3M_SDE] = &weft_dpmpp_3m_sde_ops,
    [WEFT_DPMPP_2S] = &weft_dpmpp_2s_ops,
    [WEFT_DPMPP_2S_A] = &weft_dpmpp_2s_a_ops,
    [WEFT_DPMPP_SDE] = &weft_dpmpp_sde_ops,
    [WEFT_UNIPC] = &weft_unipc_ops,
    [WEFT_LMS] = &weft_lms_ops,
    [WEFT_PNDM] = &weft_pndm_ops,
    [WEFT_LCM] = &weft_lcm_ops,
    [WEFT_TCD] = &weft_tcd_ops,
};

static int count_buffers(const weft_solver *s)
{
    return s->ops->buffers + (s->ops->orders ? s->schedule->solver_order : 0);
}

static weft_status check_opts(const weft_solver_opts *o,
                              const weft_noise_schedule *schedule, int steps)
{
    if (o->nodes && o->sigmas)
        return weft_fail(WEFT_EINPUT, "nodes and sigmas exclude each other");
    if (steps < 1 || steps > STEPS_MAX)
        return weft_fail(WEFT_EINPUT, "%d steps are not within 1 to %d", steps,
                         STEPS_MAX);
    if (!(o->eta >= 0 && o->eta <= 1))
        return weft_fail(WEFT_EINPUT, "eta %g is not within 0 to 1", o->eta);
    if (o->eta > 0 && o->kind != WEFT_DDIM && o->kind != WEFT_TCD)
        return weft_fail(WEFT_EINPUT, "eta %g: solver %s has no eta", o->eta,
                         weft_solver_name[o->kind]);
    if (o->kind == WEFT_PNDM && schedule->runge_kutta && steps < 4)
        return weft_fail(WEFT_EINPUT,
                         "solver pndm begins with three Runge-Kutta steps: %d "
                         "steps are fewer than 4 (or set skip_prk_steps)",
                         steps);
    return WEFT_OK;
}

static weft_status allocate(weft_solver *s)
{
    const size_t n = (size_t)s->steps + 1;

    s->time = calloc(3 * n, sizeof *s->time);
    if (!s->time)
        return weft_fail(WEFT_ENOMEM, "no memory for %d steps", s->steps);
    s->sigma = s->time + n;
    s->abar = s->sigma + n;
    return WEFT_OK;
}

weft_status weft_solver_create(const weft_solver_opts *o,
                               const weft_noise_schedule *schedule,
                               weft_solver **s)
{
    const int steps = o->nodes || o->sigmas ? o->nnodes : o->steps;
    weft_solver *made;
    weft_status st;

    WEFT_MUST(o->kind == schedule->solver);
    WEFT_TRY(check_opts(o, schedule, steps));
    made = calloc(1, sizeof *made);
    if (!made) return weft_fail(WEFT_ENOMEM, "no memory for a solver");
    made->ops = ops_of[o->kind];
    made->kind = o->kind;
    made->steps = steps;
    made->eta = o->eta;
    made->schedule = schedule;
    made->buffers = count_buffers(made);
    made->denoisers = 1;
    made->before = 1;
    st = allocate(made);
    if (st == WEFT_OK) st = weft_nodes_fill(o, made);
    if (st == WEFT_OK)
        *s = made;
    else
        weft_solver_destroy(made);
    return st;
}

void weft_solver_destroy(weft_solver *s)
{
    if (!s) return;
    if (s->ops->release) s->ops->release(s);
    if (s->inner)
        weft_solver_destroy(s->inner); /* whose nodes these are */
    else
        free(s->time);
    free(s);
}

/* Python's round, of ties to the even one. */
static int handover_step(const weft_solver *s, double from)
{
    const int train = s->schedule->train_steps;
    const double below = rint(train - from * train);
    int i = 0;

    while (i < s->steps && s->time[i] >= below) i++;
    return i;
}

weft_status weft_solver_hand_over(weft_solver *s, double from)
{
    const int i = handover_step(s, from);

    WEFT_MUST(s->denoisers == 1);
    if (s->kind == WEFT_PNDM)
        return weft_fail(WEFT_EINPUT,
                         "solver pndm begins by a rule of its own, so that no "
                         "other model can go on in its steps");
    if (i == 0 || i == s->steps)
        return weft_fail(WEFT_EINPUT,
                         "handed over at %g, the %s model has none of the %d "
                         "steps",
                         from, i ? "second" : "first", s->steps);
    s->handover = i;
    s->denoisers = 2;
    return WEFT_OK;
}

size_t weft_solver_buffer_floats(const weft_solver *s, const weft_batch *b)
{
    return (size_t)s->buffers * weft_batch_floats(b);
}

weft_status weft_solver_bind(weft_solver *s, const weft_batch *b,
                             const weft_field *f, weft_noise *noise,
                             float *buffer)
{
    WEFT_MUST(b->rows == f->rows && b->w == f->columns && b->c == f->c);
    s->batch = *b;
    s->field = *f;
    s->noise = noise;
    s->buffer = buffer;
    if (s->inner) WEFT_TRY(weft_solver_bind(s->inner, b, f, noise, buffer));
    return s->ops->bind ? s->ops->bind(s) : WEFT_OK;
}

int weft_solver_stages(const weft_solver *s, int i)
{
    return s->ops->stages ? s->ops->stages(s, i) : 1;
}

void weft_solver_who(const weft_solver *s, int i, int k, weft_question *q)
{
    q->n = 1;
    q->who[0] = 0;
    if (s->ops->who) s->ops->who(s, i, k, q);
    if (s->handover && i >= s->handover) q->who[0] = 1;
}

int weft_solver_lane(const weft_solver *s, int i, int k)
{
    return s->ops->lane ? s->ops->lane(s, i, k) : k;
}

int weft_solver_lanes(const weft_solver *s)
{
    int most = 0;

    for (int i = 0; i < s->steps; i++)
        for (int k = 0; k < weft_solver_stages(s, i); k++)
            if (weft_solver_lane(s, i, k) > most)
                most = weft_solver_lane(s, i, k);
    return most + 1;
}

int weft_solver_passes(const weft_solver *s, int i)
{
    weft_question q;
    int sum = 0;

    for (int k = 0; k < weft_solver_stages(s, i); k++) {
        weft_solver_who(s, i, k, &q);
        sum += q.n;
    }
    return sum;
}

int weft_solver_draws(const weft_solver *s, int i)
{
    return s->ops->draws ? s->ops->draws(s, i) : 0;
}

weft_solver_sums weft_solver_totals(const weft_solver *s, int i)
{
    return s->ops->totals ? s->ops->totals(s, i) : (weft_solver_sums){0, 0};
}

float *weft_solver_work(const weft_solver *s, int k)
{
    return s->buffer + (size_t)k * weft_solver_floats(s);
}

size_t weft_solver_floats(const weft_solver *s)
{
    return weft_batch_floats(&s->batch);
}

void weft_solver_draw(weft_solver *s, float *z)
{
    const size_t sample = (size_t)s->batch.w * (size_t)s->batch.c;

    for (int k = 0; k < s->batch.n; k++)
        weft_noise_fill(&s->noise[k], &s->field, z + (size_t)k * sample,
                        (size_t)s->batch.n * sample);
}

weft_status weft_solver_start(weft_solver *s, float *x)
{
    weft_solver_draw(s, x);
    weft_scale(s->init_sigma, x, x, weft_solver_floats(s));
    return s->ops->start ? s->ops->start(s, x) : WEFT_OK;
}

unsigned weft_solver_keeps(const weft_solver *s, int i, int k)
{
    return s->ops->keeps && i < s->steps ? s->ops->keeps(s, i, k) : 0;
}

/* The start is a draw; those of a step may be made in any of its stages. */
void weft_solver_drawn(const weft_solver *s, int i, int k, uint32_t *least,
                       uint32_t *most)
{
    *least = s->before;
    for (int j = s->first; j < i; j++)
        *least += (uint32_t)weft_solver_draws(s, j);
    *most = *least + (k > 0 ? (uint32_t)weft_solver_draws(s, i) : 0);
}

void weft_solver_begin(weft_solver *s, int first, uint32_t before)
{
    for (; s; s = s->inner) {
        s->first = first;
        s->before = before;
    }
}

int weft_solver_begins(const weft_solver *s)
{
    while (s->inner) s = s->inner;
    return s->ops->begins ? s->ops->begins(s) : s->first;
}

void weft_solver_add_noise(weft_solver *s, double amount, float *z, float *x)
{
    const size_t n = weft_solver_floats(s);

    weft_solver_draw(s, z);
    weft_blend((weft_mix){1, amount}, x, z, n);
}

int weft_one_draw(const weft_solver *s, int i)
{
    (void)s;
    (void)i;
    return 1;
}

static weft_status check_finite(const weft_solver *s, const char *what, int i,
                                const float *x)
{
    const weft_batch *b = &s->batch;
    const size_t sample = (size_t)b->w * (size_t)b->c;
    size_t k = 0;

    if (weft_all_finite(x, weft_solver_floats(s))) return WEFT_OK;
    while (fabsf(x[k]) <= FLT_MAX) k++;
    return weft_fail(WEFT_ENAN,
                     "%s %d of %d (%s): the latent is %s, first in sample %d "
                     "at latent row %d",
                     what, i + 1, s->steps, s->ops->name,
                     isnan(x[k]) ? "not a number" : "infinite",
                     (int)(k / sample % (size_t)b->n),
                     s->field.row0 + (int)(k / sample / (size_t)b->n));
}

weft_status weft_solver_failed(const weft_solver *s, int i, weft_status st)
{
    return weft_fail_within(st, "step %d of %d (%s)", i + 1, s->steps,
                            s->ops->name);
}

void weft_solver_ask(weft_solver *s, int i, int k, const float *x,
                     weft_question *q)
{
    WEFT_MUST(i >= 0 && i < s->steps);
    weft_solver_who(s, i, k, q);
    s->ops->ask(s, i, k, x, q);
    q->in.lane = weft_solver_lane(s, i, k);
}

weft_status weft_solver_take(weft_solver *s, int i, int k, float *x)
{
    WEFT_TRY(s->ops->take(s, i, k, x));
    if (k < weft_solver_stages(s, i) - 1) return WEFT_OK;
    return s->lenient ? WEFT_OK : check_finite(s, "step", i, x);
}

weft_status weft_question_put(const weft_question *q, weft_denoiser *const *d)
{
    for (int j = 0; j < q->n; j++) WEFT_TRY(weft_ask(d[q->who[j]], &q->in));
    for (int j = 0; j < q->n; j++) WEFT_TRY(weft_work(d[q->who[j]]));
    for (int j = 0; j < q->n; j++)
        WEFT_TRY(weft_answer(d[q->who[j]], q->answer[j]));
    return WEFT_OK;
}

weft_status weft_solver_step(weft_solver *s, int i, weft_denoiser *const *d,
                             float *x)
{
    const int stages = weft_solver_stages(s, i);
    weft_question q;
    weft_status st;

    for (int k = 0; k < stages; k++) {
        weft_solver_ask(s, i, k, x, &q);
        st = weft_question_put(&q, d);
        if (st != WEFT_OK) return weft_solver_failed(s, i, st);
        WEFT_TRY(weft_solver_take(s, i, k, x));
    }
    return WEFT_OK;
}

weft_status weft_solver_can_invert(const weft_solver *s, int from)
{
    if (!s->ops->can_invert)
        return weft_fail(WEFT_EINPUT, "solver %s has no inverse", s->ops->name);
    return s->ops->can_invert(s, from);
}

weft_status weft_solver_invert(weft_solver *s, int i, weft_denoiser *const *d,
                               float *x)
{
    weft_question q;

    WEFT_TRY(weft_solver_can_invert(s, i + 1));
    weft_solver_ask(s, i, 0, x, &q);
    WEFT_TRY(weft_question_put(&q, d));
    WEFT_TRY(s->ops->invert(s, i + 1, i, x));
    return check_finite(s, "inverse of step", i, x);
}

weft_mix weft_mix_x0(weft_prediction p, double a, double b)
{
    if (p == WEFT_PREDICT_EPSILON) return (weft_mix){1 / a, -b / a};
    if (p == WEFT_PREDICT_SAMPLE) return (weft_mix){0, 1};
    return (weft_mix){a / (a * a + b * b), -b / sqrt(a * a + b * b)};
}

weft_mix weft_mix_eps(weft_prediction p, double a, double b)
{
    if (p == WEFT_PREDICT_EPSILON) return (weft_mix){0, 1};
    if (p == WEFT_PREDICT_SAMPLE) return (weft_mix){1 / b, -a / b};
    return (weft_mix){b / (a * a + b * b), a / sqrt(a * a + b * b)};
}

double weft_phi(double z, int k)
{
    double term = 1, sum = 0, f;

    if (fabs(z) < 1) {
        for (int j = 2; j <= k; j++) term /= j;
        for (int j = 1; j < 24; j++) sum += term *= z / (j + k);
        return sum;
    }
    f = expm1(z) / z - 1;
    for (int j = 2; j <= k; j++) f = f / z - (term /= j);
    return f;
}

void weft_combine(double cx, const float *from, const double *c,
                  const float *const *m, int terms, float *x, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        double sum = cx * from[k];

        for (int j = 0; j < terms; j++) sum += c[j] * m[j][k];
        x[k] = (float)sum;
    }
}

void weft_blend(weft_mix c, float *x, const float *m, size_t n)
{
    for (size_t k = 0; k < n; k++) x[k] = (float)(c.x * x[k] + c.m * m[k]);
}

void weft_scale(double factor, const float *x, float *out, size_t n)
{
    for (size_t k = 0; k < n; k++) out[k] = (float)(factor * x[k]);
}
