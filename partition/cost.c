#include "partition/cost_walk.h"

#include <stdlib.h>
#include <string.h>

/* Evaluations that are walked; what counts is the mean of the last two. */
enum { WALKED = 6 };

/* Of a group norm: publishing moments against applying them. */
static const double MOMENTS_SHARE = 0.4;

/* ---- speed --------------------------------------------------------------- */

/* Operations are counted as layers count them: a transformed convolution does
 * fewer. */
weft_cluster weft_cost_nominal(const weft_device *dev, int threads)
{
    static const struct {
        const char *isa;
        double flops;
    } known[] = {{"avx512", 350e9}, {"avx2", 150e9}};
    weft_cluster c = {.nodes = 1,
                      .ranks_per_node = 1,
                      .inside = {.latency_s = 10e-6, .bytes_per_s = 2e9},
                      .speed = {{"other", 30e9}},
                      .nspeeds = 1,
                      .memory_bytes_per_s = 10e9};
    double *flops = &c.speed[0].flops_per_s;

    if (!strcmp(dev->name, "reference")) *flops = 2e9;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(dev->isa, known[i].isa)) *flops = known[i].flops;
    *flops *= threads;
    c.between = c.inside;
    return c;
}

static const weft_cost_speed *find_speed(const weft_cluster *c,
                                         const char *kind)
{
    for (int i = 0; i < c->nspeeds; i++)
        if (!strcmp(c->speed[i].kind, kind)) return &c->speed[i];
    return NULL;
}

static const weft_cost_speed *speed_of(const weft_cluster *c, const char *kind)
{
    const weft_cost_speed *s = find_speed(c, kind);

    return s ? s : find_speed(c, "other");
}

weft_status weft_cost_check(const weft_graph *g, const weft_cluster *c)
{
    for (int i = 0; i < g->nnodes; i++) {
        const weft_layer_ops *ops = g->node[i].ops;

        if (ops->flops && !speed_of(c, ops->kind))
            return weft_fail(WEFT_EINPUT,
                             "no speed is given for layers of class \"%s\", "
                             "nor for \"other\"",
                             ops->kind);
    }
    return WEFT_OK;
}

/* Pixels of a value on patch p; a vector is one, whole on every patch. */
static double pixels(const weft_cost_walk *w, const weft_value *x, int p)
{
    const weft_cell cell = weft_cost_cell(x);
    weft_rect r;

    if (!x->rows_per_unit) return x->w;
    r = weft_cut_rect(w->cut, &cell, p);
    return (double)weft_rect_pixels(&r);
}

static double floats(const weft_cost_walk *w, weft_val v, int p)
{
    const weft_value *x;

    if (v == WEFT_NONE) return 0;
    x = weft_graph_at(w->g, v);
    return pixels(w, x, p) * w->n * x->c;
}

/* Of the image, what patch p holds of a value. */
static double share(const weft_cost_walk *w, const weft_value *x, int p)
{
    const double rows = x->rows_per_unit * weft_cut_total(w->cut);

    return x->rows_per_unit ? pixels(w, x, p) / (rows * x->w) : 1;
}

/* Its output and its inputs. */
static double moved(const weft_cost_walk *w, int i, int p)
{
    const weft_node *d = &w->g->node[i];
    double bytes = sizeof(float) * floats(w, d->out, p);

    for (int k = 0; k < WEFT_NODE_IN; k++)
        bytes += sizeof(float) * floats(w, d->in[k], p);
    return bytes;
}

/* Seconds of node i on patch p. */
static double compute(const weft_cost_walk *w, int i, int p)
{
    const weft_node *d = &w->g->node[i];
    const int total = weft_cut_total(w->cut);

    if (d->once) return 0;
    if (!d->ops->flops) return moved(w, i, p) / w->c->memory_bytes_per_s;
    return d->ops->flops(w->g, i, w->n, total, total) *
           share(w, weft_graph_at(w->g, d->out), p) /
           speed_of(w->c, d->ops->kind)->flops_per_s;
}

double weft_cost_moved(const weft_graph *g, int i, int n, const weft_cut *cut,
                       int p)
{
    const weft_cost_walk w = {.g = g, .n = n, .cut = cut};

    return moved(&w, i, p);
}

double weft_cost_compute(const weft_graph *g, int n, const weft_cut *cut, int p,
                         const weft_cluster *c)
{
    const weft_cost_walk w = {.g = g, .n = n, .cut = cut, .c = c};
    double sum = 0;

    for (int i = 0; i < g->nnodes; i++) sum += compute(&w, i, p);
    return sum;
}

/* ---- layers -------------------------------------------------------------- */

/* How a node's work lies around one exchange, as shares of it. */
typedef struct turn {
    int want, n; /* which wants are put and got together */
    double before, between;
} turn;

