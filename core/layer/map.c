/*
 * What is done to each element by itself.
 */
#include "core/layer/parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- act(in * mul + add) ------------------------------------------------- */

/* The node's terms: mul [n][c], then add [n][c]. */
static weft_status apply(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    const weft_value *v = weft_graph_at(g, d->out);
    const float *mul = weft_run_value(run, d->temp[0]);
    const weft_affine_args a = {
        .n = run->layout->n,
        .w = weft_run_columns(g, run, d->out),
        .c = {v->c},
        .in = {weft_run_value(run, d->in[0])},
        .mul = mul,
        .add = mul + (size_t)run->layout->n * (size_t)v->c,
        .act = d->u.map.act,
        .out = weft_run_value(run, d->out),
        .row0 = 0,
        .row1 = weft_run_rows(g, run, d->out),
    };

    run->dev->affine(&a, run->pool);
    return WEFT_OK;
}

static void fill(float *to, size_t n, float value)
{
    for (size_t i = 0; i < n; i++) to[i] = value;
}

static weft_status map_forward(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    const size_t count =
        (size_t)run->layout->n * (size_t)weft_graph_at(g, d->out)->c;
    float *terms = weft_run_value(run, d->temp[0]);

    fill(terms, count, d->u.map.mul);
    fill(terms + count, count, d->u.map.add);
    return apply(g, node, run);
}

static weft_status affine_forward(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    const size_t n = (size_t)run->layout->n;
    const size_t c = (size_t)weft_graph_at(g, d->out)->c;
    const float *pairs = weft_run_weight(run, d->weight[0]);
    float *terms = weft_run_value(run, d->temp[0]);

    for (size_t i = 0; i < 2 * n; i++)
        memcpy(terms + i * c, pairs + i / n * c, c * sizeof *terms);
    return apply(g, node, run);
}

static weft_status over_time_forward(const weft_graph *g, int node,
                                     weft_run *run)
{
    const weft_node *d = &g->node[node];
    const size_t n = (size_t)run->layout->n;
    const size_t c = (size_t)weft_graph_at(g, d->out)->c;
    float *terms = weft_run_value(run, d->temp[0]);

    for (size_t s = 0; s < n; s++) fill(terms + s * c, c, 1 / run->time[s]);
    fill(terms + n * c, n * c, 0);
    return apply(g, node, run);
}

static const weft_layer_ops map_ops = {"map", map_forward, NULL, NULL};
static const weft_layer_ops affine_ops = {"map", affine_forward, NULL, NULL};
static const weft_layer_ops over_time_ops = {"map", over_time_forward, NULL,
                                             NULL};

static weft_node *add(weft_graph *g, const weft_layer_ops *ops,
                      const char *name, weft_val in, weft_act act)
{
    weft_val out, terms;
    weft_value v;
    weft_node *d;

    if (g->status != WEFT_OK) return NULL;
    v = *weft_graph_at(g, in);
    terms = weft_graph_value(g, 0, 1, 2 * v.c);
    out = weft_graph_value(g, v.rows_per_unit, v.w, v.c);
    d = weft_graph_node(g, ops, name);
    if (!d || out == WEFT_NONE) return NULL;
    d->in[0] = in;
    d->out = out;
    d->temp[0] = terms;
    d->over = 0;
    d->u.map.act = act;
    return d;
}

weft_val weft_add_map(weft_graph *g, weft_val in, float mul, float plus,
                      weft_act act)
{
    weft_node *d = add(g, &map_ops, "map", in, act);

    if (!d) return WEFT_NONE;
    d->u.map.mul = mul;
    d->u.map.add = plus;
    return d->out;
}

weft_val weft_add_affine(weft_graph *g, weft_val in, const float *mul,
                         const float *plus, weft_act act)
{
    weft_node *d = add(g, &affine_ops, "affine", in, act);
    weft_weight w = {.kind = WEFT_WEIGHT_FLOAT};
    size_t c;

    if (!d) return WEFT_NONE;
    c = (size_t)weft_graph_at(g, in)->c;
    w.count = 2 * c;
    w.constant = malloc(w.count * sizeof *w.constant);
    if (!w.constant) {
        g->status = weft_fail(WEFT_ENOMEM, "out of memory for a net");
        return WEFT_NONE;
    }
    memcpy(w.constant, mul, c * sizeof *mul);
    memcpy(w.constant + c, plus, c * sizeof *plus);
    d->weight[0] = weft_graph_weight(g, &w);
    return d->out;
}

