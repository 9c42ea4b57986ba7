#include "core/layer/parts.h"

#include <stdio.h>
#include <stdlib.h>

bool weft_channels_ok(weft_graph *g, const char *name, int cin, int cout)
{
    if (g->status != WEFT_OK) return false;
    if (cin >= 1 && cin <= WEFT_MOST_CHANNELS && cout >= 1 &&
        cout <= WEFT_MOST_CHANNELS)
        return true;
    weft_graph_fail(g, "%s%s: from %d to %d channels; 1 to %d are possible",
                    g->prefix, name, cin, cout, WEFT_MOST_CHANNELS);
    return false;
}

/* In narrow images a patch has few pixels, to which what four at a time ask of
 * weights is not worth it. */
enum { FOURS_COLUMNS = 16 };

int weft_conv_paired(const weft_value *over)
{
    if (!over->rows_per_unit) return 0;
    return over->w % 4 || over->w < FOURS_COLUMNS ? 2 : 4;
}

weft_conv weft_conv_1x1(const weft_graph *g, const weft_value *over, int cin,
                        int cout)
{
    return (weft_conv){.kh = 1,
                       .kw = 1,
                       .stride = 1,
                       .up = 1,
                       .cin = {cin},
                       .cout = cout,
                       .tile_rows = 1,
                       .wtype = g->wtype,
                       .paired = weft_conv_paired(over),
                       .scale = 1};
}

/* The full tensor names of `w`; fails the graph when memory runs out. */
static bool name_sources(weft_graph *g, weft_weight *w, const char *const *name,
                         int n, const char *suffix)
{
    WEFT_MUST(n <= WEFT_MAX_SOURCES);
    w->nsrc = n;
    for (int i = 0; i < n; i++) {
        w->name[i] = weft_graph_name(g, name[i], suffix);
        if (w->name[i]) continue;
        while (i-- > 0) free(w->name[i]);
        g->status = weft_fail(WEFT_ENOMEM, "out of memory for a net");
        return false;
    }
    return true;
}

int weft_weight_matrix(weft_graph *g, const weft_conv *v,
                       const char *const *name, int n, bool linear)
{
    weft_weight w = {.kind = WEFT_WEIGHT_CONV, .conv = *v};

    if (g->status != WEFT_OK || !name_sources(g, &w, name, n, "weight"))
        return WEFT_NONE;
    for (int i = 0; i < n; i++) {
        w.shape[i][0] = v->cout / n;
        w.shape[i][1] = v->cin[0] + v->cin[1];
        w.shape[i][2] = linear ? 0 : v->kh;
        w.shape[i][3] = linear ? 0 : v->kw;
    }
    return weft_graph_weight(g, &w);
}

int weft_weight_vector(weft_graph *g, const char *const *name, int n,
                       const char *suffix, int count)
{
    weft_weight w = {.kind = WEFT_WEIGHT_FLOAT};

    if (g->status != WEFT_OK || !name_sources(g, &w, name, n, suffix))
        return WEFT_NONE;
    for (int i = 0; i < n; i++) w.shape[i][0] = count;
    w.count = (size_t)count * (size_t)n;
    return weft_graph_weight(g, &w);
}

int weft_weight_table(weft_graph *g, const char *name, int rows, int dim)
{
    const int i = weft_weight_vector(g, &name, 1, "weight", rows);

    if (i == WEFT_NONE) return WEFT_NONE;
    g->weight[i].shape[0][1] = dim;
    g->weight[i].count = (size_t)rows * (size_t)dim;
    return i;
}

void weft_weight_part(weft_graph *g, int i, int part, int parts)
{
    weft_weight *w;

    if (g->status != WEFT_OK || i == WEFT_NONE) return;
    w = &g->weight[i];
    w->part = part;
    w->parts = parts;
    for (int k = 0; k < w->nsrc; k++) w->shape[k][0] *= parts;
}

bool weft_names_make(weft_graph *g, const char *name,
                     const char *const part[WEFT_NAMES], weft_names *n)
{
    for (int i = 0; i < WEFT_NAMES; i++) {
        const int len =
            snprintf(n->text[i], sizeof n->text[i], "%s.%s", name, part[i]);

        if (len < 0 || (size_t)len >= sizeof n->text[i]) {
            weft_graph_fail(g, "%s%s: the name is too long", g->prefix, name);
            return false;
        }
        n->at[i] = n->text[i];
    }
    return true;
}

const float *weft_run_optional(const weft_run *run, weft_val v)
{
    return v == WEFT_NONE ? NULL : weft_run_value(run, v);
}

weft_conv_args weft_conv_setup(const weft_graph *g, const weft_run *run,
                               const weft_val in[2], int matrix, int bias,
                               float *out)
{
    const weft_weight *m = &g->weight[matrix];
    const weft_conv *v = &m->conv;
    const int w = weft_run_columns(g, run, in[0]);

    return (weft_conv_args){
        .conv = v,
        .weight = weft_run_weight(run, matrix),
        .n = run->layout->n,
        .w = w,
        .wout = w * v->up / v->stride,
        .col1 = w * v->up / v->stride,
        .in = {weft_run_value(run, in[0]), weft_run_optional(run, in[1])},
        .out = out,
        .bias = weft_run_weight(run, bias),
        .down = v->rank ? weft_run_weight(run, m->down) : NULL,
        .up = v->rank ? weft_run_weight(run, m->up) : NULL,
    };
}

size_t weft_conv_room(const weft_graph *g, const weft_device *dev,
                      const weft_layout *l, weft_val in, int matrix)
{
    const int w = weft_layout_columns(l, weft_graph_at(g, in));

    return dev->conv_scratch(&g->weight[matrix].conv, l->n, w);
}

void weft_project(const weft_graph *g, const weft_run *run, weft_val from,
                  int matrix, int bias, const float *res, float *out)
{
    const weft_val in[2] = {from, WEFT_NONE};
    weft_conv_args a = weft_conv_setup(g, run, in, matrix, bias, out);

    a.res = res;
    a.row1 = weft_run_rows(g, run, from);
    run->dev->conv(&a, run->pool);
}

void weft_node_wants_all(weft_node *d, weft_class class, weft_val whole)
{
    d->want[d->nwants++] = (weft_want){WEFT_REACH_ALL, class, whole, {0}};
}
