/*
 * Convolution, and the linear layer as the convolution of a single pixel.
 *
 * A 3x3 kernel on my first row needs the last row of the neighbour above. It
 * is received in place, into a spare row above my first, so the kernel runs
 * over one piece of memory. It is on its way while I compute the inside:
 *
 *     put     my rows are on offer                   input      output
 *     ...     the inside: what needs nothing         -------    -------
 *             but my own pixels                      spare
 *     get     the neighbours' pixels have arrived    row 0      edge
 *     ...     the edges                              row 1      inside
 *                                                    row 2      inside
 *                                                    row 3      edge
 *                                                    spare
 *
 * Columns likewise, but for where a neighbour's lie (weft_view.side).
 *
 * How many ranks there are, or whether there is a neighbour at all, is unknown
 * here. A device's sums do not depend on the rows and columns that it is called
 * with, so neither does the picture.
 */
#include "core/layer/parts.h"

/* Below this many pixels, an inside is not worth a pass over the weights. */
enum { THIN = 256 };

enum { IN, IN2, RES, SHIFT }; /* node->in */
enum { MATRIX, BIAS };        /* node->weight */

typedef struct span {
    int from, to;
} span;

typedef struct area {
    span rows, columns;
} area;

static int ceil_div(int a, int b) { return (a + b - 1) / b; }

/* ---- which rows ---------------------------------------------------------- */

/* Output row y reads rows y * stride - pad_top .. + kh - 1 of the input after
 * upsampling. How far the first output row reaches above row 0, and the last
 * below the last, in rows of the input as it is stored. Columns likewise. */
static int reach_before(const weft_conv *v, int pad)
{
    return ceil_div(pad, v->up);
}

static int reach_behind(const weft_conv *v, int kernel, int pad)
{
    const int more = kernel - v->stride - pad;

    return more > 0 ? ceil_div(more, v->up) : 0;
}

static weft_border reach_of(const weft_conv *v)
{
    return (weft_border){
        reach_before(v, v->pad_top), reach_behind(v, v->kh, v->pad_top),
        reach_before(v, v->pad_left), reach_behind(v, v->kw, v->pad_left)};
}

/* One direction of a kernel on a patch. */
typedef struct axis {
    int in, out; /* rows, or columns, before and behind the kernel */
    int up, kernel, pad, stride, tile;
    bool before, behind; /* is there a neighbour? */
} axis;

/* Outputs whose inputs are all here after put(), in whole tiles: those that
 * reach no neighbour. */
static span inside(const axis *a)
{
    const int past = a->in * a->up - a->kernel + a->pad + a->stride;
    span s = {0, a->out};

    if (a->before)
        s.from = ceil_div(ceil_div(a->pad, a->stride), a->tile) * a->tile;
    if (a->behind) s.to = past / a->stride / a->tile * a->tile;
    return s;
}

static bool worthwhile(const weft_conv *v, const area *s, int n)
{
    const size_t cin = (size_t)v->cin[0] + (size_t)v->cin[1];
    const size_t cout = (size_t)v->cout;
    const size_t weights = (size_t)v->kh * (size_t)v->kw * cin * cout;
    const int rows = s->rows.to - s->rows.from;
    const int columns = s->columns.to - s->columns.from;
    size_t pixels;

    if (rows <= 0 || columns <= 0) return false;
    pixels = (size_t)rows * (size_t)n * (size_t)columns;
    return pixels >= THIN && weights <= pixels * (cin + cout);
}

/* ---- forward ------------------------------------------------------------- */

static void compute(const weft_run *run, weft_conv_args a, span rows,
                    span columns)
{
    a.row0 = rows.from;
    a.row1 = rows.to;
    a.col0 = columns.from;
    a.col1 = columns.to;
    if (rows.from < rows.to && columns.from < columns.to)
        run->dev->conv(&a, run->pool);
}

/* All rows but those of `in`, and of these all columns but `in`'s. */
static void compute_around(const weft_run *run, const weft_conv_args *a,
                           int rows, const area *in)
{
    const span all = {0, a->wout};

    compute(run, *a, (span){0, in->rows.from}, all);
    compute(run, *a, (span){in->rows.to, rows}, all);
    compute(run, *a, in->rows, (span){0, in->columns.from});
    compute(run, *a, in->rows, (span){in->columns.to, a->wout});
}

