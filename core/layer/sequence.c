/*
 * Attention to a sequence, such as a text. Every rank has all of it, so keys
 * and values need no exchange; those of a text that is held are computed once
 * for all evaluations. Queries are my own rows.
 */
#include "core/layer/parts.h"

#include <math.h>

enum { IN, RES, KV, TILT };      /* node->in */
enum { QUERY, TABLE };           /* node->temp */
enum { W_Q, B_Q, W_OUT, B_OUT }; /* node->weight */

/* ---- forward ------------------------------------------------------------- */

/* Where each sample's keys and values lie: they are one strip of one row. */
static const float *const *find_samples(const weft_graph *g, const weft_node *d,
                                        const weft_run *run)
{
    const weft_value *kv = weft_graph_at(g, d->in[KV]);
    const float *from = weft_run_value(run, d->in[KV]);
    const float **table = (void *)weft_run_value(run, d->temp[TABLE]);

    for (int s = 0; s < run->layout->n; s++)
        table[s] = from + (size_t)s * (size_t)kv->w * (size_t)kv->c;
    return table;
}

static void look(const weft_graph *g, const weft_node *d, const weft_run *run)
{
    const int tokens = weft_graph_at(g, d->in[KV])->w;
    float *q = weft_run_value(run, d->temp[QUERY]);
    const weft_attend_args a = {
        .n = run->layout->n,
        .w = weft_run_columns(g, run, d->in[IN]),
        .heads = d->u.attend.heads,
        .dim = d->u.attend.dim,
        .rows = weft_run_rows(g, run, d->in[IN]),
        .key_rows = 1,
        .key_w = tokens,
        .strip = tokens,
        .scale = d->u.attend.scale,
        .q = q,
        .kv = find_samples(g, d, run),
        .out = q,
        .step = d->u.attend.heads * d->u.attend.dim,
        .causal = d->u.attend.causal,
        .tilt = weft_run_optional(run, d->in[TILT]),
    };

    run->dev->attend(&a, run->pool);
}

static weft_status forward(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];

    weft_project(g, run, d->in[IN], d->weight[W_Q], d->weight[B_Q], NULL,
                 weft_run_value(run, d->temp[QUERY]));
    look(g, d, run);
    weft_project(g, run, d->temp[QUERY], d->weight[W_OUT], d->weight[B_OUT],
                 weft_run_optional(run, d->in[RES]),
                 weft_run_value(run, d->out));
    return WEFT_OK;
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static size_t scratch(const weft_graph *g, int node, const weft_device *dev,
                      const weft_layout *l)
{
    const weft_node *d = &g->node[node];
    const int w = weft_layout_columns(l, weft_graph_at(g, d->in[IN]));

    return larger(
        dev->attend_scratch(w, d->u.attend.heads, d->u.attend.dim),
        larger(weft_conv_room(g, dev, l, d->in[IN], d->weight[W_Q]),
               weft_conv_room(g, dev, l, d->in[IN], d->weight[W_OUT])));
}

/* The projections, then q k' and p v: 2 d operations each per pair. */
static double flops(const weft_graph *g, int node, int n, int units,
                    int total_units)
{
    const weft_node *d = &g->node[node];
    const weft_value *v = weft_graph_at(g, d->in[IN]);
    const double rows = v->rows_per_unit ? v->rows_per_unit * units : 1;
    const double mine = rows * v->w * n;
    const double dims = (double)d->u.attend.heads * d->u.attend.dim;

    (void)total_units;
    return weft_conv_flops(&g->weight[d->weight[W_Q]].conv, mine) +
           weft_conv_flops(&g->weight[d->weight[W_OUT]].conv, mine) +
           4 * dims * mine * weft_graph_at(g, d->in[KV])->w;
}

static const weft_layer_ops sequence_ops = {"text_attention", forward, scratch,
                                            flops};

/* ---- building ------------------------------------------------------------ */

static bool fits(weft_graph *g, const char *name, weft_val in, weft_val res,
                 weft_val text, int heads, int dim)
{
    const weft_value *a = weft_graph_at(g, in), *b = weft_graph_at(g, res);

    if (heads < 1 || dim < 1 || heads > WEFT_MOST_CHANNELS / 2 / dim)
        weft_graph_fail(g, "%s%s: %d heads of %d channels", g->prefix, name,
                        heads, dim);
    else if (a->rows_per_unit != b->rows_per_unit || a->w != b->w ||
             a->c != b->c)
        weft_graph_fail(g,
                        "%s%s: what is added to its output has another shape",
                        g->prefix, name);
    else if (weft_graph_at(g, text)->rows_per_unit)
        weft_graph_fail(g, "%s%s: looks at an image as if it were a text",
                        g->prefix, name);
    return g->status == WEFT_OK && weft_channels_ok(g, name, a->c, a->c);
}

