/*
 * Where a text encoder begins and ends: token ids become vectors, and one place
 * of a text comes to stand for all of it.
 */
#include "core/layer/parts.h"

#include <string.h>

#include "core/device/dtype.h"

enum { TABLE, PLACES }; /* node->weight */
enum { IN, IDS };       /* node->in */

/* ---- tokens -------------------------------------------------------------- */

static weft_status put_token(const weft_weight *table, const void *rows,
                             float id, int dim, float *out)
{
    const int count = table->shape[0][0];
    const size_t first = (size_t)id * (size_t)dim;

    if (!(id >= 0 && id < (float)count))
        return weft_fail(WEFT_EINPUT, "token %g is not in 0 to %d", (double)id,
                         count - 1);
    for (int k = 0; k < dim; k++)
        out[k] = weft_dtype_load(table->type, rows, first + (size_t)k);
    return WEFT_OK;
}

static void add_place(const float *place, int dim, float *out)
{
    for (int k = 0; k < dim; k++) out[k] += place[k];
}

static weft_status tokens(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    const weft_value *v = weft_graph_at(g, d->out);
    const weft_weight *table = &g->weight[d->weight[TABLE]];
    const void *rows = weft_run_weight(run, d->weight[TABLE]);
    const float *places = weft_run_weight(run, d->weight[PLACES]);
    const float *id = weft_run_value(run, d->in[IN]);
    float *out = weft_run_value(run, d->out);

    for (int i = 0; i < run->layout->n * v->w; i++, out += v->c) {
        WEFT_TRY(put_token(table, rows, id[i], v->c, out));
        if (places) add_place(places + i % v->w * v->c, v->c, out);
    }
    return WEFT_OK;
}

static const weft_layer_ops tokens_ops = {"embed", tokens, NULL, NULL};

/* So large that it stays as it is in the file. */
static int add_table(weft_graph *g, const char *name, int rows, int dim)
{
    const int i = weft_weight_table(g, name, rows, dim);

    if (i == WEFT_NONE) return WEFT_NONE;
    g->weight[i].kind = WEFT_WEIGHT_TABLE;
    g->weight[i].type = g->wtype;
    return i;
}

weft_val weft_add_tokens(weft_graph *g, const char *name, const char *place,
                         int places, weft_val ids, int rows, int dim)
{
    weft_node *d;
    weft_val out;
    int w;

    if (g->status != WEFT_OK || !weft_channels_ok(g, name, rows, dim))
        return WEFT_NONE;
    w = weft_graph_at(g, ids)->w;
    WEFT_MUST(!place || places >= w);
    out = weft_graph_value(g, 0, w, dim);
    d = weft_graph_node(g, &tokens_ops, name);
    if (!d || out == WEFT_NONE) return WEFT_NONE;
    d->in[IN] = ids;
    d->out = out;
    d->weight[TABLE] = add_table(g, name, rows, dim);
    if (place) d->weight[PLACES] = weft_weight_table(g, place, places, dim);
    return g->status == WEFT_OK ? out : WEFT_NONE;
}

/* ---- one place ----------------------------------------------------------- */

static int find_place(const float *id, int n, int wanted)
{
    int largest = 0;

    for (int i = 0; i < n; i++) {
        if (wanted >= 0 && id[i] == (float)wanted) return i;
        if (id[i] > id[largest]) largest = i;
    }
    return wanted < 0 ? largest : 0;
}

static weft_status pick(const weft_graph *g, int node, weft_run *run)
{
    const weft_node *d = &g->node[node];
    const weft_value *v = weft_graph_at(g, d->in[IN]);
    const float *in = weft_run_value(run, d->in[IN]);
    const float *id = weft_run_value(run, d->in[IDS]);
    float *out = weft_run_value(run, d->out);

    for (int s = 0; s < run->layout->n; s++, id += v->w, out += v->c) {
        const int at = s * v->w + find_place(id, v->w, d->u.pick);

        memcpy(out, in + (size_t)at * (size_t)v->c, (size_t)v->c * sizeof *out);
    }
    return WEFT_OK;
}

static const weft_layer_ops pick_ops = {"embed", pick, NULL, NULL};

weft_val weft_add_pick(weft_graph *g, weft_val in, weft_val ids, int id)
{
    weft_node *d;
    weft_val out;

    if (g->status != WEFT_OK) return WEFT_NONE;
    WEFT_MUST(weft_graph_at(g, in)->w == weft_graph_at(g, ids)->w);
    out = weft_graph_value(g, 0, 1, weft_graph_at(g, in)->c);
    d = weft_graph_node(g, &pick_ops, "pick");
    if (!d || out == WEFT_NONE) return WEFT_NONE;
    d->in[IN] = in;
    d->in[IDS] = ids;
    d->out = out;
    d->u.pick = id;
    return out;
}
