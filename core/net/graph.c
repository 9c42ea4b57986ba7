#include "core/net/graph.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- building ------------------------------------------------------------ */

enum { ROOM_VALUES, ROOM_NODES, ROOM_WEIGHTS };

weft_status weft_graph_fail(weft_graph *g, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    if (g->status != WEFT_OK) return g->status;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    g->status = WEFT_EINPUT;
    g->why = strdup(text);
    return weft_fail(WEFT_EINPUT, "%s", text);
}

static void out_of_memory(weft_graph *g)
{
    if (g->status == WEFT_OK)
        g->status = weft_fail(WEFT_ENOMEM, "out of memory for a net");
}

/* Room for one more item of `size` bytes in *list; false when there is none. */
static bool grow(weft_graph *g, int which, void *list, int have, size_t size)
{
    void **items = list, *more;
    const int room = g->room[which] ? 2 * g->room[which] : 64;

    if (g->status != WEFT_OK) return false;
    if (have < g->room[which]) return true;
    more = realloc(*items, (size_t)room * size);
    if (!more) {
        out_of_memory(g);
        return false;
    }
    *items = more;
    g->room[which] = room;
    return true;
}

void weft_graph_init(weft_graph *g, weft_cell cell, int c)
{
    memset(g, 0, sizeof *g);
    g->cell = cell;
    g->output = WEFT_NONE;
    for (int i = 0; i < WEFT_GIVENS; i++) g->given[i] = WEFT_NONE;
    for (int i = 0; i < WEFT_HINTS; i++) g->hint[i] = WEFT_NONE;
    g->input = weft_graph_value(g, cell.rows, cell.width, c);
}

static void release_weight(weft_weight *w)
{
    for (int i = 0; i < WEFT_MAX_SOURCES; i++) free(w->name[i]);
    free(w->constant);
    free(w->added);
}

void weft_graph_release(weft_graph *g)
{
    for (int i = 0; i < g->nnodes; i++) free(g->node[i].name);
    for (int i = 0; i < g->nweights; i++) release_weight(&g->weight[i]);
    free(g->value);
    free(g->node);
    free(g->weight);
    free(g->why);
    memset(g, 0, sizeof *g);
}

/* Columns that a strip of the input makes in a value that is w wide; 0: no
 * whole number. */
static int strip_of(const weft_cell *cell, int w)
{
    const long long columns = (long long)cell->columns * w;

    return columns % cell->width || columns / cell->width > INT_MAX
               ? 0
               : (int)(columns / cell->width);
}

weft_val weft_graph_value(weft_graph *g, int rows_per_unit, int w, int c)
{
    weft_value *v;
    int strip;

    if (w < 1 || c < 1 || rows_per_unit < 0) {
        weft_graph_fail(g, "a feature map of %d columns and %d channels", w, c);
        return WEFT_NONE;
    }
    strip = rows_per_unit ? strip_of(&g->cell, w) : w;
    if (strip < 1) {
        weft_graph_fail(g,
                        "a feature map of %d columns where strips of %d of "
                        "the input's %d stay whole",
                        w, g->cell.columns, g->cell.width);
        return WEFT_NONE;
    }
    if (!grow(g, ROOM_VALUES, &g->value, g->nvalues, sizeof *v))
        return WEFT_NONE;
    v = &g->value[g->nvalues];
    *v = (weft_value){
        .rows_per_unit = rows_per_unit, .w = w, .c = c, .strip = strip};
    v->made = v->last = -1;
    return g->nvalues++;
}

weft_val weft_graph_strips(weft_graph *g, int rows_per_unit, int c)
{
    const weft_cell *cell = &g->cell;
    const weft_val v = weft_graph_value(g, rows_per_unit, cell->width, c);

    if (v == WEFT_NONE) return WEFT_NONE;
    g->value[v].w = (cell->width - 1) / cell->columns + 1;
    g->value[v].strip = 1;
    return v;
}

weft_val weft_graph_hint(weft_graph *g, int rows_per_unit, int w, int c)
{
    const weft_val v = weft_graph_value(g, rows_per_unit, w, c);

    if (v == WEFT_NONE) return WEFT_NONE;
    WEFT_MUST(g->nhints < WEFT_HINTS);
    g->value[v].held = true;
    return g->hint[g->nhints++] = v;
}

