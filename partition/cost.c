#include "partition/cost.h"

#include <stdlib.h>
#include <string.h>

/* Evaluations that are walked; what counts is the mean of the last two. */
enum { WALKED = 6 };

/* Bytes that pass through memory for each float that a codec takes in or gives
 * back: it, what is held, the message. */
enum { CODEC_BYTES = 12 };

/* Of a group norm: publishing moments against applying them. */
static const double MOMENTS_SHARE = 0.4;

typedef struct ring { /* by slot and rank, of the last `lag + 1` evaluations */
    int depth, slots, ranks;
    double *at;
} ring;

typedef struct walk {
    const weft_graph *g;
    int n;
    const weft_cut *cut;
    const weft_cluster *c;
    weft_cost_how how;
    int t, slot;      /* evaluation; slot of the node under way */
    double *clock;    /* [ranks] */
    double *posted;   /* [ranks] of the put under way */
    double *out, *in; /* [ports] taken until */
    double *came;     /* [2][to][from] of slots of even and odd number */
    ring arrived, left;
} walk;

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

static weft_cell cell_of(const weft_value *x)
{
    return (weft_cell){x->rows_per_unit, x->strip, x->w};
}

/* Pixels of a value on patch p; a vector is one, whole on every patch. */
static double pixels(const walk *w, const weft_value *x, int p)
{
    const weft_cell cell = cell_of(x);
    weft_rect r;

    if (!x->rows_per_unit) return x->w;
    r = weft_cut_rect(w->cut, &cell, p);
    return (double)weft_rect_pixels(&r);
}

static double floats(const walk *w, weft_val v, int p)
{
    const weft_value *x;

    if (v == WEFT_NONE) return 0;
    x = weft_graph_at(w->g, v);
    return pixels(w, x, p) * w->n * x->c;
}

/* Of the image, what patch p holds of a value. */
static double share(const walk *w, const weft_value *x, int p)
{
    const double rows = x->rows_per_unit * weft_cut_total(w->cut);

    return x->rows_per_unit ? pixels(w, x, p) / (rows * x->w) : 1;
}

/* Its output and its inputs. */
static double moved(const walk *w, int i, int p)
{
    const weft_node *d = &w->g->node[i];
    double bytes = sizeof(float) * floats(w, d->out, p);

    for (int k = 0; k < WEFT_NODE_IN; k++)
        bytes += sizeof(float) * floats(w, d->in[k], p);
    return bytes;
}

/* Seconds of node i on patch p. */
static double compute(const walk *w, int i, int p)
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
    const walk w = {.g = g, .n = n, .cut = cut};

    return moved(&w, i, p);
}

double weft_cost_compute(const weft_graph *g, int n, const weft_cut *cut, int p,
                         const weft_cluster *c)
{
    const walk w = {.g = g, .n = n, .cut = cut, .c = c};
    double sum = 0;

    for (int i = 0; i < g->nnodes; i++) sum += compute(&w, i, p);
    return sum;
}

/* ---- messages ------------------------------------------------------------ */

static double *at(const ring *r, int t, int slot, int rank)
{
    return &r->at[((size_t)(t % r->depth) * (size_t)r->slots + (size_t)slot) *
                      (size_t)r->ranks +
                  (size_t)rank];
}

static int node_of(const walk *w, int rank)
{
    return (w->how.rank0 + rank) / w->c->ranks_per_node;
}

/* Ports: one for each rank, then one for each node. */
static int port_of(const walk *w, int rank, bool leaves)
{
    return leaves ? w->cut->n + node_of(w, rank) - node_of(w, 0) : rank;
}

static weft_wire wire_of(const walk *w, const weft_want *want)
{
    const weft_schedule s = {.wire = w->how.wire};

    return weft_schedule_wire(&s, want->class);
}

/* The message of a want from one patch to another, in floats. */
typedef struct letter {
    size_t rows, width;
} letter;