/* Keys and values, side by side; made once where the sequence is held. */
static weft_val add_keys(weft_graph *g, const char *name, const weft_names *n,
                         weft_val text, int inner, bool bias)
{
    const weft_val kv =
        weft_add_stacked(g, name, n->at, 2, text, 2 * inner, bias);

    if (kv != WEFT_NONE && weft_graph_at(g, text)->held)
        weft_graph_once(g, &g->node[g->nnodes - 1]);
    return kv;
}

/* What all of them have in common; `bias`: of keys, values and queries. */
typedef struct sequence {
    weft_val in, res, text, tilt;
    int heads, dim;
    bool bias, out_bias, causal;
    double scale;
} sequence;

static void add_projections(weft_graph *g, weft_node *d, const weft_names *n,
                            int c, const sequence *s)
{
    const weft_value *over = weft_graph_at(g, s->in);
    const int inner = s->heads * s->dim;

    d->u.attend.q = weft_conv_1x1(g, over, c, inner);
    d->u.attend.out = weft_conv_1x1(g, over, inner, c);
    d->weight[W_Q] =
        weft_weight_matrix(g, &d->u.attend.q, &n->at[WEFT_NAME_Q], 1, true);
    if (s->bias)
        d->weight[B_Q] =
            weft_weight_vector(g, &n->at[WEFT_NAME_Q], 1, "bias", inner);
    d->weight[W_OUT] =
        weft_weight_matrix(g, &d->u.attend.out, &n->at[WEFT_NAME_OUT], 1, true);
    if (s->out_bias)
        d->weight[B_OUT] =
            weft_weight_vector(g, &n->at[WEFT_NAME_OUT], 1, "bias", c);
}

static weft_val add(weft_graph *g, const char *name, const weft_names *n,
                    const sequence *s)
{
    const weft_value x = *weft_graph_at(g, s->in);
    const int inner = s->heads * s->dim;
    const weft_val kv = add_keys(g, name, n, s->text, inner, s->bias);
    const weft_val query = weft_graph_value(g, x.rows_per_unit, x.w, inner);
    const weft_val table = weft_graph_value(g, 0, 1, 2); /* a pointer */
    const weft_val out = weft_graph_value(g, x.rows_per_unit, x.w, x.c);
    weft_node *d = weft_graph_node(g, &sequence_ops, name);

    if (!d) return WEFT_NONE;
    d->in[IN] = s->in;
    d->in[RES] = s->res;
    d->in[KV] = kv;
    d->in[TILT] = s->tilt;
    d->temp[QUERY] = query;
    d->temp[TABLE] = table;
    d->out = out;
    d->over = RES;
    d->u.attend.heads = s->heads;
    d->u.attend.dim = s->dim;
    d->u.attend.shares = 1;
    d->u.attend.causal = s->causal;
    d->u.attend.scale = (float)s->scale;
    add_projections(g, d, n, x.c, s);
    return g->status == WEFT_OK ? out : WEFT_NONE;
}

/* `s` of which the sizes are not checked yet. */
static weft_val add_checked(weft_graph *g, const char *name,
                            const char *const part[WEFT_NAMES],
                            const sequence *s)
{
    weft_names n;

    if (g->status != WEFT_OK ||
        !fits(g, name, s->in, s->res, s->text, s->heads, s->dim) ||
        !weft_names_make(g, name, part, &n))
        return WEFT_NONE;
    return add(g, name, &n, s);
}

weft_val weft_add_cross_attention(weft_graph *g, const char *name, weft_val in,
                                  weft_val res, weft_val text, int heads,
                                  int dim)
{
    static const char *const part[] = {"to_k", "to_v", "to_q", "to_out.0"};

    return add_checked(g, name, part,
                       &(sequence){.in = in,
                                   .res = res,
                                   .text = text,
                                   .tilt = WEFT_NONE,
                                   .heads = heads,
                                   .dim = dim,
                                   .out_bias = true,
                                   .scale = 1 / sqrt(dim)});
}

weft_val weft_add_causal_attention(weft_graph *g, const char *name, weft_val in,
                                   weft_val res, int heads, int dim)
{
    static const char *const part[] = {"k_proj", "v_proj", "q_proj",
                                       "out_proj"};

    return add_checked(g, name, part,
                       &(sequence){.in = in,
                                   .res = res,
                                   .text = in,
                                   .tilt = WEFT_NONE,
                                   .heads = heads,
                                   .dim = dim,
                                   .bias = true,
                                   .out_bias = true,
                                   .causal = true,
                                   .scale = 1 / sqrt(dim)});
}

weft_val weft_add_tilted_attention(weft_graph *g, const char *name, weft_val in,
                                   weft_val res, weft_val tilt, int heads,
                                   int dim)
{
    static const char *const part[] = {"k", "v", "q", "o"};

    return add_checked(g, name, part,
                       &(sequence){.in = in,
                                   .res = res,
                                   .text = in,
                                   .tilt = tilt,
                                   .heads = heads,
                                   .dim = dim,
                                   .scale = 1});
}
