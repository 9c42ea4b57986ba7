/*
 * cost_walk.h - the clocks of cost.h, for the files that move them. *Local*.
 */
#ifndef WEFT_PARTITION_COST_WALK_H
#define WEFT_PARTITION_COST_WALK_H

#include "partition/cost.h"

typedef struct weft_cost_ring { /* by slot and rank, of the last evaluations */
    int depth, slots, ranks;
    double *at;
} weft_cost_ring;

/* A processor that ranks share. */
typedef struct weft_cost_core {
    int ranks;           /* of the walk */
    double until;        /* taken */
    double idle0, idle1; /* the last time before that when it was not */
} weft_cost_core;

/* One way of a link's port. */
typedef struct weft_cost_port {
    double until;                /* taken */
    double messages, bytes, end; /* of the put under way */
} weft_cost_port;

typedef struct weft_cost_walk {
    const weft_graph *g;
    int n;
    const weft_cut *cut;
    const weft_cluster *c;
    weft_cost_how how;
    int t, slot;          /* evaluation; slot of the node under way */
    double *clock;        /* [ranks] */
    int *order;           /* [ranks] in which they take turns */
    int *core_of;         /* [ranks] index into core */
    weft_cost_core *core; /* [ranks] */
    double *posted;       /* [ranks] of the put under way */
    weft_cost_port *port; /* [2][ports]: out, in */
    double *came;         /* [2][to][from] of slots of even and odd number */
    weft_cost_ring arrived, left; /* of the last `lag + 1` evaluations */
} weft_cost_walk;

static inline double weft_later(double a, double b) { return a > b ? a : b; }

static inline weft_cell weft_cost_cell(const weft_value *x)
{
    return (weft_cell){x->rows_per_unit, x->strip, x->w};
}

/* ---- cost_core.c --------------------------------------------------------- */

/* Which ranks share a core. */
void weft_cost_seat(weft_cost_walk *w);
/* Those who are ready first go first from here on: where none share a core the
 * order is nobody's business. */
void weft_cost_turns(weft_cost_walk *w);
/* Rank r works for so many seconds of a core of its own; those who share one
 * work one after the other, and in each other's waits. */
void weft_cost_spend(weft_cost_walk *w, int r, double seconds);

/* ---- cost_post.c --------------------------------------------------------- */

/* All ranks put a slot; wait for what an evaluation shows of it. */
void weft_cost_put(weft_cost_walk *w, const weft_want *want, int slot);
void weft_cost_take(weft_cost_walk *w, int slot);
/* When the part of `from` was with `to`. */
double *weft_cost_came(weft_cost_walk *w, int slot, int to, int from);

#endif
