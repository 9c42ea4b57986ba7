/*
 * redistribute.h - rows from those who computed them to those who need them.
 *
 * Each rank of a group owns a span of rows and wants another; the overlaps go
 * point to point, by persistent requests made in the plan, and what a rank
 * wants of itself is copied. Posting never waits for a receiver, so that a
 * rank can go on with the next sample while others are busy with this one:
 *
 *     ready()  what I posted last has left: my rows may be written again
 *     post()   my rows are there: send them, and receive what I want
 *     wait()   what I want has arrived
 *
 * All ranks post the same redistributions in the same order.
 */
#ifndef WEFT_MPI_REDISTRIBUTE_H
#define WEFT_MPI_REDISTRIBUTE_H

#include "mpi/comm.h"
#include "partition/roles.h"

/* Requests of one use travel on a communicator of their own. */
typedef struct weft_crossroads weft_crossroads;
typedef struct weft_redistribute weft_redistribute;

/* Collective over the group: where its redistributions meet. Payload is
 * counted in `traffic`, which is borrowed. */
weft_status weft_crossroads_open(const weft_comm *group, weft_traffic *traffic,
                                 weft_crossroads **c);
/* Collective over the group, after its redistributions were destroyed. NULL is
 * nothing. */
void weft_crossroads_close(weft_crossroads *c);
/* Local. */
int weft_crossroads_ranks(const weft_crossroads *c);
/* Local. Progress with whatever is under way. */
void weft_crossroads_poll(weft_crossroads *c);

typedef struct weft_redistribute_spec {
    const weft_span *have, *want; /* [ranks of the group], borrowed for the
                                     call; have[] hold every wanted unit once */
    size_t unit_bytes;
    weft_class class;
    const char *what; /* borrowed; names it in messages */
    void *mine;       /* my rows, from have[me].from on */
    void *all;        /* what I want, from want[me].from on; may hold mine, each
                         row in its place */
} weft_redistribute_spec;

/* Local, but every rank of the group makes the same ones in the same order. */
weft_status weft_redistribute_create(weft_crossroads *c,
                                     const weft_redistribute_spec *s,
                                     weft_redistribute **r);
/* Local. Nothing may be under way. NULL is nothing. */
void weft_redistribute_destroy(weft_redistribute *r);

/* Local, as described above; the first and the last wait. WEFT_ECOMM. */
weft_status weft_redistribute_ready(weft_redistribute *r);
weft_status weft_redistribute_post(weft_redistribute *r);
weft_status weft_redistribute_wait(weft_redistribute *r);

#endif