weft_val weft_graph_give(weft_graph *g, weft_given what, int w, int c)
{
    const weft_value *before =
        g->given[what] == WEFT_NONE ? NULL : weft_graph_at(g, g->given[what]);
    weft_val v;

    if (before && (before->w != w || before->c != c))
        weft_graph_fail(g,
                        "%sis given %d x %d where another part is given "
                        "%d x %d",
                        g->prefix, w, c, before->w, before->c);
    if (before) return g->given[what];
    v = weft_graph_value(g, 0, w, c);
    if (v == WEFT_NONE) return WEFT_NONE;
    g->value[v].held = true;
    g->given[what] = v;
    return v;
}

weft_value *weft_graph_at(const weft_graph *g, weft_val v)
{
    WEFT_MUST(v >= 0 && v < g->nvalues);
    return &g->value[v];
}

void weft_graph_spare(weft_graph *g, weft_val v, int above, int below)
{
    weft_value *x;

    if (g->status != WEFT_OK) return;
    x = weft_graph_at(g, v);
    if (above > x->above) x->above = above;
    if (below > x->below) x->below = below;
}

char *weft_graph_name(const weft_graph *g, const char *name, const char *suffix)
{
    const size_t n =
        strlen(g->prefix) + strlen(name) + (suffix ? strlen(suffix) + 1 : 0);
    char *full = malloc(n + 1);

    if (full)
        snprintf(full, n + 1, "%s%s%s%s", g->prefix, name, suffix ? "." : "",
                 suffix ? suffix : "");
    return full;
}

weft_node *weft_graph_node(weft_graph *g, const weft_layer_ops *ops,
                           const char *name)
{
    weft_node *n;

    if (!grow(g, ROOM_NODES, &g->node, g->nnodes, sizeof *n)) return NULL;
    n = &g->node[g->nnodes];
    *n = (weft_node){
        .ops = ops, .out = WEFT_NONE, .over = WEFT_NONE, .next = WEFT_NONE};
    n->name = weft_graph_name(g, name, NULL);
    if (!n->name) {
        out_of_memory(g);
        return NULL;
    }
    for (int i = 0; i < WEFT_NODE_IN; i++) n->in[i] = WEFT_NONE;
    for (int i = 0; i < WEFT_NODE_TEMPS; i++) n->temp[i] = WEFT_NONE;
    for (int i = 0; i < WEFT_NODE_WEIGHTS; i++) n->weight[i] = WEFT_NONE;
    g->nnodes++;
    return n;
}

void weft_graph_once(weft_graph *g, weft_node *d)
{
    for (int k = 0; k < WEFT_NODE_IN; k++)
        WEFT_MUST(d->in[k] == WEFT_NONE || g->value[d->in[k]].held);
    WEFT_MUST(!d->nwants);
    d->once = true;
    g->value[d->out].held = true;
}

int weft_graph_weight(weft_graph *g, const weft_weight *w)
{
    if (!grow(g, ROOM_WEIGHTS, &g->weight, g->nweights, sizeof *w)) {
        weft_weight copy = *w;
        release_weight(&copy);
        return WEFT_NONE;
    }
    g->weight[g->nweights] = *w;
    return g->nweights++;
}

weft_status weft_graph_add_to(weft_graph *g, int i, const weft_low_rank *t)
{
    weft_weight *w = &g->weight[i];
    weft_low_rank *more =
        realloc(w->added, ((size_t)w->nadded + 1) * sizeof *more);

    WEFT_MUST(w->kind == WEFT_WEIGHT_CONV && t->source < w->nsrc);
    if (!more) return weft_fail(WEFT_ENOMEM, "out of memory for a net");
    w->added = more;
    w->added[w->nadded++] = *t;
    w->conv.wtype = WEFT_F32;
    return WEFT_OK;
}

/* Filled by whoever evaluates the graph. */
static bool is_input(const weft_graph *g, weft_val v)
{
    return v == g->input || g->value[v].held;
}

