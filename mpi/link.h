/*
 * link.h - what messages between two ranks cost, measured.
 */
#ifndef WEFT_MPI_LINK_H
#define WEFT_MPI_LINK_H

#include "mpi/comm.h"

typedef struct weft_link_times {
    double latency_s;   /* of a message of a few bytes, one way */
    double bytes_per_s; /* each way, both ways at once */
    double one_way_bytes_per_s;
    double message_s, byte_s; /* of a processor that computes meanwhile, for
                                 each message and byte that leaves or comes */
} weft_link_times;

/* Collective over c: ranks a and b measure, the others wait; *t is the same on
 * all. A second or two. */
weft_status weft_link_measure(const weft_comm *c, int a, int b,
                              weft_link_times *t);

#endif
