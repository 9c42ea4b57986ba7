/*
 * What is done to each element by itself.
 */
#include "core/layer/parts.h"

/* ---- act(in * mul + add) ------------------------------------------------- */

static void fill(float *to, size_t n, float value)
{
    for (size_t i = 0; i < n; i++) to[i] = value;
}

static weft_status map_forward(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    const weft_value *v = weft_graph_at(g, d->out);
    const size_t count = (size_t)run->layout->n * (size_t)v->c;
    float *mul = weft_run_value(run, d->temp[0]), *add = mul + count;
    const weft_affine_args a = {
        .n = run->layout->n,
        .w = v->w,
        .c = {v->c},
        .in = {weft_run_value(run, d->in[0])},
        .mul = mul,
        .add = add,
        .act = d->u.map.act,
        .out = weft_run_value(run, d->out),
        .row0 = 0,
        .row1 = weft_run_rows(g, run, d->out),
    };

    fill(mul, count, d->u.map.mul);
    fill(add, count, d->u.map.add);
    run->dev->affine(&a, run->pool);
    return WEFT_OK;
}

static const weft_layer_ops map_ops = {"map", map_forward, NULL, NULL};

weft_val weft_add_map(weft_graph *g, weft_val in, float mul, float add,
                      weft_act act)
{
    weft_val out, terms;
    weft_value v;
    weft_node *d;

    if (g->status != WEFT_OK) return WEFT_NONE;
    v = *weft_graph_at(g, in);
    terms = weft_graph_value(g, 0, 1, 2 * v.c);
    out = weft_graph_value(g, v.rows_per_unit, v.w, v.c);
    d = weft_graph_node(g, &map_ops, "map");
    if (!d || out == WEFT_NONE) return WEFT_NONE;
    d->in[0] = in;
    d->out = out;
    d->temp[0] = terms;
    d->over = 0;
    d->u.map.mul = mul;
    d->u.map.add = add;
    d->u.map.act = act;
    return out;
}

/* ---- sum of vectors ------------------------------------------------------ */

static weft_status sum_forward(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    const float *a = weft_run_value(run, d->in[0]);
    const float *b = weft_run_value(run, d->in[1]);
    const size_t count =
        (size_t)run->layout->n * (size_t)weft_graph_at(g, d->out)->c;
    float *out = weft_run_value(run, d->out);

    for (size_t i = 0; i < count; i++) out[i] = a[i] + b[i];
    return WEFT_OK;
}

static const weft_layer_ops sum_ops = {"sum", sum_forward, NULL, NULL};

weft_val weft_add_sum(weft_graph *g, weft_val a, weft_val b)
{
    const weft_value *x, *y;
    weft_val out;
    weft_node *d;

    if (g->status != WEFT_OK) return WEFT_NONE;
    x = weft_graph_at(g, a);
    y = weft_graph_at(g, b);
    if (x->rows_per_unit || y->rows_per_unit || x->c != y->c)
        weft_graph_fail(g, "%sthe sum of embeddings of %d and %d channels",
                        g->prefix, x->c, y->c);
    out = weft_graph_value(g, 0, 1, x->c);
    d = weft_graph_node(g, &sum_ops, "sum");
    if (!d || out == WEFT_NONE) return WEFT_NONE;
    d->in[0] = a;
    d->in[1] = b;
    d->out = out;
    return out;
}
