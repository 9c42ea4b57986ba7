/*
 * Where everything lies. Values that are never alive at the same time share
 * memory: each is placed in turn at the lowest offset where it overlaps no
 * placed value whose life overlaps its own.
 */
#include "core/net/graph.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

/* One stretch of memory: a value, or several that follow each other in place.
 */
typedef struct stretch {
    int first, last;      /* nodes */
    size_t before, bytes; /* spare rows above; all of it */
    size_t at;
    double urgency;
} stretch;

static bool times(size_t *a, size_t b)
{
    return !__builtin_mul_overflow(*a, b, a);
}

int weft_layout_columns(const weft_layout *l, const weft_value *v)
{
    const weft_cell cell = {.columns = v->strip, .width = v->w};

    if (!v->rows_per_unit) return v->w;
    return weft_cell_column(&cell, l->strip_to) -
           weft_cell_column(&cell, l->strip_from);
}

static size_t rows_of(const weft_value *v, const weft_layout *l)
{
    const bool alone =
        l->units == l->total_units && weft_layout_columns(l, v) == v->w;
    const int units = v->whole ? l->total_units : l->units;

    if (!v->rows_per_unit) return 1;
    return v->shared && alone ? 0 : (size_t)v->rows_per_unit * (size_t)units;
}

/* Bytes of `rows` rows of value v; false on overflow. */
static bool bytes_of(const weft_value *v, size_t rows, const weft_layout *l,
                     size_t *bytes)
{
    const int columns = v->whole ? v->w : weft_layout_columns(l, v);

    *bytes = sizeof(float);
    return times(bytes, rows) && times(bytes, (size_t)l->n) &&
           times(bytes, (size_t)columns) && times(bytes, (size_t)v->c) &&
           *bytes < SIZE_MAX / 4;
}

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static weft_status measure(const weft_value *v, const weft_layout *l,
                           stretch *s)
{
    const size_t rows = rows_of(v, l);
    size_t body, below;

    if (!bytes_of(v, rows, l, &body) ||
        !bytes_of(v, (size_t)v->above, l, &s->before) ||
        !bytes_of(v, (size_t)v->below, l, &below))
        return weft_fail(WEFT_EINPUT,
                         "a feature map of %zu x %d x %d values for %d samples "
                         "is beyond what can be addressed",
                         rows, v->w, v->c, l->n);
    if (v->held) {
        s->bytes = aligned(body);
        return WEFT_OK;
    }
    s->first = v->made;
    s->last = v->last;
    s->before = aligned(s->before);
    s->bytes = s->before + aligned(body + below);
    return WEFT_OK;
}

/* The output of node i takes the place of an input that nobody reads later. */
static int replaced(const weft_graph *g, int i, const int *home)
{
    const weft_node *n = &g->node[i];
    const weft_val v = n->over == WEFT_NONE ? WEFT_NONE : n->in[n->over];
    const weft_value *a, *b;

    if (v == WEFT_NONE || n->out == WEFT_NONE) return WEFT_NONE;
    a = &g->value[v], b = &g->value[n->out];
    if (a->last != i || v == g->input || a->whole || b->whole || a->held ||
        a->rows_per_unit != b->rows_per_unit || a->w != b->w || a->c != b->c)
        return WEFT_NONE;
    return home[v];
}

