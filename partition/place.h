/*
 * place.h - how many ranks each role gets, and how many batches are in flight.
 *
 * Candidates are laid out, costed (weft_plan_seconds: the busiest patch's work
 * and its messages, on plan->machine) and walked through the order of turns;
 * the one that ends first is taken. A candidate that is not at least a
 * fiftieth faster than one before it is not worth its messages or its memory;
 * those that hold less come first:
 *
 *   apart    each role has ranks of its own, in every proportion (where there
 *            are too many: that of the work, and what can be reached from it
 *            by moving one rank at a time to advantage)
 *   shared   every role has all ranks of the group
 *
 * Where the machine's memory is known, a candidate that no node has room for is
 * not taken.
 */
#ifndef WEFT_PARTITION_PLACE_H
#define WEFT_PARTITION_PLACE_H

#include "partition/plan.h"

typedef struct weft_place_opts {
    bool roles;     /* choose ranks; otherwise plan->role[] says them */
    int flights;    /* 0: choose */
    int batch;      /* 0: choose, at most `batch_most` */
    int batch_most; /* images that are worth having in one batch */
} weft_place_opts;

/* Fills in plan->group, role[].ranks, batch and flights of a plan that is asked
 * but not made. WEFT_EINPUT with the numbers where nothing fits. */
weft_status weft_place(const weft_place_opts *o, weft_plan *p);

#endif
