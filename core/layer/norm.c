/*
 * Group norm over an image that nobody holds.
 *
 * Every cell of the cut publishes its moments: sum and squared differences
 * from its own mean, in double, for each sample and group. Everyone then
 * combines the cells of the whole image in image order, by
 *
 *     mean = sum of sums / N
 *     M2   = sum over cells of  M2_cell + n_cell (mean_cell - mean)^2
 *
 * so the result does not depend on how the image was divided, and nothing is
 * lost to E[x^2] - mean^2. What remains is one multiply-add per element.
 *
 * Where the peers' moments are old, my own of then may come with them. Then the
 * whole image's mean and mean square of then are moved by as much as my own
 * moved since (DistriFusion, arXiv 2402.19481, eq. 2: with weight 1, what moved
 * here being taken to have moved everywhere):
 *
 *     M = M_then + (m - m_then)        Q = Q_then + (q - q_then)
 *
 * m and q are mean and mean square of my cells, M and Q of all. In moments
 * about the mean, v = q - m^2, with no difference of squares,
 *
 *     Q - M^2 = V_then + (v - v_then) + 2 (m - m_then) (m_then - M_then)
 *
 * and where that is negative, for this sample and group, the variance is v.
 * Patches weigh by their elements, since cells do.
 */
#include "core/layer/parts.h"

#include <math.h>
#include <string.h>

enum { IN, IN2, SCALE_SHIFT };    /* node->in */
enum { GAMMA, BETA };             /* node->weight */
enum { MOMENTS, FOUND, MUL_ADD }; /* node->temp */

typedef struct normal {
    double mean, var;
} normal;

/* The cells' records, [units][n][strips][groups][2] in each part, and what a
 * cell is. */
typedef struct cells {
    const char *const *part;
    const weft_rect *rect; /* units and strips of each part */
    int parts, across;     /* across: side by side */
    size_t n, groups;
    weft_cell cell;
    int size; /* channels of a group */
} cells;

/* Elements of a group in a cell of strip x. */
static double count_at(const cells *c, int x)
{
    const int columns =
        weft_cell_column(&c->cell, x + 1) - weft_cell_column(&c->cell, x);

    return (double)c->cell.rows * columns * c->size;
}

/* One record of every group joins what was found before: first the sums; with
 * the means, squared differences from them. */
static void join(const double *record, size_t groups, double count,
                 const double *mean, double *found)
{
    for (size_t k = 0; k < groups; k++, record += 2) {
        const double d = mean ? record[0] / count - mean[k] : 0;

        found[k] += mean ? record[1] + count * d * d : record[0];
    }
}

/* Row y of part p joins found[n][groups]; returns its elements. */
static double over_row(const cells *c, int p, int y, const double *mean,
                       double *found)
{
    const int strips = c->rect[p].columns, first = c->rect[p].column;
    const size_t row = c->n * (size_t)strips * c->groups * 2;
    const double *record = (const double *)(const void *)c->part[p];
    double total = 0;

    record += (size_t)y * row;
    for (size_t s = 0; s < c->n * c->groups; s += c->groups)
        for (int x = 0; x < strips; x++, record += 2 * c->groups) {
            const double count = count_at(c, first + x);

            join(record, c->groups, count, mean ? mean + s : NULL, found + s);
            if (s == 0) total += count;
        }
    return total;
}

/* found[n][groups], over all cells in image order; returns the elements. A part
 * that is absent has no rows. */
static double over_cells(const cells *c, const double *mean, double *found)
{
    double total = 0;

    memset(found, 0, c->n * c->groups * sizeof *found);
    for (int line = 0; line < c->parts; line += c->across)
        for (int y = 0, here = 1; here; y++) {
            here = 0;
            for (int p = line; p < line + c->across; p++)
                if (y < c->rect[p].rows) {
                    total += over_row(c, p, y, mean, found);
                    here = 1;
                }
        }
    return total;
}

/* Mean and variance of every sample and group, found[2][n][groups]. */
static void combine(const cells *c, double *found)
{
    const size_t n = c->n * c->groups;
    const double total = over_cells(c, NULL, found);

    for (size_t i = 0; i < n; i++) found[i] /= total;
    over_cells(c, found, found + n);
    for (size_t i = n; i < 2 * n; i++) found[i] /= total;
}

