/*
 * cluster.h - machines that are not at hand, from a file of YAML or JSON.
 *
 *     nodes: 2
 *     ranks_per_node: 4
 *     topology: "pack:2 core:16 pu:1"   # one node, as hwloc describes it
 *     memory_gib: 256                   # of a node; not needed
 *     device:                           # of one rank
 *       processors: 8                   # with which the speeds were measured
 *       gflops: { conv3x3: 800, attention: 400, norm: 30, other: 100 }
 *       memory_gbytes_per_s: 40
 *     links:                            # between two ranks ...
 *       node:    { latency_us: 1, gbytes_per_s: 8 }      # ... of a node
 *       network: { latency_us: 20, gbytes_per_s: 12.5,   # ... of two nodes
 *                  message_us: 1, byte_ns: 0.1, duplex: full }
 *
 * `weft bench CONFIG bench.cluster=FILE` writes one for the machine at hand, to
 * be copied and changed. message_us and byte_ns are what a message and a byte
 * cost a processor that computes. A rank with another share of its node's
 * processors than device.processors is taken to be faster or slower in
 * proportion. Where a node has more ranks than processors they take turns on
 * them (partition/cost.h).
 *
 * The file may be hostile: it is read as a config is (config_tree.h). *Local*.
 */
#ifndef WEFT_LAUNCH_CLUSTER_H
#define WEFT_LAUNCH_CLUSTER_H

#include <stdio.h>

#include "partition/cost.h"

/* `threads`: of each rank, 0: one for each processor of its share. WEFT_EINPUT
 * with file and line: unknown, missing and wrong keys. */
weft_status weft_cluster_read(const char *path, int threads, weft_cluster *c);

/* The file for `c`, of nodes as `topology` says, measured with `processors` a
 * rank; `note` says what was not measured, or "". */
typedef struct weft_cluster_facts {
    const char *topology, *note;
    double processors;
} weft_cluster_facts;
void weft_cluster_write(const weft_cluster *c, const weft_cluster_facts *facts,
                        FILE *to);

#endif