/* Rows that need no neighbour, and no neighbour needs. Every row reaches the
 * neighbours at its ends, if there are any. */
static span rows_inside(const weft_graph *g, int node, const weft_run *run)
{
    const weft_node *d = &g->node[node];
    const weft_conv *v = &d->u.conv;
    const int tile = v->tile_rows, rows = weft_run_rows(g, run, d->out);
    const bool asks = d->nwants > 0;
    const weft_edges next = weft_run_edges(g, run, node);
    const axis a = {
        .in = weft_run_rows(g, run, d->in[IN]),
        .out = rows,
        .up = v->up,
        .kernel = v->kh,
        .pad = v->pad_top,
        .stride = v->stride,
        .tile = tile,
        .before = asks && weft_exchange_awaits(run->x, run->slot, true),
        .behind = asks && weft_exchange_awaits(run->x, run->slot, false)};
    span s = inside(&a);

    if (s.from < next.upper) s.from = ceil_div(next.upper, tile) * tile;
    if (s.to > rows - next.lower) s.to = (rows - next.lower) / tile * tile;
    return s;
}

/* Columns that need no neighbour. */
static span columns_inside(const weft_node *d, const weft_run *run,
                           const weft_conv_args *args)
{
    const weft_conv *v = &d->u.conv;
    const bool asks = d->nwants > 0;
    const axis a = {
        .in = args->w,
        .out = args->wout,
        .up = v->up,
        .kernel = v->kw,
        .pad = v->pad_left,
        .stride = v->stride,
        .tile = WEFT_CONV_COLUMNS,
        .before = asks && weft_exchange_awaits_columns(run->x, run->slot, true),
        .behind =
            asks && weft_exchange_awaits_columns(run->x, run->slot, false)};

    return inside(&a);
}

static bool all_ready(const weft_node *d, const weft_run *run)
{
    bool ready = true;

    for (int i = 0; i < d->nwants && ready; i++)
        ready = weft_exchange_ready(run->x, run->slot + i);
    return ready;
}

/* The neighbours' columns beside input i. */
static void show_columns(const weft_border *b, const weft_view *seen, int i,
                         weft_conv_args *a)
{
    a->beside[0] = b->left;
    a->beside[1] = b->right;
    a->side[i][0] = (const void *)seen->side[0];
    a->side[i][1] = (const void *)seen->side[1];
}

static weft_status forward(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    weft_conv_args a =
        weft_conv_setup(g, run, d->in, d->weight[MATRIX], d->weight[BIAS],
                        weft_run_value(run, d->out));
    const weft_edges next = weft_run_edges(g, run, node);
    const bool wanted = next.upper || next.lower;
    const span none = {0, 0}, all = {0, a.wout};
    weft_view seen;
    bool ready;
    area in;

    a.res = weft_run_optional(run, d->in[RES]);
    a.bias_n = weft_run_optional(run, d->in[SHIFT]);

    for (int i = 0; i < d->nwants; i++) WEFT_TRY(weft_run_put(g, run, node, i));
    ready = all_ready(d, run);
    in = (area){rows_inside(g, node, run),
                ready ? all : columns_inside(d, run, &a)};
    /* One call for all is quicker, where nobody waits. */
    if (!worthwhile(a.conv, &in, a.n) || (ready && !wanted))
        in = (area){none, all};
    if (!ready) compute(run, a, in.rows, in.columns);
    for (int i = 0; i < d->nwants; i++) {
        WEFT_TRY(weft_exchange_get(run->x, run->slot + i, &seen));
        show_columns(&d->want[i].border, &seen, i, &a);
    }
    compute_around(run, &a, weft_run_rows(g, run, d->out), &in);
    if (wanted) WEFT_TRY(weft_run_border_made(g, run, node));
    if (ready) compute(run, a, in.rows, in.columns);
    return WEFT_OK;
}

static size_t scratch(const weft_graph *g, int node, const weft_device *dev,
                      const weft_layout *l)
{
    const weft_node *d = &g->node[node];

    return weft_conv_room(g, dev, l, d->in[IN], d->weight[MATRIX]);
}