weft_val weft_add_over_time(weft_graph *g, weft_val in)
{
    weft_node *d = add(g, &over_time_ops, "over_time", in, WEFT_LINEAR);

    return d ? d->out : WEFT_NONE;
}

/* ---- sums ---------------------------------------------------------------- */

typedef struct sum {
    const float *a, *b;
    float *out;
    size_t row;  /* numbers of one */
    float times; /* of b */
} sum;

static void sum_row(void *arg, int row, int worker)
{
    const sum *s = arg;
    const size_t from = (size_t)row * s->row;

    (void)worker;
    for (size_t i = from; i < from + s->row; i++) s->out[i] = s->a[i] + s->b[i];
}

/* Of a control net that is told to be silent nothing shows, numbers or not. */
static void followed_row(void *arg, int row, int worker)
{
    const sum *s = arg;
    const size_t from = (size_t)row * s->row;

    (void)worker;
    if (s->times == 0) {
        if (s->out != s->a)
            memcpy(s->out + from, s->a + from, s->row * sizeof *s->out);
        return;
    }
    for (size_t i = from; i < from + s->row; i++)
        s->out[i] = s->a[i] + s->times * s->b[i];
}

static weft_status add_up(const weft_graph *g, int node, weft_run *run,
                          float times, weft_task *row)
{
    const weft_node *d = &g->node[node];
    sum s = {weft_run_value(run, d->in[0]), weft_run_value(run, d->in[1]),
             weft_run_value(run, d->out),
             (size_t)run->layout->n * (size_t)weft_run_columns(g, run, d->out) *
                 (size_t)weft_graph_at(g, d->out)->c,
             times};

    weft_pool_run(run->pool, weft_run_rows(g, run, d->out), row, &s);
    return WEFT_OK;
}

static weft_status sum_forward(const weft_graph *g, int node, weft_run *run)
{
    return add_up(g, node, run, 1, sum_row);
}

static weft_status followed_forward(const weft_graph *g, int node,
                                    weft_run *run)
{
    return add_up(g, node, run,
                  run->follow ? run->follow[g->node[node].u.hint] : 1,
                  followed_row);
}

static const weft_layer_ops sum_ops = {"sum", sum_forward, NULL, NULL};
static const weft_layer_ops followed_ops = {"sum", followed_forward, NULL,
                                            NULL};

static weft_node *add_sum(weft_graph *g, const weft_layer_ops *ops, weft_val a,
                          weft_val b)
{
    weft_value x, y;
    weft_val out;
    weft_node *d;

    if (g->status != WEFT_OK) return NULL;
    x = *weft_graph_at(g, a);
    y = *weft_graph_at(g, b);
    if (x.rows_per_unit != y.rows_per_unit || x.w != y.w || x.c != y.c)
        weft_graph_fail(
            g, "%sthe sum of %d channels of %d columns and of %d of %d",
            g->prefix, x.c, x.w, y.c, y.w);
    out = weft_graph_value(g, x.rows_per_unit, x.w, x.c);
    d = weft_graph_node(g, ops, "sum");
    if (!d || out == WEFT_NONE) return NULL;
    d->in[0] = a;
    d->in[1] = b;
    d->out = out;
    d->over = 0;
    return d;
}

weft_val weft_add_sum(weft_graph *g, weft_val a, weft_val b)
{
    const weft_node *d = add_sum(g, &sum_ops, a, b);

    return d ? d->out : WEFT_NONE;
}

weft_val weft_add_followed(weft_graph *g, weft_val a, weft_val b, int hint)
{
    weft_node *d = add_sum(g, &followed_ops, a, b);

    if (!d) return WEFT_NONE;
    d->u.hint = hint;
    return d->out;
}