/* Where `to` lies, seen from `from`: at most a line and a column away. */
static bool beside(const weft_cut *cut, int from, int to, int *down, int *right)
{
    const int across = weft_cut_across(cut);

    *down = to / across - from / across;
    *right = to % across - from % across;
    return abs(*down) <= 1 && abs(*right) <= 1;
}

static letter letter_of(const walk *w, const weft_want *want, int from, int to)
{
    const weft_value *x = weft_graph_at(w->g, want->val);
    const weft_cell cell = cell_of(x);
    weft_rect r = weft_cut_rect(w->cut, &cell, from);
    int down, right;

    if (want->reach == WEFT_REACH_BORDER) {
        if (!beside(w->cut, from, to, &down, &right)) return (letter){0, 0};
        r = weft_border_to(&r, &want->border, down, right);
    }
    return (letter){(size_t)r.rows,
                    (size_t)r.columns * (size_t)w->n * (size_t)x->c};
}

static double bytes_of(const walk *w, const weft_want *want, letter l)
{
    if (!l.rows || !l.width) return 0;
    return (double)weft_wire_bytes(wire_of(w, want), false, l.rows, l.width);
}

/* Of a processor, at each end. */
static double handling(const walk *w, const weft_want *want,
                       const weft_cost_link *l, letter m, double bytes)
{
    double s = l->message_s + bytes * l->byte_s;

    if (wire_of(w, want) != WEFT_WIRE_F32)
        s +=
            (double)(m.rows * m.width) * CODEC_BYTES / w->c->memory_bytes_per_s;
    return s;
}

static double later(double a, double b) { return a > b ? a : b; }

static double *came(walk *w, int slot, int to, int from)
{
    const size_t n = (size_t)w->cut->n;

    return &w->came[((size_t)(slot % 2) * n + (size_t)to) * n + (size_t)from];
}

/* One message takes both ports; both ends must have come to it. */
static void pass(walk *w, int slot, int from, int to, double bytes)
{
    const bool leaves = node_of(w, from) != node_of(w, to);
    const weft_cost_link *l = leaves ? &w->c->between : &w->c->inside;
    const int a = port_of(w, from, leaves), b = port_of(w, to, leaves);
    double *out = &w->out[a], *in = l->half_duplex ? &w->out[b] : &w->in[b];
    double *left = at(&w->left, w->t, slot, from);
    double *here = at(&w->arrived, w->t, slot, to);
    const double start = later(*out, later(w->posted[from], w->posted[to]));
    const double end = later(start, *in) + bytes / l->bytes_per_s;

    *out = start + bytes / l->bytes_per_s;
    *in = end;
    *left = later(*left, end);
    *here = later(*here, end + l->latency_s);
    *came(w, slot, to, from) = end + l->latency_s;
}

static void post_to(walk *w, const weft_want *want, int slot, int from, int to,
                    bool move)
{
    const bool leaves = node_of(w, from) != node_of(w, to);
    const letter m = letter_of(w, want, from, to);
    const double bytes = bytes_of(w, want, m);
    double paid;

    if (bytes == 0) return;
    if (move) {
        pass(w, slot, from, to, bytes);
        return;
    }
    paid = handling(w, want, leaves ? &w->c->between : &w->c->inside, m, bytes);
    w->clock[from] += paid;
    w->clock[to] += paid;
}

/* Everybody's, nearest peers first, as the exchange does. Neighbours' numbers
 * are at most a line and one apart. */
static void post_all(walk *w, const weft_want *want, int slot, bool move)
{
    const int n = w->cut->n, line = weft_cut_across(w->cut) + 1;
    const bool all = want->reach == WEFT_REACH_ALL;
    const int far = all || line > n - 1 ? n - 1 : line;

    for (int d = 1; d <= far; d++)
        for (int r = 0; r < n; r++) {
            if (all || r + d < n) post_to(w, want, slot, r, (r + d) % n, move);
            if (!all && r >= d) post_to(w, want, slot, r, r - d, move);
        }
}