static double flops(const weft_graph *g, int node, int n, int units,
                    int total_units)
{
    const weft_node *d = &g->node[node];
    const weft_value *out = weft_graph_at(g, d->out);
    const double rows = out->rows_per_unit ? out->rows_per_unit * units : 1;

    (void)total_units;
    return weft_conv_flops(&g->weight[d->weight[MATRIX]].conv,
                           rows * n * out->w);
}

static const weft_layer_ops conv3x3_ops = {"conv3x3", forward, scratch, flops};
static const weft_layer_ops conv1x1_ops = {"conv1x1", forward, scratch, flops};
static const weft_layer_ops linear_ops = {"linear", forward, scratch, flops};

/* ---- building ------------------------------------------------------------ */

static bool same_shape(const weft_value *a, const weft_value *b, bool channels)
{
    return a->rows_per_unit == b->rows_per_unit && a->w == b->w &&
           (!channels || a->c == b->c);
}

/* The largest of 1, 2, 4 that divides the rows of a unit. */
static int tile_rows(int rows) { return rows % 4 == 0 ? 4 : rows % 2 ? 1 : 2; }

static weft_conv describe(const weft_graph *g, weft_val in, int cout,
                          const weft_conv_opts *o)
{
    const int pad = (o->k - 1) / 2;
    const weft_value *x = weft_graph_at(g, in);

    return (weft_conv){
        .kh = o->k,
        .kw = o->k,
        .stride = o->stride ? o->stride : 1,
        .up = o->up ? o->up : 1,
        .pad_top = o->pad_given ? o->pad_top : pad,
        .pad_left = o->pad_given ? o->pad_left : pad,
        .cin = {x->c, o->in2 == WEFT_NONE ? 0 : weft_graph_at(g, o->in2)->c},
        .cout = cout,
        .wtype = g->wtype,
        .act = o->act,
        .post = o->post,
        .gated = o->gated,
        .paired =
            o->k == 1 && o->stride < 2 && o->up < 2 ? weft_conv_paired(x) : 0,
        .scale = o->scale != 0 ? o->scale : 1,
    };
}

/* Do the values that go into `v` fit it? Fails the graph otherwise. */
static bool fits(weft_graph *g, const char *name, const weft_conv *v,
                 weft_val in, const weft_conv_opts *o)
{
    const weft_value *x = weft_graph_at(g, in);

    if (!weft_channels_ok(g, name, v->cin[0] + v->cin[1], v->cout))
        return false;
    if (x->w % v->stride || x->rows_per_unit % v->stride)
        weft_graph_fail(g,
                        "%s%s: %d columns and blocks of %d rows cannot be "
                        "divided by its stride of %d",
                        g->prefix, name, x->w, x->rows_per_unit, v->stride);
    if (o->in2 != WEFT_NONE && !same_shape(x, weft_graph_at(g, o->in2), false))
        weft_graph_fail(g, "%s%s: its two inputs differ in size", g->prefix,
                        name);
    return g->status == WEFT_OK;
}

/* The same for the values that are added to the output. */
static bool adds_fit(weft_graph *g, const char *name, const weft_value *out,
                     const weft_conv_opts *o)
{
    const weft_value *s;

    if (o->res != WEFT_NONE && !same_shape(out, weft_graph_at(g, o->res), true))
        weft_graph_fail(g,
                        "%s%s: what is added to its output has another "
                        "shape",
                        g->prefix, name);
    if (o->shift != WEFT_NONE) {
        s = weft_graph_at(g, o->shift);
        if (s->rows_per_unit || s->c != out->c)
            weft_graph_fail(g,
                            "%s%s: an embedding of %d channels is added to "
                            "%d",
                            g->prefix, name, s->c, out->c);
    }
    return g->status == WEFT_OK;
}

static void want_border(weft_graph *g, weft_node *d, const weft_conv *v,
                        weft_val in)
{
    const weft_border b = reach_of(v);

    if (in == WEFT_NONE || (!b.above && !b.below && !b.left && !b.right))
        return;
    weft_graph_spare(g, in, b.above, b.below);
    d->want[d->nwants++] = (weft_want){WEFT_REACH_BORDER, WEFT_BORDER, in, b};
}

