/*
 * Group norm over an image that nobody holds.
 *
 * Every row publishes its moments: sum and squared differences from its own
 * mean, in double, for each sample and group. Everyone then combines the rows
 * of the whole image in image order, by
 *
 *     mean = sum of sums / N
 *     M2   = sum over rows of  M2_row + n_row (mean_row - mean)^2
 *
 * so the result does not depend on how the rows were divided, and nothing is
 * lost to E[x^2] - mean^2. What remains is one multiply-add per element.
 */
#include "core/layer/parts.h"

#include <math.h>

enum { IN, IN2, SCALE_SHIFT }; /* node->in */
enum { GAMMA, BETA };          /* node->weight */
enum { MOMENTS, MUL_ADD };     /* node->temp */

typedef struct normal {
    double mean, rstd;
} normal;

/* A sample's group out of the rows' records, `stride` doubles apart; `count`
 * elements in each row. */
static normal combine(const weft_view *all, size_t at, size_t stride,
                      double count, double eps)
{
    double sum = 0, m2 = 0, total = 0;

    for (int p = 0; p < all->n; p++) {
        const double *row = (const void *)all->part[p];
        for (int y = 0; y < all->rows[p]; y++) sum += row[y * stride + at];
        total += count * all->rows[p];
    }
    const double mean = sum / total;
    for (int p = 0; p < all->n; p++) {
        const double *row = (const void *)all->part[p];
        for (int y = 0; y < all->rows[p]; y++) {
            const double d = row[y * stride + at] / count - mean;
            m2 += row[y * stride + at + 1] + count * d * d;
        }
    }
    return (normal){mean, 1 / sqrt(m2 / total + eps)};
}

/* One group's channels from .. to of one sample, out of c. scale_shift: [2][c]
 * or NULL. */
typedef struct terms {
    const float *gamma, *beta, *scale_shift;
    float *mul, *add;
    int c;
} terms;

static void channel_terms(const terms *t, normal m, int from, int to)
{
    for (int k = from; k < to; k++) {
        double mul = m.rstd * t->gamma[k], add = t->beta[k] - m.mean * mul;

        if (t->scale_shift) {
            mul *= 1 + (double)t->scale_shift[k];
            add *= 1 + (double)t->scale_shift[k];
            add += t->scale_shift[t->c + k];
        }
        t->mul[k] = (float)mul;
        t->add[k] = (float)add;
    }
}

static int channels(const weft_graph *g, weft_val v)
{
    return v == WEFT_NONE ? 0 : weft_graph_at(g, v)->c;
}

static void publish(const weft_graph *g, const weft_node *d,
                    const weft_run *run)
{
    const weft_moments_args a = {
        .n = run->layout->n,
        .w = weft_graph_at(g, d->in[IN])->w,
        .rows = weft_run_rows(g, run, d->in[IN]),
        .groups = d->u.norm.groups,
        .c = {channels(g, d->in[IN]), channels(g, d->in[IN2])},
        .in = {weft_run_value(run, d->in[IN]),
               weft_run_optional(run, d->in[IN2])},
        .moments = weft_run_my_part(run),
    };

    run->dev->moments(&a, run->pool);
}

/* Multipliers [n][c], then addends [n][c]. */
/* Every rank sees the same moments, so all of them find the same fault. */
static weft_status make_terms(const weft_graph *g, const weft_node *d,
                              const weft_run *run, const weft_view *all)
{
    const int n = run->layout->n, groups = d->u.norm.groups;
    const int c = weft_graph_at(g, d->out)->c, size = c / groups;
    const double count = (double)weft_graph_at(g, d->in[IN])->w * size;
    const float *scale_shift = weft_run_optional(run, d->in[SCALE_SHIFT]);
    float *mul = weft_run_value(run, d->temp[MUL_ADD]);

    for (int s = 0; s < n; s++) {
        const size_t first = (size_t)s * (size_t)c;
        const terms t = {
            .gamma = weft_run_weight(run, d->weight[GAMMA]),
            .beta = weft_run_weight(run, d->weight[BETA]),
            .scale_shift = scale_shift ? scale_shift + 2 * first : NULL,
            .mul = mul + first,
            .add = mul + (size_t)n * (size_t)c + first,
            .c = c,
        };
        for (int k = 0; k < groups; k++) {
            const normal m =
                combine(all, 2 * (size_t)(s * groups + k),
                        2 * (size_t)(n * groups), count, d->u.norm.eps);

            if (!isfinite(m.mean) || !isfinite(m.rstd))
                return weft_fail(WEFT_ENAN,
                                 "what %s is given is not a number any more",
                                 d->name);
            channel_terms(&t, m, k * size, (k + 1) * size);
        }
    }
    return WEFT_OK;
}

