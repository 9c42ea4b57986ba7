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

/* Ports: one for each rank, then one for each node. */
static int port_of(const weft_cost_walk *w, int rank, bool leaves)
{
    return leaves ? w->cut->n + node_of(w, rank) - node_of(w, 0) : rank;
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

/* One message takes both ports; both ends must have come to it. */
static void pass(weft_cost_walk *w, int slot, int from, int to, double bytes)
{
    const bool leaves = node_of(w, from) != node_of(w, to);
    const weft_cost_link *l = leaves ? &w->c->between : &w->c->inside;
    const int a = port_of(w, from, leaves), b = port_of(w, to, leaves);
    double *out = &w->out[a], *in = l->half_duplex ? &w->out[b] : &w->in[b];
    double *left = at(&w->left, w->t, slot, from);
    double *here = at(&w->arrived, w->t, slot, to);
    const double start =
        weft_later(*out, weft_later(w->posted[from], w->posted[to]));
    const double end = weft_later(start, *in) + bytes / l->bytes_per_s;

    *out = start + bytes / l->bytes_per_s;
    *in = end;
    *left = weft_later(*left, end);
    *here = weft_later(*here, end + l->latency_s);
    *weft_cost_came(w, slot, to, from) = end + l->latency_s;
}

static void post_to(weft_cost_walk *w, const weft_want *want, int slot,
                    int from, int to, bool move)
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
    weft_cost_spend(w, from, paid);
    weft_cost_spend(w, to, paid);
}

/* Everybody's, nearest peers first, as the exchange does. Neighbours' numbers
 * are at most a line and one apart. */
static void post_all(weft_cost_walk *w, const weft_want *want, int slot,
                     bool move)
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
    post_all(w, want, slot, false);
    post_all(w, want, slot, true);
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
