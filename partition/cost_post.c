#include "partition/cost_walk.h"

#include <stdlib.h>

/* Bytes that pass through memory for each float that a codec takes in or gives
 * back: it, what is held, the message. */
enum { CODEC_BYTES = 12 };

static double *at(const weft_cost_ring *r, int t, int slot, int rank)
{
    return &r->at[((size_t)(t % r->depth) * (size_t)r->slots + (size_t)slot) *
                      (size_t)r->ranks +
                  (size_t)rank];
}

static int node_of(const weft_cost_walk *w, int rank)
{
    return (w->how.rank0 + rank) / w->c->ranks_per_node;
}

static weft_wire wire_of(const weft_cost_walk *w, const weft_want *want)
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

static letter letter_of(const weft_cost_walk *w, const weft_want *want,
                        int from, int to)
{
    const weft_value *x = weft_graph_at(w->g, want->val);
    const weft_cell cell = weft_cost_cell(x);
    weft_rect r = weft_cut_rect(w->cut, &cell, from);
    int down, right;

    if (want->reach == WEFT_REACH_BORDER) {
        if (!beside(w->cut, from, to, &down, &right)) return (letter){0, 0};
        r = weft_border_to(&r, &want->border, down, right);
    }
    return (letter){(size_t)r.rows,
                    (size_t)r.columns * (size_t)w->n * (size_t)x->c};
}

static double bytes_of(const weft_cost_walk *w, const weft_want *want, letter l)
{
    if (!l.rows || !l.width) return 0;
    return (double)weft_wire_bytes(wire_of(w, want), false, l.rows, l.width);
}

/* Of a processor, at each end. */
static double handling(const weft_cost_walk *w, const weft_want *want,
                       const weft_cost_link *l, letter m, double bytes)
{
    double s = l->message_s + bytes * l->byte_s;

    if (wire_of(w, want) != WEFT_WIRE_F32)
        s +=
            (double)(m.rows * m.width) * CODEC_BYTES / w->c->memory_bytes_per_s;
    return s;
}

double *weft_cost_came(weft_cost_walk *w, int slot, int to, int from)
{
    const size_t n = (size_t)w->cut->n;

    return &w->came[((size_t)(slot % 2) * n + (size_t)to) * n + (size_t)from];
}

/* ---- ports --------------------------------------------------------------- */

/* Of a message between two ranks. */
typedef struct path {
    const weft_cost_link *link;
    weft_cost_port *out, *in;
} path;

/* Ports: one for each rank, then one for each node; ways out, then in. */
static weft_cost_port *port_of(const weft_cost_walk *w, int rank, bool leaves,
                               bool in)
{
    const int n = w->cut->n;
    const int i = leaves ? n + node_of(w, rank) - node_of(w, 0) : rank;

    return &w->port[(in ? 2 * n : 0) + i];
}

static path path_of(const weft_cost_walk *w, int from, int to)
{
    const bool leaves = node_of(w, from) != node_of(w, to);
    const weft_cost_link *l = leaves ? &w->c->between : &w->c->inside;

    return (path){l, port_of(w, from, leaves, false),
                  port_of(w, to, leaves, !l->half_duplex)};
}

static void load(weft_cost_port *p, double bytes)
{
    p->messages++;
    p->bytes += bytes;
}

/* When a message that may begin at `start` has passed: those of a put share
 * their port fairly, so a short one takes as long as as many of its size. */
static double passed(const weft_cost_port *p, double start, double bytes,
                     double rate)
{
    const double alike = p->messages * bytes;

    return weft_later(p->until, start) +
           (alike < p->bytes ? alike : p->bytes) / rate;
}

/* Both ends must have come to it. */
static void pass(weft_cost_walk *w, const weft_want *want, int slot, int from,
                 int to)
{
    const double bytes = bytes_of(w, want, letter_of(w, want, from, to));
    const path x = path_of(w, from, to);
    const double rate = x.link->bytes_per_s;
    const double start = weft_later(w->posted[from], w->posted[to]);
    const double out = passed(x.out, start, bytes, rate);
    const double end = weft_later(out, passed(x.in, start, bytes, rate));
    const double came = end + x.link->latency_s;
    double *left = at(&w->left, w->t, slot, from);
    double *here = at(&w->arrived, w->t, slot, to);

    if (bytes == 0) return;
    x.out->end = weft_later(x.out->end, out);
    x.in->end = weft_later(x.in->end, end);
    *left = weft_later(*left, end);
    *here = weft_later(*here, came);
    *weft_cost_came(w, slot, to, from) = came;
}

static void free_ports(weft_cost_walk *w)
{
    for (int i = 0; i < 4 * w->cut->n; i++) {
        weft_cost_port *p = &w->port[i];

        p->until = weft_later(p->until, p->end);
        p->messages = p->bytes = 0;
    }
}

/* ---- a put --------------------------------------------------------------- */

/* Both ends pay, and it is on both ports. */
static void begin(weft_cost_walk *w, const weft_want *want, int slot, int from,
                  int to)
{
    const letter m = letter_of(w, want, from, to);
    const double bytes = bytes_of(w, want, m);
    const path x = path_of(w, from, to);
    const double paid = handling(w, want, x.link, m, bytes);

    (void)slot;
    if (bytes == 0) return;
    load(x.out, bytes);
    load(x.in, bytes);
    weft_cost_spend(w, from, paid);
    weft_cost_spend(w, to, paid);
}

typedef void message_fn(weft_cost_walk *w, const weft_want *want, int slot,
                        int from, int to);

/* Everybody's messages. Neighbours' numbers are at most a line and one apart.
 */
static void each_message(weft_cost_walk *w, const weft_want *want, int slot,
                         message_fn *fn)
{
    const int n = w->cut->n, line = weft_cut_across(w->cut) + 1;
    const bool all = want->reach == WEFT_REACH_ALL;
    const int far = all || line > n - 1 ? n - 1 : line;

    for (int d = 1; d <= far; d++)
        for (int r = 0; r < n; r++) {
            if (all || r + d < n) fn(w, want, slot, r, (r + d) % n);
            if (!all && r >= d) fn(w, want, slot, r, r - d);
        }
}

/* My part of `lag` evaluations ago must have left before the next one may. Both
 * ends pay from now on, while the message travels; so one that is waited for
 * costs the longer of both. */
void weft_cost_put(weft_cost_walk *w, const weft_want *want, int slot)
{
    const int n = w->cut->n, then = w->t - w->how.lag;

    for (int r = 0; r < n; r++) {
        if (w->how.lag && then >= 0)
            w->clock[r] = weft_later(w->clock[r], *at(&w->left, then, slot, r));
        w->posted[r] = w->clock[r];
    }
    for (int r = 0; r < n; r++)
        *at(&w->left, w->t, slot, r) = *at(&w->arrived, w->t, slot, r) = 0;
    each_message(w, want, slot, begin);
    each_message(w, want, slot, pass);
    free_ports(w);
}

void weft_cost_take(weft_cost_walk *w, int slot)
{
    const int t = w->t - w->how.lag;

    for (int r = 0; r < w->cut->n && t >= 0; r++) {
        w->clock[r] = weft_later(w->clock[r], *at(&w->arrived, t, slot, r));
        if (!w->how.lag)
            w->clock[r] = weft_later(w->clock[r], *at(&w->left, t, slot, r));
    }
}