static void apply(const weft_graph *g, const weft_node *d, const weft_run *run)
{
    const int n = run->layout->n, c = weft_graph_at(g, d->out)->c;
    const float *mul = weft_run_value(run, d->temp[MUL_ADD]);
    const weft_affine_args a = {
        .n = n,
        .w = weft_graph_at(g, d->out)->w,
        .c = {channels(g, d->in[IN]), channels(g, d->in[IN2])},
        .in = {weft_run_value(run, d->in[IN]),
               weft_run_optional(run, d->in[IN2])},
        .mul = mul,
        .add = mul + (size_t)n * (size_t)c,
        .act = d->u.norm.act,
        .out = weft_run_value(run, d->out),
        .row0 = 0,
        .row1 = weft_run_rows(g, run, d->out),
    };

    run->dev->affine(&a, run->pool);
}

static weft_status forward(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    weft_view all;

    publish(g, d, run);
    WEFT_TRY(weft_exchange_put(run->x, run->slot));
    WEFT_TRY(weft_exchange_get(run->x, run->slot, &all));
    WEFT_TRY(make_terms(g, d, run, &all));
    apply(g, d, run);
    return WEFT_OK;
}

/* Sum, squared difference, multiply-add: two operations each. */
static double flops(const weft_graph *g, int node, int n, int units,
                    int total_units)
{
    const weft_value *v = weft_graph_at(g, g->node[node].out);

    (void)total_units;
    return 6.0 * n * units * v->rows_per_unit * v->w * v->c;
}

static const weft_layer_ops norm_ops = {"norm", forward, NULL, flops};

/* ---- building ------------------------------------------------------------ */

static bool fits(weft_graph *g, const char *name, weft_val in, weft_val in2,
                 int groups, weft_val scale_shift)
{
    const weft_value *a = weft_graph_at(g, in);
    const int c = a->c + channels(g, in2);

    if (!weft_channels_ok(g, name, c, c)) return false;
    if (groups < 1 || c % groups)
        weft_graph_fail(g, "%s%s: %d channels cannot be divided into %d groups",
                        g->prefix, name, c, groups);
    if (in2 != WEFT_NONE &&
        (weft_graph_at(g, in2)->rows_per_unit != a->rows_per_unit ||
         weft_graph_at(g, in2)->w != a->w))
        weft_graph_fail(g, "%s%s: its two inputs differ in size", g->prefix,
                        name);
    if (scale_shift != WEFT_NONE && channels(g, scale_shift) != 2 * c)
        weft_graph_fail(g, "%s%s: scale and shift of %d channels for %d",
                        g->prefix, name, channels(g, scale_shift), c);
    return g->status == WEFT_OK;
}

/* The memory of the node: a record of 2 doubles per row and group, and the
 * channels' terms. */
static bool make_values(weft_graph *g, weft_val in, int c, int groups,
                        weft_val temp[2], weft_val *out)
{
    const int rows = weft_graph_at(g, in)->rows_per_unit;
    const int w = weft_graph_at(g, in)->w;

    temp[MOMENTS] = weft_graph_value(g, rows, groups, 4);
    temp[MUL_ADD] = weft_graph_value(g, 0, 1, 2 * c);
    *out = weft_graph_value(g, rows, w, c);
    if (*out == WEFT_NONE) return false;
    weft_graph_at(g, temp[MOMENTS])->whole = true;
    return true;
}

weft_val weft_add_group_norm(weft_graph *g, const char *name, weft_val in,
                             weft_val in2, int groups, float eps,
                             weft_val scale_shift, weft_act act)
{
    weft_val temp[2], out;
    weft_node *d;
    int c, gamma, beta;

    if (g->status != WEFT_OK || !fits(g, name, in, in2, groups, scale_shift))
        return WEFT_NONE;
    c = weft_graph_at(g, in)->c + channels(g, in2);
    if (!make_values(g, in, c, groups, temp, &out)) return WEFT_NONE;
    gamma = weft_weight_vector(g, &name, 1, "weight", c);
    beta = weft_weight_vector(g, &name, 1, "bias", c);
    d = weft_graph_node(g, &norm_ops, name);
    if (!d) return WEFT_NONE;
    d->in[IN] = in;
    d->in[IN2] = in2;
    d->in[SCALE_SHIFT] = scale_shift;
    d->out = out;
    d->temp[MOMENTS] = temp[MOMENTS];
    d->temp[MUL_ADD] = temp[MUL_ADD];
    d->weight[GAMMA] = gamma;
    d->weight[BETA] = beta;
    d->u.norm.groups = groups;
    d->u.norm.eps = eps;
    d->u.norm.act = act;
    weft_node_wants_all(d, WEFT_MOMENTS, temp[MOMENTS]);
    d->over = IN; /* where there is no second input */
    return out;
}