/* A node of convolution `v` from `in` to `out`. */
static weft_val add(weft_graph *g, const weft_layer_ops *ops, const char *name,
                    const weft_conv *v, weft_val in, weft_val out,
                    const weft_conv_opts *o)
{
    const int matrix = weft_weight_matrix(g, v, &name, 1, ops == &linear_ops);
    const int bias = o->no_bias
                         ? WEFT_NONE
                         : weft_weight_vector(g, &name, 1, "bias", v->cout);
    weft_node *d = weft_graph_node(g, ops, name);

    if (!d) return WEFT_NONE;
    if (o->parts) weft_weight_part(g, matrix, o->part, o->parts);
    if (o->parts) weft_weight_part(g, bias, o->part, o->parts);
    d->in[IN] = in;
    d->in[IN2] = o->in2;
    d->in[RES] = o->res;
    d->in[SHIFT] = o->shift;
    d->out = out;
    d->weight[MATRIX] = matrix;
    d->weight[BIAS] = bias;
    d->u.conv = *v;
    want_border(g, d, v, in);
    want_border(g, d, v, o->in2);
    /* An input must outlive the sums over it. */
    if (o->res != WEFT_NONE && o->res != in && o->res != o->in2) d->over = RES;
    return g->status == WEFT_OK ? out : WEFT_NONE;
}

weft_val weft_add_conv(weft_graph *g, const char *name, weft_val in, int cout,
                       weft_conv_opts o)
{
    const weft_layer_ops *ops = o.k == 1 ? &conv1x1_ops : &conv3x3_ops;
    const weft_value *x;
    weft_val out;
    weft_conv v;

    if (g->status != WEFT_OK) return WEFT_NONE;
    WEFT_MUST(o.k == 1 || (o.k == 3 && !o.gated));
    v = describe(g, in, cout, &o);
    if (!fits(g, name, &v, in, &o)) return WEFT_NONE;
    x = weft_graph_at(g, in);
    out = weft_graph_value(g, x->rows_per_unit * v.up / v.stride,
                           x->w * v.up / v.stride, cout);
    if (out == WEFT_NONE || !adds_fit(g, name, weft_graph_at(g, out), &o))
        return WEFT_NONE;
    v.tile_rows = tile_rows(weft_graph_at(g, out)->rows_per_unit);
    return add(g, ops, name, &v, in, out, &o);
}

weft_val weft_add_linear(weft_graph *g, const char *name, weft_val in, int cout,
                         weft_act act)
{
    const weft_conv_opts o = WEFT_CONV(.k = 1, .act = act);
    weft_val out;
    weft_conv v;

    if (g->status != WEFT_OK) return WEFT_NONE;
    v = weft_conv_1x1(g, weft_graph_at(g, in), weft_graph_at(g, in)->c, cout);
    v.act = act;
    if (!weft_channels_ok(g, name, v.cin[0], cout)) return WEFT_NONE;
    out = weft_graph_value(g, 0, weft_graph_at(g, in)->w, cout);
    if (out == WEFT_NONE) return WEFT_NONE;
    return add(g, &linear_ops, name, &v, in, out, &o);
}

weft_val weft_add_stacked(weft_graph *g, const char *name,
                          const char *const *module, int n, weft_val in,
                          int cout, bool bias)
{
    weft_value x;
    weft_node *d;
    weft_val out;
    weft_conv v;

    if (g->status != WEFT_OK) return WEFT_NONE;
    x = *weft_graph_at(g, in);
    v = weft_conv_1x1(g, &x, x.c, cout);
    if (!weft_channels_ok(g, name, x.c, cout)) return WEFT_NONE;
    out = weft_graph_value(g, x.rows_per_unit, x.w, cout);
    d = weft_graph_node(g, &linear_ops, name);
    if (!d || out == WEFT_NONE) return WEFT_NONE;
    d->in[IN] = in;
    d->out = out;
    d->weight[MATRIX] = weft_weight_matrix(g, &v, module, n, true);
    if (bias)
        d->weight[BIAS] = weft_weight_vector(g, module, n, "bias", cout / n);
    d->u.conv = v;
    return g->status == WEFT_OK ? out : WEFT_NONE;
}