static normal correct(normal then, normal mine_then, normal mine)
{
    const double moved = mine.mean - mine_then.mean;
    const double var = then.var + (mine.var - mine_then.var) +
                       2 * moved * (mine_then.mean - then.mean);

    return (normal){then.mean + moved, var < 0 ? mine.var : var};
}

/* The same of all cells as they were, moved by what moved in mine; room for
 * three in `found`. */
static void combine_corrected(cells c, const weft_view *v, double *found)
{
    const size_t n = c.n * c.groups;
    double *mine_then = found + 2 * n, *mine = found + 4 * n;

    c.part = v->then;
    combine(&c, found);
    c.parts = c.across = 1;
    c.rect += v->me;
    c.part = &v->then[v->me];
    combine(&c, mine_then);
    c.part = &v->part[v->me];
    combine(&c, mine);
    for (size_t i = 0; i < n; i++) {
        const normal m = correct((normal){found[i], found[n + i]},
                                 (normal){mine_then[i], mine_then[n + i]},
                                 (normal){mine[i], mine[n + i]});

        found[i] = m.mean;
        found[n + i] = m.var;
    }
}

/* One group's channels from .. to of one sample, out of c. scale_shift: [2][c]
 * or NULL. */
typedef struct terms {
    const float *gamma, *beta, *scale_shift;
    float *mul, *add;
    int c;
} terms;

static void channel_terms(const terms *t, normal m, double eps, int from,
                          int to)
{
    const double rstd = 1 / sqrt(m.var + eps);

    for (int k = from; k < to; k++) {
        double mul = rstd * t->gamma[k], add = t->beta[k] - m.mean * mul;

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
                    const weft_run *run, double *mine)
{
    const weft_value *in = weft_graph_at(g, d->in[IN]);
    const weft_moments_args a = {
        .n = run->layout->n,
        .w = weft_run_columns(g, run, d->in[IN]),
        .rows = weft_run_rows(g, run, d->in[IN]),
        .groups = d->u.norm.groups,
        .cell_rows = in->rows_per_unit,
        .cell_columns = in->strip,
        .c = {channels(g, d->in[IN]), channels(g, d->in[IN2])},
        .in = {weft_run_value(run, d->in[IN]),
               weft_run_optional(run, d->in[IN2])},
        .moments = mine,
    };

    run->dev->moments(&a, run->pool);
}

static cells cells_of(const weft_graph *g, const weft_node *d, int n,
                      const weft_view *all)
{
    const weft_value *in = weft_graph_at(g, d->in[IN]);

    return (cells){.part = all->part,
                   .rect = all->rect,
                   .parts = all->n,
                   .across = all->across,
                   .n = (size_t)n,
                   .groups = (size_t)d->u.norm.groups,
                   .cell = {in->rows_per_unit, in->strip, in->w},
                   .size = weft_graph_at(g, d->out)->c / d->u.norm.groups};
}

/* How much my part moved in an evaluation: means, against mean squares. */
static void say_moved(const weft_graph *g, const weft_node *d,
                      const weft_run *run, const weft_view *all)
{
    const cells c = cells_of(g, d, run->layout->n, all);
    const weft_rect *mine = &all->rect[all->me];
    const double *now = (const void *)all->part[all->me];
    const double *before = weft_exchange_before(run->x, run->slot);
    double changed = 0, size = 0;

    if (!before) return;
    for (int i = 0; i < mine->rows * (int)c.n * mine->columns; i++) {
        const double count = count_at(&c, mine->column + i % mine->columns);

        for (size_t k = 0; k < c.groups; k++, now += 2, before += 2) {
            changed += (now[0] - before[0]) * (now[0] - before[0]) / count;
            size += now[1] + now[0] * now[0] / count;
        }
    }
    weft_exchange_moved(run->x, run->slot, changed, size);
}

static void find(const weft_graph *g, const weft_node *d, int n,
                 const weft_view *all, double *found)
{
    const cells c = cells_of(g, d, n, all);

    if (all->then)
        combine_corrected(c, all, found);
    else
        combine(&c, found);
}

/* Multipliers [n][c], then addends [n][c]. In step every rank sees the same
 * moments, so all of them find the same fault. */
static weft_status make_terms(const weft_graph *g, const weft_node *d,
                              const weft_run *run, const weft_view *all)
{
    const int n = run->layout->n, groups = d->u.norm.groups;
    const int c = weft_graph_at(g, d->out)->c, size = c / groups;
    double *mean = (void *)weft_run_value(run, d->temp[FOUND]);
    const double *var = mean + (size_t)n * (size_t)groups;
    const float *scale_shift = weft_run_optional(run, d->in[SCALE_SHIFT]);
    float *mul = weft_run_value(run, d->temp[MUL_ADD]);

    find(g, d, n, all, mean);
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
            const size_t i = (size_t)s * (size_t)groups + (size_t)k;
            const normal m = {mean[i], var[i]};

            if (!run->lenient && (!isfinite(m.mean) || !isfinite(m.var)))
                return weft_fail(WEFT_ENAN,
                                 "what %s is given is not a number any more",
                                 d->name);
            channel_terms(&t, m, d->u.norm.eps, k * size, (k + 1) * size);
        }
    }
    return WEFT_OK;
}