/* My part of `lag` evaluations ago must have left before the next one may. Both
 * ends pay from now on, while the message travels; so one that is waited for
 * costs the longer of both. */
static void put(walk *w, const weft_want *want, int slot)
{
    const int n = w->cut->n, then = w->t - w->how.lag;

    for (int r = 0; r < n; r++) {
        if (w->how.lag && then >= 0)
            w->clock[r] = later(w->clock[r], *at(&w->left, then, slot, r));
        w->posted[r] = w->clock[r];
    }
    for (int r = 0; r < n; r++)
        *at(&w->left, w->t, slot, r) = *at(&w->arrived, w->t, slot, r) = 0;
    post_all(w, want, slot, false);
    post_all(w, want, slot, true);
}

static void take(walk *w, int slot)
{
    const int t = w->t - w->how.lag;

    for (int r = 0; r < w->cut->n && t >= 0; r++) {
        w->clock[r] = later(w->clock[r], *at(&w->arrived, t, slot, r));
        if (!w->how.lag)
            w->clock[r] = later(w->clock[r], *at(&w->left, t, slot, r));
    }
}

/* ---- layers -------------------------------------------------------------- */

/* How a node's work lies around one exchange, as shares of it. */
typedef struct turn {
    int want, n; /* which wants are put and got together */
    double before, between;
} turn;

/* Of a convolution's pixels, those that need no neighbour: but for a tile of
 * rows above and below, and a tile's columns beside. */
static double inside_share(const walk *w, const weft_node *d, int p)
{
    const weft_cell cell = cell_of(weft_graph_at(w->g, d->out));
    const weft_rect r = weft_cut_rect(w->cut, &cell, p);
    int rows = r.rows, columns = r.columns;

    for (int side = -1; side <= 1; side += 2) {
        if (weft_cut_neighbour(w->cut, p, side, 0) >= 0)
            rows -= d->u.conv.tile_rows;
        if (weft_cut_neighbour(w->cut, p, 0, side) >= 0) columns -= 4;
    }
    if (rows <= 0 || columns <= 0) return 0;
    return (double)rows * columns / (double)weft_rect_pixels(&r);
}

static turn turn_of(const walk *w, const weft_node *d, int want, int p)
{
    if (d->want[want].reach == WEFT_REACH_BORDER)
        return (turn){.n = d->nwants, .between = inside_share(w, d, p)};
    return (turn){.want = want, .n = 1, .before = MOMENTS_SHARE};
}

static void work(walk *w, int i, int want, bool between)
{
    for (int r = 0; r < w->cut->n; r++) {
        const turn t = turn_of(w, &w->g->node[i], want, r);

        w->clock[r] += compute(w, i, r) * (between ? t.between : t.before);
    }
}

static void rest(walk *w, int i)
{
    const weft_node *d = &w->g->node[i];

    for (int r = 0; r < w->cut->n; r++) {
        double left = 1;

        for (int k = 0; k < d->nwants;) {
            const turn t = turn_of(w, d, k, r);

            left -= t.before + t.between;
            k += t.n;
        }
        w->clock[r] += compute(w, i, r) * left;
    }
}

