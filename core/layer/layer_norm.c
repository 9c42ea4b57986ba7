/*
 * Layer norm: each pixel by itself, so there is nothing to exchange.
 */
#include "core/layer/parts.h"

enum { GAMMA, BETA }; /* node->weight */

static weft_status forward(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    const weft_val in = d->in[0];
    const weft_layer_norm_args a = {
        .pixels = weft_run_rows(g, run, in) * run->layout->n *
                  weft_run_columns(g, run, in),
        .c = weft_graph_at(g, in)->c,
        .eps = d->u.norm.eps,
        .in = weft_run_value(run, in),
        .gamma = weft_run_weight(run, d->weight[GAMMA]),
        .beta = weft_run_weight(run, d->weight[BETA]),
        .out = weft_run_value(run, d->out),
        .rms = d->weight[BETA] == WEFT_NONE,
    };

    run->dev->layer_norm(&a, run->pool);
    return WEFT_OK;
}

/* Sum, squared difference, multiply-add: two operations each. */
static double flops(const weft_graph *g, int node, int n, int units,
                    int total_units)
{
    const weft_value *v = weft_graph_at(g, g->node[node].out);
    const double rows = v->rows_per_unit ? v->rows_per_unit * units : 1;

    (void)total_units;
    return 6.0 * n * rows * v->w * v->c;
}

static const weft_layer_ops layer_norm_ops = {"norm", forward, NULL, flops};

static weft_val add(weft_graph *g, const char *name, weft_val in, float eps,
                    bool rms)
{
    weft_value x;
    weft_node *d;
    weft_val out;

    if (g->status != WEFT_OK) return WEFT_NONE;
    x = *weft_graph_at(g, in);
    if (!weft_channels_ok(g, name, x.c, x.c)) return WEFT_NONE;
    out = weft_graph_value(g, x.rows_per_unit, x.w, x.c);
    d = weft_graph_node(g, &layer_norm_ops, name);
    if (!d || out == WEFT_NONE) return WEFT_NONE;
    d->in[0] = in;
    d->out = out;
    d->weight[GAMMA] = weft_weight_vector(g, &name, 1, "weight", x.c);
    if (!rms) d->weight[BETA] = weft_weight_vector(g, &name, 1, "bias", x.c);
    d->u.norm.eps = eps;
    d->over = 0;
    return g->status == WEFT_OK ? out : WEFT_NONE;
}

weft_val weft_add_layer_norm(weft_graph *g, const char *name, weft_val in,
                             float eps)
{
    return add(g, name, in, eps, false);
}

weft_val weft_add_rms_norm(weft_graph *g, const char *name, weft_val in,
                           float eps)
{
    return add(g, name, in, eps, true);
}
