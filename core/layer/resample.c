/*
 * Resampling without weights: each pixel four times, or the mean of four.
 * Rows of a unit are never divided, so no neighbour is needed.
 */
#include "core/layer/parts.h"

static weft_status forward(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    const weft_value *in = weft_graph_at(g, d->in[0]);
    const weft_resample_args a = {
        .n = run->layout->n,
        .w = weft_run_columns(g, run, d->in[0]),
        .c = in->c,
        .up = d->u.up,
        .in = weft_run_value(run, d->in[0]),
        .out = weft_run_value(run, d->out),
        .row0 = 0,
        .row1 = weft_run_rows(g, run, d->out),
    };

    run->dev->resample(&a, run->pool);
    return WEFT_OK;
}

static const weft_layer_ops resample_ops = {"resample", forward, NULL, NULL};

weft_val weft_add_resample(weft_graph *g, weft_val in, bool up)
{
    weft_value v;
    weft_node *d;
    weft_val out;

    if (g->status != WEFT_OK) return WEFT_NONE;
    v = *weft_graph_at(g, in);
    if (!up && (v.w % 2 || v.rows_per_unit % 2))
        weft_graph_fail(g,
                        "%sdownsampling: %d columns and blocks of %d rows "
                        "cannot be halved",
                        g->prefix, v.w, v.rows_per_unit);
    out = weft_graph_value(g, up ? v.rows_per_unit * 2 : v.rows_per_unit / 2,
                           up ? v.w * 2 : v.w / 2, v.c);
    if (out == WEFT_NONE) return WEFT_NONE;
    d = weft_graph_node(g, &resample_ops, up ? "upsampling" : "downsampling");
    if (!d) return WEFT_NONE;
    d->in[0] = in;
    d->out = out;
    d->u.up = up;
    return out;
}
