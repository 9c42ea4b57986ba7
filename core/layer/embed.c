/*
 * Numbers as vectors: time steps and labels, before the first linear layer.
 *
 * At time 1000 the last bit of a frequency is worth 6e-5 of its sine. So
 * frequencies and angles are rounded to float at the same places as in the
 * models' own training code, and exp, sin, cos are then taken exactly.
 */
#include "core/layer/parts.h"

#include <math.h>
#include <string.h>

static const float *numbers(const weft_run *run, int of)
{
    return of == WEFT_EMBED_TIME ? run->time : run->label;
}

/* The sine and cosine of an angle at place i of two halves. */
static void put_angle(float *out, int i, int half, bool flip, float angle)
{
    out[flip ? half + i : i] = (float)sin((double)angle);
    out[flip ? i : half + i] = (float)cos((double)angle);
}

static weft_status no_label(void)
{
    return weft_fail(WEFT_EINPUT, "the net needs a label");
}

/* ---- sinusoids ----------------------------------------------------------- */

/* 10000^(-i / (half - shift)) */
static float frequency(int i, int half, float shift)
{
    const float exponent = (float)-log(10000) * (float)i;

    return (float)exp((double)(exponent / ((float)half - shift)));
}

void weft_sinusoids(float x, int dim, bool flip, float shift, float *out)
{
    const int half = dim / 2;

    out[dim - 1] = 0; /* an odd dimension ends with zero */
    for (int i = 0; i < half; i++)
        put_angle(out, i, half, flip, x * frequency(i, half, shift));
}

void weft_guide_sinusoids(double w, int dim, float *out)
{
    const int half = dim / 2;
    const float rate = (float)log(10000) / (float)(half - 1);
    const float x = (float)(w - 1) * 1000;

    out[dim - 1] = 0; /* an odd dimension ends with zero */
    for (int i = 0; i < half; i++)
        put_angle(out, i, half, false,
                  x * (float)exp((double)((float)i * -rate)));
}

static weft_status sinusoid(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    const int dim = weft_graph_at(g, d->out)->c;
    const float *x = numbers(run, d->u.embed.of);
    float *out = weft_run_value(run, d->out);

    if (!x) return no_label();
    for (int s = 0; s < run->layout->n; s++, out += dim)
        weft_sinusoids(x[s], dim, d->u.embed.flip, d->u.embed.shift, out);
    return WEFT_OK;
}

static const weft_layer_ops sinusoid_ops = {"embed", sinusoid, NULL, NULL};

static weft_node *add(weft_graph *g, const weft_layer_ops *ops,
                      const char *name, int dim)
{
    weft_val out;
    weft_node *d;

    if (!weft_channels_ok(g, name, dim, dim)) return NULL;
    out = weft_graph_value(g, 0, 1, dim);
    d = weft_graph_node(g, ops, name);
    if (d) d->out = out;
    return d;
}

weft_val weft_add_sinusoid(weft_graph *g, weft_embed_of of, int dim,
                           bool flip_sin_to_cos, float freq_shift)
{
    weft_node *d;

    if ((float)(dim / 2) == freq_shift)
        weft_graph_fail(g, "%ssinusoids of %d channels with a shift of %g",
                        g->prefix, dim, (double)freq_shift);
    d = add(g, &sinusoid_ops, "sinusoid", dim);
    if (!d) return WEFT_NONE;
    d->u.embed.of = (int)of;
    d->u.embed.flip = flip_sin_to_cos;
    d->u.embed.shift = freq_shift;
    return d->out;
}

/* ---- Gaussian Fourier features ------------------------------------------- */

static weft_status fourier(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    const int dim = weft_graph_at(g, d->out)->c, half = dim / 2;
    const float *weight = weft_run_weight(run, d->weight[0]);
    const float *t = numbers(run, d->u.embed.of);
    float *out = weft_run_value(run, d->out);

    if (!t) return no_label();
    for (int s = 0; s < run->layout->n; s++, out += dim) {
        const float x = d->u.embed.log ? (float)log((double)t[s]) : t[s];
        for (int i = 0; i < half; i++)
            put_angle(out, i, half, d->u.embed.flip,
                      x * weight[i] * 2 * (float)M_PI);
    }
    return WEFT_OK;
}

static const weft_layer_ops fourier_ops = {"embed", fourier, NULL, NULL};

weft_val weft_add_fourier(weft_graph *g, const char *name, weft_embed_of of,
                          int dim, bool flip_sin_to_cos, bool log)
{
    weft_node *d;
    int weight;

    if (dim % 2)
        weft_graph_fail(g, "%s%s: %d channels cannot be halved", g->prefix,
                        name, dim);
    weight = weft_weight_vector(g, &name, 1, "weight", dim / 2);
    d = add(g, &fourier_ops, name, dim);
    if (!d) return WEFT_NONE;
    d->weight[0] = weight;
    d->u.embed.of = (int)of;
    d->u.embed.flip = flip_sin_to_cos;
    d->u.embed.log = log;
    return d->out;
}

/* ---- class embedding ----------------------------------------------------- */

static weft_status lookup(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    const int dim = weft_graph_at(g, d->out)->c;
    const int rows = g->weight[d->weight[0]].shape[0][0];
    const float *table = weft_run_weight(run, d->weight[0]);
    float *out = weft_run_value(run, d->out);

    if (!run->label) return no_label();
    for (int s = 0; s < run->layout->n; s++, out += dim) {
        const float label = run->label[s];
        if (!(label >= 0 && label < (float)rows))
            return weft_fail(WEFT_EINPUT, "label %g is not in 0 to %d",
                             (double)label, rows - 1);
        memcpy(out, table + (size_t)label * (size_t)dim,
               (size_t)dim * sizeof *out);
    }
    return WEFT_OK;
}

static const weft_layer_ops lookup_ops = {"embed", lookup, NULL, NULL};

weft_val weft_add_lookup(weft_graph *g, const char *name, int rows, int dim)
{
    weft_node *d;
    int weight;

    if (!weft_channels_ok(g, name, rows, dim)) return WEFT_NONE;
    weight = weft_weight_table(g, name, rows, dim);
    d = add(g, &lookup_ops, name, dim);
    if (!d || weight == WEFT_NONE) return WEFT_NONE;
    d->weight[0] = weight;
    return d->out;
}