/* Of a convolution's pixels, those that need no neighbour: but for a tile of
 * rows above and below, and a tile's columns beside. */
static double inside_share(const weft_cost_walk *w, const weft_node *d, int p)
{
    const weft_cell cell = weft_cost_cell(weft_graph_at(w->g, d->out));
    const weft_rect r = weft_cut_rect(w->cut, &cell, p);
    int rows = r.rows, columns = r.columns;

    for (int side = -1; side <= 1; side += 2) {
        if (weft_cut_neighbour(w->cut, p, side, 0) >= 0)
            rows -= d->u.conv.tile_rows;
        if (weft_cut_neighbour(w->cut, p, 0, side) >= 0)
            columns -= WEFT_CONV_COLUMNS;
    }
    if (rows <= 0 || columns <= 0) return 0;
    return (double)rows * columns / (double)weft_rect_pixels(&r);
}

static turn turn_of(const weft_cost_walk *w, const weft_node *d, int want,
                    int p)
{
    if (d->want[want].reach == WEFT_REACH_BORDER)
        return (turn){.n = d->nwants, .between = inside_share(w, d, p)};
    return (turn){.want = want, .n = 1, .before = MOMENTS_SHARE};
}

/* A portion of node i's work. A rank that shares a core has it whole while the
 * others wait: it works as fast as all who share it together. */
static void labour(weft_cost_walk *w, int i, int r, double portion)
{
    const int sharers = w->core[w->core_of[r]].ranks;

    weft_cost_spend(w, r, compute(w, i, r) * portion / sharers);
}

static void work(weft_cost_walk *w, int i, int want, bool between)
{
    weft_cost_turns(w);
    for (int k = 0; k < w->cut->n; k++) {
        const int r = w->order[k];
        const turn t = turn_of(w, &w->g->node[i], want, r);

        labour(w, i, r, between ? t.between : t.before);
    }
}

/* What is left of a node when its wants are there. */
static double remainder_of(const weft_cost_walk *w, const weft_node *d, int r)
{
    double left = 1;

    for (int k = 0; k < d->nwants;) {
        const turn t = turn_of(w, d, k, r);

        left -= t.before + t.between;
        k += t.n;
    }
    return left;
}

static void rest(weft_cost_walk *w, int i)
{
    weft_cost_turns(w);
    for (int k = 0; k < w->cut->n; k++) {
        const int r = w->order[k];

        labour(w, i, r, remainder_of(w, &w->g->node[i], r));
    }
}

static void other_node(weft_cost_walk *w, int i)
{
    const weft_node *d = &w->g->node[i];

    for (int k = 0; k < d->nwants;) {
        const int n = turn_of(w, d, k, 0).n;

        work(w, i, k, false);
        for (int j = k; j < k + n && !w->how.silent; j++)
            weft_cost_put(w, &d->want[j], w->slot + j);
        if (!w->how.blocks) work(w, i, k, true);
        for (int j = k; j < k + n && !w->how.silent; j++)
            weft_cost_take(w, w->slot + j);
        if (w->how.blocks) work(w, i, k, true);
        k += n;
    }
    rest(w, i);
}

/* ---- attention ----------------------------------------------------------- */

/* Of a node's work: keys and values, and the look, of one share of the heads;
 * all queries; the output. */
typedef struct portions {
    double kv, look, q, out;
} portions;

static portions portions_of(const weft_cost_walk *w, const weft_node *d)
{
    const weft_value *v = weft_graph_at(w->g, d->in[0]);
    const double image =
        (double)weft_cut_total(w->cut) * v->rows_per_unit * v->w;
    const double heads = (double)d->u.attend.heads / d->u.attend.shares;
    const portions p = {.kv = weft_conv_flops(&d->u.attend.kv, 1),
                        .look = 4 * heads * d->u.attend.dim * image,
                        .q = weft_conv_flops(&d->u.attend.q, 1),
                        .out = weft_conv_flops(&d->u.attend.out, 1)};
    const double all = d->u.attend.shares * (p.kv + p.look) + p.q + p.out;

    return (portions){p.kv / all, p.look / all, p.q / all, p.out / all};
}

static void part_of_node(weft_cost_walk *w, int i, double portion)
{
    weft_cost_turns(w);
    for (int k = 0; k < w->cut->n; k++) labour(w, i, w->order[k], portion);
}

static void publish(weft_cost_walk *w, int i, int k, double portion)
{
    const weft_node *d = &w->g->node[i];

    if (k >= d->u.attend.shares) return;
    part_of_node(w, i, portion);
    if (w->how.silent) return;
    weft_cost_put(w, &d->want[k], w->slot + k);
    if (w->how.blocks) weft_cost_take(w, w->slot + k);
}

/* Rank r waits for the keys of the patches from .. to; returns their share of
 * the image. */
