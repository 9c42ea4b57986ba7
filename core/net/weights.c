/*
 * Packed weights: how large they are, where they lie, and what nets of one file
 * have in common.
 */
#include "core/net/graph.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

size_t weft_weight_bytes(const weft_weight *w, const weft_device *dev)
{
    if (w->kind == WEFT_WEIGHT_CONV) return dev->weight_bytes(&w->conv);
    return w->count * (w->kind == WEFT_WEIGHT_TABLE ? weft_dtype_size(w->type)
                                                    : sizeof(float));
}

/* ---- what is added, beside ----------------------------------------------- */

static long long rank_of(const weft_weight *w)
{
    long long rank = 0;

    for (int i = 0; i < w->nadded; i++) rank += w->added[i].rank;
    return rank;
}

/* Two thin matrices are less than one more of the whole size. */
static bool worthwhile(const weft_weight *w)
{
    const long long cin = (long long)w->conv.cin[0] + w->conv.cin[1];
    const long long cout = w->conv.cout, rank = rank_of(w);

    return rank && weft_conv_takes_rank(&w->conv) &&
           rank * (cin + cout) < cin * cout;
}

static int add_thin(weft_graph *g, int i, weft_thin thin)
{
    const weft_conv *v = &g->weight[i].conv;
    const weft_weight w = {.kind = WEFT_WEIGHT_CONV,
                           .conv = thin == WEFT_THIN_DOWN ? weft_conv_down(v)
                                                          : weft_conv_up(v),
                           .thin = thin,
                           .of = i};

    return weft_graph_weight(g, &w);
}

weft_status weft_graph_beside(weft_graph *g)
{
    const int n = g->nweights;

    for (int i = 0; i < n && g->status == WEFT_OK; i++) {
        weft_weight *w = &g->weight[i];
        int down, up;

        if (!worthwhile(w)) continue;
        w->conv.wtype = g->wtype;
        w->conv.rank =
            (int)((rank_of(w) + WEFT_RANK - 1) / WEFT_RANK * WEFT_RANK);
        down = add_thin(g, i, WEFT_THIN_DOWN);
        up = add_thin(g, i, WEFT_THIN_UP);
        g->weight[i].down = down;
        g->weight[i].up = up;
    }
    return g->status;
}

/* ---- kin ----------------------------------------------------------------- */

static bool same_conv(const weft_conv *a, const weft_conv *b)
{
    return a->kh == b->kh && a->kw == b->kw && a->stride == b->stride &&
           a->up == b->up && a->cin[0] == b->cin[0] && a->cin[1] == b->cin[1] &&
           a->cout == b->cout && a->tile_rows == b->tile_rows &&
           a->wtype == b->wtype;
}

/* More than what the file has goes into the packed weight. */
static bool is_changed(const weft_weight *w)
{
    return w->thin != WEFT_NOT_THIN || (w->nadded && !w->conv.rank);
}

/* Are two nets' weights packed to the same bytes? */
static bool same_weight(const weft_weight *a, const weft_weight *b)
{
    if (a->kind != b->kind || a->nsrc != b->nsrc || a->part != b->part ||
        a->parts != b->parts || a->count != b->count || a->type != b->type ||
        is_changed(a) || is_changed(b))
        return false;
    for (int i = 0; i < a->nsrc; i++)
        if (strcmp(a->name[i], b->name[i]) != 0) return false;
    if (!a->nsrc)
        return !memcmp(a->constant, b->constant,
                       a->count * sizeof *a->constant);
    return a->kind != WEFT_WEIGHT_CONV || same_conv(&a->conv, &b->conv);
}

/* Which weight of g is packed as w; -1: none. What one net has more, as control
 * nets in the middle of it, moves the numbers of what follows: so those nearest
 * to `near` are looked at first. */
static int alike(const weft_graph *g, const weft_weight *w, int near)
{
    for (int d = 0; d <= near || near + d < g->nweights; d++) {
        if (near + d < g->nweights && same_weight(&g->weight[near + d], w))
            return near + d;
        if (d <= near && near - d < g->nweights &&
            same_weight(&g->weight[near - d], w))
            return near - d;
    }
    return -1;
}

/* The first of `kin` that has weight i of kin[k] as well, there number *as: k
 * itself if none does before it. */
static int first_with(const weft_graph *const *kin, int k, int i, int *as)
{
    for (int j = 0; j < k && !is_changed(&kin[k]->weight[i]); j++) {
        *as = alike(kin[j], &kin[k]->weight[i], i);
        if (*as >= 0) return j;
    }
    *as = i;
    return k;
}

bool weft_graph_is_first(const weft_graph *g, int i)
{
    int k = 0, as;

    if (!g->nkin) return true;
    while (g->kin[k] != g) k++;
    return first_with(g->kin, k, i, &as) == k;
}

/* ---- where they lie ------------------------------------------------------ */

/* at[k * most + i]: where weight i of kin[k] lies. */
static weft_status place(const weft_graph *const *kin, int n, size_t most,
                         const weft_device *dev, size_t *at, size_t *bytes)
{
    *bytes = 0;
    for (int k = 0; k < n; k++)
        for (int i = 0; i < kin[k]->nweights; i++) {
            int as;
            const int first = first_with(kin, k, i, &as);
            size_t own = weft_weight_bytes(&kin[k]->weight[i], dev);

            at[(size_t)k * most + (size_t)i] =
                first < k ? at[(size_t)first * most + (size_t)as] : *bytes;
            if (first < k) continue;
            own = (own + ALIGN - 1) / ALIGN * ALIGN;
            if (__builtin_add_overflow(*bytes, own, bytes))
                return weft_fail(WEFT_EINPUT, "the weights are beyond what can "
                                              "be addressed");
        }
    return WEFT_OK;
}

weft_status weft_layout_weights(const weft_graph *g, const weft_device *dev,
                                weft_layout *l)
{
    const weft_graph *const alone[] = {g};
    const weft_graph *const *kin = g->nkin ? g->kin : alone;
    const int n = g->nkin ? g->nkin : 1;
    size_t most = 1, *at;
    weft_status st;
    int me = 0;

    for (int k = 0; k < n; k++) {
        if (kin[k] == g) me = k;
        if ((size_t)kin[k]->nweights > most) most = (size_t)kin[k]->nweights;
    }
    at = calloc((size_t)n * most, sizeof *at);
    l->weight = calloc(most, sizeof *l->weight);
    if (at && l->weight) {
        st = place(kin, n, most, dev, at, &l->weight_bytes);
        memcpy(l->weight, at + (size_t)me * most, most * sizeof *at);
    } else {
        st = weft_fail(WEFT_ENOMEM, "out of memory for the layout of a net");
    }
    free(at);
    return st;
}