static bool collides(const stretch *a, const stretch *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* What is placed first: no order is best for every net, so all are tried. */
static double largest(const stretch *s) { return (double)s->bytes; }
static double longest(const stretch *s) { return s->last - s->first; }
static double earliest(const stretch *s) { return -s->first; }
static double most_of_both(const stretch *s)
{
    return (double)s->bytes * (s->last - s->first + 1);
}

typedef double urgency(const stretch *s);
static urgency *const urgencies[] = {largest, longest, earliest, most_of_both};
enum { URGENCIES = sizeof urgencies / sizeof *urgencies };

static int by_urgency(const void *a, const void *b)
{
    const stretch *const *x = a, *const *y = b;

    if ((*x)->urgency != (*y)->urgency)
        return (*x)->urgency < (*y)->urgency ? 1 : -1;
    if ((*x)->bytes != (*y)->bytes) return (*x)->bytes < (*y)->bytes ? 1 : -1;
    return *x < *y ? -1 : *x > *y;
}

/* The lowest offset at which s touches no stretch that lives with it. */
static size_t lowest(const stretch *s, stretch *const *placed, int n)
{
    size_t at = 0;
    bool moved = true;

    while (moved) {
        moved = false;
        for (int i = 0; i < n; i++) {
            const stretch *p = placed[i];

            if (!collides(s, p) || at + s->bytes <= p->at ||
                p->at + p->bytes <= at)
                continue;
            at = p->at + p->bytes;
            moved = true;
        }
    }
    return at;
}

static size_t place(stretch *s, stretch **order, int n, urgency *first)
{
    size_t top = 0;

    for (int i = 0; i < n; i++) {
        order[i] = &s[i];
        s[i].urgency = first(&s[i]);
    }
    qsort(order, (size_t)n, sizeof *order, by_urgency);
    for (int i = 0; i < n; i++) {
        if (!order[i]->bytes) continue;
        order[i]->at = lowest(order[i], order, i);
        if (order[i]->at + order[i]->bytes > top)
            top = order[i]->at + order[i]->bytes;
    }
    return top;
}

static size_t place_best(stretch *s, stretch **order, int n)
{
    size_t least = SIZE_MAX;
    int best = 0;

    for (int k = 0; k < URGENCIES; k++) {
        const size_t bytes = place(s, order, n, urgencies[k]);

        if (bytes >= least) continue;
        least = bytes;
        best = k;
    }
    return place(s, order, n, urgencies[best]);
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* b lives on in the place of a, with room for the spare rows of both. */
static void join(stretch *a, stretch *b)
{
    const size_t after = larger(a->bytes - a->before, b->bytes - b->before);

    a->before = larger(a->before, b->before);
    a->bytes = a->before + after;
    if (b->last > a->last) a->last = b->last;
    b->bytes = 0;
}

/* Held values lie one behind the other; none of them is in the block. */
static weft_status place_held(const weft_graph *g, weft_layout *l, stretch *s)
{
    for (int v = 0; v < g->nvalues; v++) {
        l->held[v] = g->value[v].held;
        if (!l->held[v]) continue;
        s[v].at = l->held_bytes;
        if (__builtin_add_overflow(l->held_bytes, s[v].bytes, &l->held_bytes))
            return weft_fail(WEFT_EINPUT,
                             "what is kept of a text is beyond what can be "
                             "addressed");
        s[v].bytes = 0;
    }
    return WEFT_OK;
}

static weft_status place_values(const weft_graph *g, weft_layout *l, stretch *s,
                                stretch **order, int *home)
{
    for (int v = 0; v < g->nvalues; v++) {
        home[v] = v;
        WEFT_TRY(measure(&g->value[v], l, &s[v]));
    }
    WEFT_TRY(place_held(g, l, s));
    for (int i = 0; i < g->nnodes; i++) {
        const int into = replaced(g, i, home);

        if (into == WEFT_NONE) continue;
        home[g->node[i].out] = into;
        join(&s[into], &s[g->node[i].out]);
    }
    l->bytes = place_best(s, order, g->nvalues);
    for (int v = 0; v < g->nvalues; v++)
        l->offset[v] = s[home[v]].at + s[home[v]].before;
    return WEFT_OK;
}

/* The most rows that any value holds, against what the image has there. */
static void count_rows(const weft_graph *g, weft_layout *l)
{
    for (int v = 0; v < g->nvalues; v++) {
        const weft_value *x = &g->value[v];
        const size_t held = (size_t)x->rows_per_unit * (size_t)l->units;

        if (x->whole || held <= l->max_rows_held) continue;
        l->max_rows_held = held;
        l->max_rows_image = (size_t)x->rows_per_unit * (size_t)l->total_units;
    }
}

static weft_layout part_of(const weft_graph *g, int n, const weft_cut *cut)
{
    const int across = weft_cut_across(cut), k = cut->me % across;

    return (weft_layout){
        .n = n,
        .units = weft_cut_units(cut, cut->me),
        .total_units = weft_cut_total(cut),
        .strip_from = across > 1 ? cut->strip[k] : 0,
        .strip_to = across > 1 ? cut->strip[k + 1]
                               : (g->cell.width - 1) / g->cell.columns + 1};
}

weft_status weft_layout_make(const weft_graph *g, const weft_device *dev, int n,
                             const weft_cut *cut, weft_layout *l)
{
    const size_t nv = (size_t)g->nvalues;
    weft_layout made = part_of(g, n, cut);
    stretch *s = calloc(nv, sizeof *s), **order = calloc(nv, sizeof *order);
    int *home = calloc(nv, sizeof *home);
    weft_status st = WEFT_OK;

    made.offset = calloc(nv, sizeof *made.offset);
    made.held = calloc(nv, sizeof *made.held);
    if (!s || !order || !home || !made.offset || !made.held)
        st = weft_fail(WEFT_ENOMEM, "out of memory for the layout of a net");
    if (st == WEFT_OK) st = place_values(g, &made, s, order, home);
    if (st == WEFT_OK) st = weft_layout_weights(g, dev, &made);
    for (int i = 0; i < g->nnodes && st == WEFT_OK; i++) {
        const weft_layer_ops *ops = g->node[i].ops;
        const size_t bytes = ops->scratch ? ops->scratch(g, i, dev, &made) : 0;

        if (bytes > made.scratch) made.scratch = bytes;
    }
    count_rows(g, &made);
    free(s);
    free(order);
    free(home);
    if (st == WEFT_OK)
        *l = made;
    else
        weft_layout_release(&made);
    return st;
}

void weft_layout_release(weft_layout *l)
{
    free(l->offset);
    free(l->held);
    free(l->weight);
    memset(l, 0, sizeof *l);
}