static void other_node(walk *w, int i)
{
    const weft_node *d = &w->g->node[i];

    for (int k = 0; k < d->nwants;) {
        const int n = turn_of(w, d, k, 0).n;

        work(w, i, k, false);
        for (int j = k; j < k + n && !w->how.silent; j++)
            put(w, &d->want[j], w->slot + j);
        if (!w->how.blocks) work(w, i, k, true);
        for (int j = k; j < k + n && !w->how.silent; j++) take(w, w->slot + j);
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

static portions portions_of(const walk *w, const weft_node *d)
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

static void part_of_node(walk *w, int i, double portion)
{
    for (int r = 0; r < w->cut->n; r++)
        w->clock[r] += compute(w, i, r) * portion;
}

static void publish(walk *w, int i, int k, double portion)
{
    const weft_node *d = &w->g->node[i];

    if (k >= d->u.attend.shares) return;
    part_of_node(w, i, portion);
    if (w->how.silent) return;
    put(w, &d->want[k], w->slot + k);
    if (w->how.blocks) take(w, w->slot + k);
}

/* In step, a line of patches' keys when those before them were looked at. */
static void look_in_order(walk *w, int i, int k, double portion)
{
    const weft_value *kv = weft_graph_at(w->g, w->g->node[i].want[k].val);
    const int n = w->cut->n, across = weft_cut_across(w->cut);

    for (int r = 0; r < n; r++) {
        const double look = compute(w, i, r) * portion;
        double line = 0;

        for (int p = 0; p < n; p++) {
            if (p != r)
                w->clock[r] = later(w->clock[r], *came(w, w->slot + k, r, p));
            line += share(w, kv, p);
            if (p % across < across - 1) continue;
            w->clock[r] += look * line;
            line = 0;
        }
    }
}

static void look(walk *w, int i, int k, double portion)
{
    const bool in_step = !w->how.silent && !w->how.blocks && !w->how.lag;

    if (w->how.lag && !w->how.silent) take(w, w->slot + k);
    if (in_step)
        look_in_order(w, i, k, portion);
    else
        part_of_node(w, i, portion);
    if (in_step) take(w, w->slot + k);
}

static void attention(walk *w, int i)
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

static void node(walk *w, int i)
{
    const weft_node *d = &w->g->node[i];

    if (d->nwants && d->want[0].class == WEFT_KV)
        attention(w, i);
    else
        other_node(w, i);
}

static double evaluation(walk *w)
{
    double end = 0;

    w->slot = 0;
    for (int i = 0; i < w->g->nnodes; i++) {
        node(w, i);
        w->slot += w->g->node[i].nwants;
    }
    for (int r = 0; r < w->cut->n; r++) end = later(end, w->clock[r]);
    return end;
}

/* ---- the walk ------------------------------------------------------------ */

static double *zeros(size_t n) { return calloc(n ? n : 1, sizeof(double)); }

static bool open_ring(ring *r, int depth, int slots, int ranks)
{
    *r = (ring){depth, slots, ranks, NULL};
    r->at = zeros((size_t)depth * (size_t)slots * (size_t)ranks);
    return r->at != NULL;
}

static bool open_walk(walk *w)
{
    const size_t ranks = (size_t)w->cut->n;
    int slots = 0;

    for (int i = 0; i < w->g->nnodes; i++) slots += w->g->node[i].nwants;
    w->clock = zeros(ranks);
    w->posted = zeros(ranks);
    w->out = zeros(2 * ranks);
    w->in = zeros(2 * ranks);
    w->came = zeros(2 * ranks * ranks);
    return open_ring(&w->arrived, w->how.lag + 1, slots, w->cut->n) &&
           open_ring(&w->left, w->how.lag + 1, slots, w->cut->n) && w->clock &&
           w->posted && w->out && w->in && w->came;
}

static void close_walk(walk *w)
{
    free(w->clock);
    free(w->posted);
    free(w->out);
    free(w->in);
    free(w->came);
    free(w->arrived.at);
    free(w->left.at);
}

weft_status weft_cost_of(const weft_graph *g, int n, const weft_cut *cut,
                         const weft_cluster *c, const weft_cost_how *how,
                         double *seconds)
{
    walk w = {.g = g, .n = n, .cut = cut, .c = c, .how = *how};
    const int count = how->lag + WALKED;
    double before = 0, end = 0;
    bool room;

    WEFT_TRY(weft_cost_check(g, c));
    room = open_walk(&w);
    for (w.t = 0; room && w.t < count; w.t++) {
        if (w.t == count - 2) before = end;
        end = evaluation(&w);
    }
    close_walk(&w);
    if (!room) return weft_fail(WEFT_ENOMEM, "out of memory for a cost");
    *seconds = (end - before) / 2;
    return WEFT_OK;
}