static void uses(weft_graph *g, int node, weft_val v)
{
    if (v == WEFT_NONE) return;
    if (g->value[v].made < 0 && !is_input(g, v))
        weft_graph_fail(g, "%s reads a value that nothing makes",
                        g->node[node].name);
    g->value[v].last = node;
}

static void makes(weft_graph *g, int node, weft_val v)
{
    if (v == WEFT_NONE) return;
    g->value[v].made = g->value[v].last = node;
}

static const weft_want *border_of(const weft_node *n, weft_val v)
{
    for (int k = 0; k < n->nwants; k++)
        if (n->want[k].reach == WEFT_REACH_BORDER && n->want[k].val == v)
            return &n->want[k];
    return NULL;
}

/* Slots, and whose border each node's output is wanted for first: the spare
 * rows of a value serve one layer at a time. */
static void link_borders(weft_graph *g)
{
    int *next = malloc(((size_t)g->nvalues + 1) * sizeof *next), slots = 0;

    if (!next) {
        out_of_memory(g);
        return;
    }
    for (int v = 0; v < g->nvalues; v++) next[v] = WEFT_NONE;
    for (int i = g->nnodes - 1; i >= 0; i--) {
        weft_node *n = &g->node[i];

        if (n->out != WEFT_NONE) n->next = next[n->out];
        for (int k = 0; k < n->nwants; k++)
            if (n->want[k].reach == WEFT_REACH_BORDER) next[n->want[k].val] = i;
    }
    free(next);
    for (int i = 0; i < g->nnodes; i++) {
        g->node[i].slot = slots;
        slots += g->node[i].nwants;
    }
}

void weft_graph_keep(weft_graph *g, weft_val v)
{
    if (g->status == WEFT_OK && v != WEFT_NONE) g->value[v].kept = true;
}

weft_status weft_graph_finish(weft_graph *g, weft_val output)
{
    if (g->status == WEFT_OK) {
        for (int i = 0; i < g->nnodes; i++) {
            const weft_node *n = &g->node[i];

            for (int k = 0; k < WEFT_NODE_IN; k++) uses(g, i, n->in[k]);
            for (int k = 0; k < WEFT_NODE_TEMPS; k++) makes(g, i, n->temp[k]);
            makes(g, i, n->out);
        }
        link_borders(g);
        g->output = output;
        weft_graph_keep(g, output);
        for (int v = 0; v < g->nvalues; v++)
            if (g->value[v].kept) g->value[v].last = g->nnodes;
    }
    if (g->status != WEFT_OK && g->why)
        return weft_fail(g->status, "%s", g->why);
    return g->status;
}

/* ---- running ------------------------------------------------------------- */

int weft_graph_level(const weft_graph *g, int node)
{
    const weft_val in = g->node[node].in[0];

    return in == WEFT_NONE ? 0 : weft_graph_at(g, in)->rows_per_unit;
}

double weft_graph_flops(const weft_graph *g, int node, int n, int units,
                        int total_units)
{
    const weft_node *d = &g->node[node];

    if (d->once || !d->ops->flops) return 0;
    return d->ops->flops(g, node, n, units, total_units);
}

weft_status weft_graph_declare(const weft_graph *g, int n, weft_exchange *x)
{
    for (int i = 0; i < g->nnodes; i++)
        for (int k = 0; k < g->node[i].nwants; k++) {
            const weft_want *want = &g->node[i].want[k];
            const weft_value *v = weft_graph_at(g, want->val);
            const weft_slot_spec spec = {
                .reach = want->reach,
                .class = want->class,
                .cell = {v->rows_per_unit, v->strip, v->w},
                .border = want->border,
                .n = n,
                .pixel_bytes = (size_t)v->c * sizeof(float),
                .layer = g->node[i].name,
                .bundle =
                    want->class == WEFT_MOMENTS ? weft_graph_level(g, i) : 0,
                .old = want->class == WEFT_MOMENTS ? x->sched.moments
                                                   : WEFT_OLD_SHOWN,
            };
            int slot;

            WEFT_TRY(weft_exchange_declare(x, &spec, &slot));
        }
    return WEFT_OK;
}

