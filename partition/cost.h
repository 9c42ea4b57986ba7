/*
 * cost.h - how long an evaluation takes on machines that are not at hand.
 *
 * The nodes of a net are walked in order, on all ranks of a group at once, with
 * a clock for each rank and a time until which each port of a link is taken:
 *
 *     compute   operations over the speed of the layer's class; a layer
 *               without operations moves its input and output through memory
 *     put       takes the processors at both ends message_s and byte_s for each
 *               message and byte; meanwhile the message passes both ports at
 *               bytes_per_s, which those of one put share fairly, and arrives
 *               latency_s later
 *     get       waits for what a layer is shown: of this evaluation in step,
 *               of `lag` evaluations ago when displaced; attention in step for
 *               each line of patches when those before it were looked at
 *
 * Ranks that share a core compute one after the other, who is ready first goes
 * first, and each in the waits of the others; a rank that has waited goes on
 * when the one at work has ended its part of a layer. So does a core whose
 * other ranks belong to other groups, at its part of the core's speed.
 *
 * Puts pass a port one after the other, in the order of the net: what one sends
 * to several peers arrives at the same time, when all of it has passed, as it
 * does on connections that share a link. The ranks of a node have a port each
 * for what stays inside and share one for what leaves. What is not modelled:
 * switches that are slower than their ports, other jobs, ranks that stumble.
 *
 * Pure arithmetic: no MPI, no weights. *Local*.
 */
#ifndef WEFT_PARTITION_COST_H
#define WEFT_PARTITION_COST_H

#include "core/net/graph.h"
#include "core/wire.h"

/* Between two ranks. */
typedef struct weft_cost_link {
    double latency_s;         /* from start to arrival, without the bytes */
    double bytes_per_s;       /* one way */
    double message_s, byte_s; /* of a processor that computes, at each end */
    bool half_duplex;         /* the two ways share bytes_per_s */
} weft_cost_link;

/* Of one rank with all its threads; on a core that is shared, with its part of
 * the time. */
typedef struct weft_cost_speed {
    char kind[24]; /* weft_layer_ops.kind; "other": the rest */
    double flops_per_s;
} weft_cost_speed;

enum { WEFT_COST_SPEEDS = 16 };

typedef struct weft_cluster {
    int nodes, ranks_per_node;
    int cores; /* of a node that its ranks share; 0: each has its own */
    weft_cost_link inside, between; /* a node; nodes */
    weft_cost_speed speed[WEFT_COST_SPEEDS];
    int nspeeds;
    double memory_bytes_per_s; /* of one rank */
    double node_bytes;         /* memory of a node; 0: unknown */
} weft_cluster;

typedef struct weft_cost_how {
    int rank0;      /* of patch 0: which node it is on */
    int lag;        /* 0: in step */
    bool blocks;    /* put waits at once: nothing overlaps (in step) */
    bool silent;    /* nothing is exchanged: what remains is compute */
    weft_wire wire; /* of borders, keys and values */
} weft_cost_how;

/* What is supposed of ranks of one node with that device, each with `threads`
 * threads, as long as nobody measures: right within a factor of two on
 * processors of 2024, which is enough to compare layouts. */
weft_cluster weft_cost_nominal(const weft_device *dev, int threads);

/* WEFT_EINPUT: a class of layers of the net without a speed. */
weft_status weft_cost_check(const weft_graph *g, const weft_cluster *c);

/* Bytes that node i moves through memory on patch p of `cut`: what counts of a
 * layer without operations. */
double weft_cost_moved(const weft_graph *g, int i, int n, const weft_cut *cut,
                       int p);

/* Seconds that patch p of `cut` computes in one evaluation of `n` samples, its
 * messages aside. Every class must have a speed. */
double weft_cost_compute(const weft_graph *g, int n, const weft_cut *cut, int p,
                         const weft_cluster *c);

/* Seconds of one evaluation of `n` samples by the patches of `cut`, once it
 * goes on as it does. WEFT_EINPUT: a class of layers without a speed. */
weft_status weft_cost_of(const weft_graph *g, int n, const weft_cut *cut,
                         const weft_cluster *c, const weft_cost_how *how,
                         double *seconds);

#endif
