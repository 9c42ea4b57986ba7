/*
 * topology.h - which processors this rank computes on, by hwloc.
 *
 * What the launcher or the batch system allows is the inherited affinity mask;
 * a rank never leaves it. Ranks of one node that inherited the same mask share
 * it out among themselves: contiguous runs of cores, so that a rank's threads
 * share caches, and within a share every core's first hardware thread before
 * any second one. A mask that is mine alone I use in full.
 *
 * *Local*: whether masks are shared is for the caller to find out, by
 * comparing weft_topology_mask() over the node's ranks.
 */
#ifndef WEFT_LAUNCH_TOPOLOGY_H
#define WEFT_LAUNCH_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

typedef struct weft_topology {
    int threads;   /* to start, at least 1 */
    int *cpu;      /* [threads], owned: one to bind each thread to; NULL: bind
                      nothing (more threads than processors) */
    int cpus;      /* processors of my share, 0: none of my own */
    int cores;     /* that these belong to */
    int node_cpus; /* processors that my mask allows */
    int numa;      /* the one memory node of my share; -1: several */
    char package[80]; /* the processor's name; "" if unknown */
    uint64_t node_memory_bytes;
} weft_topology;

/* A number that is equal for equal affinity masks. */
uint64_t weft_topology_mask(void);

/* Rank `local_rank` of `local_size` on this node. `want_threads` 0: one for
 * every processor of my share. More ranks than processors: one thread,
 * unbound. A few milliseconds. */
weft_status weft_topology_discover(int local_rank, int local_size,
                                   bool masks_shared, int want_threads,
                                   weft_topology *t);
weft_status weft_topology_copy(const weft_topology *from, weft_topology *t);
void weft_topology_release(weft_topology *t);

/* The same on a machine described by hwloc's `synthetic` text ("pack:2 core:4
 * pu:2"), all of it allowed: for tests and for `weft plan`. */
weft_status weft_topology_synthetic(const char *synthetic, int local_rank,
                                    int local_size, bool masks_shared,
                                    int want_threads, weft_topology *t);

#endif