weft_status weft_graph_bind(const weft_graph *g, const weft_layout *l,
                            char *block, weft_exchange *x, int first)
{
    int slot = first;

    for (int i = 0; i < g->nnodes; i++)
        for (int k = 0; k < g->node[i].nwants; k++)
            weft_exchange_bind(x, slot++,
                               block + l->offset[g->node[i].want[k].val]);
    return weft_exchange_settle(x);
}

float *weft_run_value(const weft_run *run, weft_val v)
{
    const weft_layout *l = run->layout;

    return (float *)(void *)((l->held[v] ? run->held : run->block) +
                             l->offset[v]);
}

int weft_run_rows(const weft_graph *g, const weft_run *run, weft_val v)
{
    const int per_unit = weft_graph_at(g, v)->rows_per_unit;

    return per_unit ? per_unit * run->layout->units : 1;
}

int weft_run_columns(const weft_graph *g, const weft_run *run, weft_val v)
{
    return weft_layout_columns(run->layout, weft_graph_at(g, v));
}

const void *weft_run_weight(const weft_run *run, int i)
{
    return i == WEFT_NONE ? NULL : run->weights + run->layout->weight[i];
}

/* Of the node that wants a border of this one's output. */
static int next_slot(const weft_graph *g, const weft_run *run, int node)
{
    const weft_node *n = &g->node[node], *next = &g->node[n->next];

    return run->first_slot + next->slot +
           (int)(border_of(next, n->out) - next->want);
}

weft_edges weft_run_edges(const weft_graph *g, const weft_run *run, int node)
{
    const weft_node *n = &g->node[node];
    const weft_cut *cut = &run->x->cut;
    weft_edges e = {0, 0};
    int slot;

    if (n->next == WEFT_NONE) return e;
    slot = next_slot(g, run, node);
    if (weft_exchange_gives_columns(run->x, slot)) return e;
    if (weft_cut_neighbour(cut, cut->me, -1, 0) >= 0)
        e.upper = border_of(&g->node[n->next], n->out)->border.below;
    if (weft_cut_neighbour(cut, cut->me, 1, 0) >= 0)
        e.lower = border_of(&g->node[n->next], n->out)->border.above;
    return e;
}

weft_status weft_run_put(const weft_graph *g, weft_run *run, int node, int k)
{
    const int slot = run->first_slot + g->node[node].slot + k;

    if (weft_exchange_is_put(run->x, slot)) return WEFT_OK;
    return weft_exchange_put(run->x, slot);
}

weft_status weft_run_border_made(const weft_graph *g, weft_run *run, int node)
{
    int slot;

    if (g->node[node].next == WEFT_NONE) return WEFT_OK;
    slot = next_slot(g, run, node);
    if (weft_exchange_is_put(run->x, slot)) return WEFT_OK;
    return weft_exchange_put(run->x, slot);
}

weft_status weft_graph_prepare(const weft_graph *g, weft_run *run)
{
    for (int i = 0; i < g->nnodes; i++) {
        run->node = i;
        if (g->node[i].once) WEFT_TRY(g->node[i].ops->forward(g, i, run));
    }
    return WEFT_OK;
}

weft_status weft_graph_eval(const weft_graph *g, weft_run *run)
{
    weft_trace *trace = run->x->trace;
    const double began = trace ? weft_clock() : 0;

    WEFT_TRY(weft_exchange_next(run->x));
    run->slot = run->first_slot;
    for (int i = 0; i < g->nnodes; i++) {
        const double start = run->seconds || trace ? weft_clock() : 0;

        if (g->node[i].once) continue;
        run->node = i;
        WEFT_TRY(g->node[i].ops->forward(g, i, run));
        WEFT_TRY(weft_run_border_made(g, run, i));
        for (int k = 0; k < g->node[i].nwants; k++)
            WEFT_TRY(weft_exchange_done(run->x, run->slot++));
        if (run->seconds) run->seconds[i] += weft_clock() - start;
        weft_trace_add(trace, WEFT_TRACE_LAYER, run->x->t, g->node[i].name,
                       g->node[i].ops->kind, start);
    }
    weft_trace_add(trace, WEFT_TRACE_EVALUATION, run->x->t, run->x->name, NULL,
                   began);
    return WEFT_OK;
}