static double await_line(weft_cost_walk *w, const weft_want *want, int slot,
                         int r, int from, int to)
{
    const weft_value *kv = weft_graph_at(w->g, want->val);
    double line = 0;

    for (int p = from; p < to; p++) {
        if (p != r)
            w->clock[r] =
                weft_later(w->clock[r], *weft_cost_came(w, slot, r, p));
        line += share(w, kv, p);
    }
    return line;
}

/* In step, a line of patches' keys when those before them were looked at. */
static void look_in_order(weft_cost_walk *w, int i, int k, double portion)
{
    const weft_want *want = &w->g->node[i].want[k];
    const int n = w->cut->n, across = weft_cut_across(w->cut);

    for (int from = 0; from < n; from += across) {
        weft_cost_turns(w);
        for (int j = 0; j < n; j++) {
            const int r = w->order[j];
            const double line =
                await_line(w, want, w->slot + k, r, from, from + across);

            labour(w, i, r, portion * line);
        }
    }
}

static void look(weft_cost_walk *w, int i, int k, double portion)
{
    const bool in_step = !w->how.silent && !w->how.blocks && !w->how.lag;

    if (w->how.lag && !w->how.silent) weft_cost_take(w, w->slot + k);
    if (in_step)
        look_in_order(w, i, k, portion);
    else
        part_of_node(w, i, portion);
    if (in_step) weft_cost_take(w, w->slot + k);
}

static void attention(weft_cost_walk *w, int i)
{
    const weft_node *d = &w->g->node[i];
    const portions p = portions_of(w, d);

    for (int k = 0; k < d->u.attend.ahead; k++) publish(w, i, k, p.kv);
    part_of_node(w, i, p.q);
    for (int k = 0; k < d->u.attend.shares; k++) {
        look(w, i, k, p.look);
        publish(w, i, k + d->u.attend.ahead, p.kv);
    }
    part_of_node(w, i, p.out);
}

static void node(weft_cost_walk *w, int i)
{
    const weft_node *d = &w->g->node[i];

    if (d->nwants && d->want[0].class == WEFT_KV)
        attention(w, i);
    else
        other_node(w, i);
}

static double evaluation(weft_cost_walk *w)
{
    double end = 0;

    w->slot = 0;
    for (int i = 0; i < w->g->nnodes; i++) {
        node(w, i);
        w->slot += w->g->node[i].nwants;
    }
    for (int r = 0; r < w->cut->n; r++) end = weft_later(end, w->clock[r]);
    return end;
}

/* ---- the walk ------------------------------------------------------------ */

static double *zeros(size_t n) { return calloc(n ? n : 1, sizeof(double)); }

static bool open_ring(weft_cost_ring *r, int depth, int slots, int ranks)
{
    *r = (weft_cost_ring){depth, slots, ranks, NULL};
    r->at = zeros((size_t)depth * (size_t)slots * (size_t)ranks);
    return r->at != NULL;
}

static bool open_walk(weft_cost_walk *w)
{
    const size_t ranks = (size_t)w->cut->n;
    int slots = 0;

    for (int i = 0; i < w->g->nnodes; i++) slots += w->g->node[i].nwants;
    w->clock = zeros(ranks);
    w->posted = zeros(ranks);
    w->port = calloc(4 * ranks, sizeof *w->port);
    w->came = zeros(2 * ranks * ranks);
    w->order = calloc(ranks, sizeof *w->order);
    w->core_of = calloc(ranks, sizeof *w->core_of);
    w->core = calloc(ranks, sizeof *w->core);
    return open_ring(&w->arrived, w->how.lag + 1, slots, w->cut->n) &&
           open_ring(&w->left, w->how.lag + 1, slots, w->cut->n) && w->clock &&
           w->posted && w->port && w->came && w->order && w->core_of && w->core;
}

static void close_walk(weft_cost_walk *w)
{
    free(w->clock);
    free(w->posted);
    free(w->port);
    free(w->came);
    free(w->order);
    free(w->core_of);
    free(w->core);
    free(w->arrived.at);
    free(w->left.at);
}

weft_status weft_cost_of(const weft_graph *g, int n, const weft_cut *cut,
                         const weft_cluster *c, const weft_cost_how *how,
                         double *seconds)
{
    weft_cost_walk w = {.g = g, .n = n, .cut = cut, .c = c, .how = *how};
    const int count = how->lag + WALKED;
    double before = 0, end = 0;
    bool room;

    WEFT_TRY(weft_cost_check(g, c));
    room = open_walk(&w);
    if (room) weft_cost_seat(&w);
    for (w.t = 0; room && w.t < count; w.t++) {
        if (w.t == count - 2) before = end;
        end = evaluation(&w);
    }
    close_walk(&w);
    if (!room) return weft_fail(WEFT_ENOMEM, "out of memory for a cost");
    *seconds = (end - before) / 2;
    return WEFT_OK;
}