static weft_affine_args terms_of(const weft_graph *g, const weft_node *d,
                                 const weft_run *run)
{
    const int n = run->layout->n, c = weft_graph_at(g, d->out)->c;
    const float *mul = weft_run_value(run, d->temp[MUL_ADD]);

    return (weft_affine_args){
        .n = n,
        .w = weft_run_columns(g, run, d->out),
        .c = {channels(g, d->in[IN]), channels(g, d->in[IN2])},
        .in = {weft_run_value(run, d->in[IN]),
               weft_run_optional(run, d->in[IN2])},
        .mul = mul,
        .add = mul + (size_t)n * (size_t)c,
        .act = d->u.norm.act,
        .out = weft_run_value(run, d->out),
    };
}

static void apply(const weft_run *run, weft_affine_args a, int from, int to)
{
    a.row0 = from;
    a.row1 = to;
    if (from < to) run->dev->affine(&a, run->pool);
}

/* The rows that the next layer's neighbours want leave first. */
static weft_status apply_all(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    const weft_affine_args a = terms_of(g, d, run);
    const weft_edges next = weft_run_edges(g, run, node);
    const int rows = weft_run_rows(g, run, d->out);
    int from = next.upper, to = rows - next.lower;

    if (from >= to) from = 0, to = rows;
    apply(run, a, 0, from);
    apply(run, a, to, rows);
    if (to - from < rows) WEFT_TRY(weft_run_border_made(g, run, node));
    apply(run, a, from, to);
    return WEFT_OK;
}

static weft_status forward(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    weft_view all;
    void *mine;

    WEFT_TRY(weft_exchange_open(run->x, run->slot, &mine));
    publish(g, d, run, mine);
    WEFT_TRY(weft_exchange_put(run->x, run->slot));
    WEFT_TRY(weft_exchange_get(run->x, run->slot, &all));
    say_moved(g, d, run, &all);
    WEFT_TRY(make_terms(g, d, run, &all));
    return apply_all(g, node, run);
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

/* The memory of the node: a record of 2 doubles per cell and group, and the
 * channels' terms. */
static bool make_values(weft_graph *g, weft_val in, int c, int groups,
                        weft_val temp[3], weft_val *out)
{
    const int rows = weft_graph_at(g, in)->rows_per_unit;
    const int w = weft_graph_at(g, in)->w;

    temp[MOMENTS] = weft_graph_strips(g, 1, groups * 4);
    temp[FOUND] = weft_graph_value(g, 0, 1, 12 * groups);
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
    weft_val temp[3], out;
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
    for (int i = 0; i < 3; i++) d->temp[i] = temp[i];
    d->weight[GAMMA] = gamma;
    d->weight[BETA] = beta;
    d->u.norm.groups = groups;
    d->u.norm.eps = eps;
    d->u.norm.act = act;
    weft_node_wants_all(d, WEFT_MOMENTS, temp[MOMENTS]);
    d->over = IN; /* where there is no second input */
    return out;
}
