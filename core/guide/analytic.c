/* Mixtures of normal images as a denoiser. */
#include "core/guide/analytic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct analytic {
    weft_denoiser base;
    weft_component *component; /* weights sum to 1 */
    int components;
    weft_prediction prediction;
    const double *abar;
    weft_total total;
    weft_input in;
    double a;               /* of the question's level */
    double *each, *sum;     /* [stretches][n][components], [n][components] */
    double *slope, *offset; /* of the answer in x: [n], [n][channels] */
} analytic;

/* ---- which component ----------------------------------------------------- */

/* |x - a mean_k|^2 of one sample's part of a stretch, for every k. */
static void add_distances(void *arg, const weft_stretch *s)
{
    const analytic *m = arg;
    const size_t channels = (size_t)m->base.batch.c;
    const float *x = m->in.x + s->at;
    double *sum = m->each + s->index * (size_t)m->components;

    for (int k = 0; k < m->components; k++) {
        const double *mean = m->component[k].mean;

        sum[k] = 0;
        for (size_t e = 0; e < s->floats; e++) {
            const double off = x[e] - m->a * mean[e % channels];

            sum[k] += off * off;
        }
    }
}

static weft_status measure(analytic *m)
{
    const weft_batch *b = &m->base.batch;

    weft_total_visit(&m->total, b, add_distances, m);
    return weft_total_sum(&m->total, m->each, b->n * m->components, m->sum);
}

/* Squared distances become the probabilities of the components. */
static void to_probabilities(const analytic *m, const double *var, double *p)
{
    const double elements = m->total.pixels * m->base.batch.c;
    double most = -INFINITY, sum = 0;

    for (int k = 0; k < m->components; k++) {
        p[k] = log(m->component[k].weight) -
               (p[k] / var[k] + elements * log(var[k])) / 2;
        most = fmax(most, p[k]);
    }
    for (int k = 0; k < m->components; k++) sum += p[k] = exp(p[k] - most);
    for (int k = 0; k < m->components; k++) p[k] /= sum;
}

/* ---- what is predicted --------------------------------------------------- */

/* Of component k alone, per channel: x0 = p x + q mean, eps = s (x - a mean);
 * the prediction is linear in both. */
static void add_component(const analytic *m, int k, double part, double a,
                          double b, double var, double *slope, double *offset)
{
    const weft_component *v = &m->component[k];
    const double p = a * v->std * v->std / var, q = b * b / var, s = b / var;
    double x0 = 1, eps = 0; /* how much of each is predicted */

    if (m->prediction == WEFT_PREDICT_EPSILON) {
        x0 = 0;
        eps = 1;
    } else if (m->prediction == WEFT_PREDICT_V) {
        x0 = -b;
        eps = a;
    }
    *slope += part * (x0 * p + eps * s);
    for (int c = 0; c < m->base.batch.c; c++)
        offset[c] += part * (x0 * q - eps * s * a) * v->mean[c];
}

static weft_status work(weft_denoiser *d)
{
    analytic *m = (analytic *)d;
    const double abar = m->in.abar > 0 ? m->in.abar : m->abar[m->in.node];
    const double a = sqrt(abar);
    const double b = sqrt(1 - abar);
    const size_t channels = (size_t)d->batch.c;
    double var[WEFT_COMPONENTS];

    for (int k = 0; k < m->components; k++)
        var[k] = abar * pow(m->component[k].std, 2) + b * b;
    m->a = a;
    WEFT_TRY(measure(m));
    for (size_t n = 0; n < (size_t)d->batch.n; n++) {
        double *p = m->sum + n * (size_t)m->components;

        to_probabilities(m, var, p);
        m->slope[n] = 0;
        memset(m->offset + n * channels, 0, channels * sizeof *m->offset);
        for (int k = 0; k < m->components; k++)
            add_component(m, k, p[k], a, b, var[k], &m->slope[n],
                          m->offset + n * channels);
    }
    d->evaluations += (uint64_t)d->batch.n;
    return WEFT_OK;
}

static weft_status ask(weft_denoiser *d, const weft_input *in)
{
    ((analytic *)d)->in = *in;
    return WEFT_OK;
}

static weft_status answer(weft_denoiser *d, float *out)
{
    const analytic *m = (const analytic *)d;
    const int c = d->batch.c, sample = d->batch.w * c;
    size_t at = 0;

    for (int y = 0; y < d->batch.rows; y++)
        for (int n = 0; n < d->batch.n; n++)
            for (int e = 0; e < sample; e++, at++)
                out[at] = (float)(m->slope[n] * m->in.x[at] +
                                  m->offset[n * c + e % c]);
    return WEFT_OK;
}

/* ---- making -------------------------------------------------------------- */

static void destroy(weft_denoiser *d)
{
    analytic *m = (analytic *)d;

    free(m->component);
    free(m->each);
    free(m);
}

static const weft_denoiser_ops ops = {"analytic", ask, work, answer, destroy};

static weft_status check(const weft_analytic_opts *o)
{
    if (o->components < 1 || o->components > WEFT_COMPONENTS)
        return weft_fail(WEFT_EINPUT,
                         "a mixture of %d components: 1 to %d are allowed",
                         o->components, WEFT_COMPONENTS);
    if (o->batch.c > WEFT_ANALYTIC_CHANNELS)
        return weft_fail(WEFT_EINPUT,
                         "an analytic model of %d channels: %d at "
                         "most",
                         o->batch.c, WEFT_ANALYTIC_CHANNELS);
    for (int k = 0; k < o->components; k++) {
        const weft_component *v = &o->component[k];
        double sum = 0;

        for (int c = 0; c < o->batch.c; c++) sum += v->mean[c];
        if (!(v->weight > 0 && v->std > 0) || !isfinite(v->weight) ||
            !isfinite(v->std) || !isfinite(sum))
            return weft_fail(WEFT_EINPUT,
                             "component %d of the mixture: weight and std are "
                             "above 0, means are finite",
                             k);
    }
    return WEFT_OK;
}

static weft_status allocate(analytic *m)
{
    const weft_batch *b = &m->base.batch;
    const size_t n = (size_t)b->n, k = (size_t)m->components;
    const size_t sums = n * k, stretches = weft_total_stretches(&m->total);

    m->component = malloc(k * sizeof *m->component);
    m->each = malloc((sums * (stretches + 1) + n * (1 + (size_t)b->c)) *
                     sizeof *m->each);
    if (!m->component || !m->each)
        return weft_fail(WEFT_ENOMEM, "no memory for an analytic model");
    m->sum = m->each + stretches * sums;
    m->slope = m->sum + sums;
    m->offset = m->slope + n;
    return WEFT_OK;
}

weft_status weft_analytic_create(const weft_analytic_opts *o,
                                 weft_denoiser **out)
{
    analytic *m;
    double sum = 0;
    weft_status st;

    WEFT_TRY(check(o));
    m = calloc(1, sizeof *m);
    if (!m) return weft_fail(WEFT_ENOMEM, "no memory for an analytic model");
    m->base = (weft_denoiser){.ops = &ops, .batch = o->batch};
    m->components = o->components;
    m->prediction = o->prediction;
    m->abar = o->abar;
    m->total = weft_total_or_solo(o->total, &o->batch);
    st = allocate(m);
    if (st != WEFT_OK) {
        destroy(&m->base);
        return st;
    }
    for (int k = 0; k < o->components; k++) sum += o->component[k].weight;
    for (int k = 0; k < o->components; k++) {
        m->component[k] = o->component[k];
        m->component[k].weight /= sum;
    }
    *out = &m->base;
    return WEFT_OK;
}
