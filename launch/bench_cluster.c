/*
 * A file for `weft plan --cluster` of the machine at hand.
 *
 * Layers of all nets are timed with every rank at work and nothing exchanged,
 * so that the speeds are those of computing alone on whatever the ranks share.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/io/file.h"
#include "launch/bench.h"
#include "launch/cluster.h"
#include "launch/measure.h"
#include "mpi/link.h"

/* ---- links --------------------------------------------------------------- */

/* The first rank on another node than rank 0's, and on the same: or 0. */
static weft_status find_peers(const weft_bench *b, int *near, int *far)
{
    const int size = weft_comm_size(b->job.world);
    const int rank = weft_comm_rank(b->job.world);
    double host = weft_comm_rank(b->job.node) ? 0 : rank;
    double found[2] = {-size, -size};

    /* My node, as its first rank of the job. */
    WEFT_TRY(weft_comm_sum(b->job.node, &host, 1));
    if (rank > 0) found[host != 0] = -rank;
    WEFT_TRY(weft_comm_max(b->job.world, found, 2));
    *near = -found[0] < size ? (int)-found[0] : 0;
    *far = -found[1] < size ? (int)-found[1] : 0;
    return WEFT_OK;
}

/* Opposite messages that take turns are a link of half duplex. */
static weft_cost_link as_link(const weft_link_times *t)
{
    const bool half = t->bytes_per_s < 0.6 * t->one_way_bytes_per_s;

    return (weft_cost_link){.latency_s = t->latency_s,
                            .bytes_per_s = t->bytes_per_s * (half ? 2 : 1),
                            .message_s = t->message_s,
                            .byte_s = t->byte_s,
                            .half_duplex = half};
}

static weft_status measure_link(const weft_bench *b, int peer,
                                weft_cost_link *l)
{
    weft_link_times t;

    WEFT_TRY(weft_link_measure(b->job.world, 0, peer, &t));
    *l = as_link(&t);
    return WEFT_OK;
}

/* What there is one of only stands for the other; memory for both. */
static weft_status measure_links(const weft_bench *b, weft_cluster *c,
                                 const char **note)
{
    int near, far;

    WEFT_TRY(find_peers(b, &near, &far));
    *note = "";
    if (near) WEFT_TRY(measure_link(b, near, &c->inside));
    if (far) WEFT_TRY(measure_link(b, far, &c->between));
    if (near && !far) {
        c->between = c->inside;
        *note = "\n# One node: links.network is a copy of links.node.";
    } else if (!near && far) {
        c->inside = c->between;
        *note = "\n# A rank on each node: links.node is a copy of "
                "links.network.";
    } else if (!near) {
        c->inside = c->between = (weft_cost_link){
            .latency_s = 1e-6, .bytes_per_s = c->memory_bytes_per_s / 2};
        *note = "\n# One rank: links were not measured; these are its memory.";
    }
    return WEFT_OK;
}

/* ---- the file ------------------------------------------------------------ */

static weft_status write(const char *path, const weft_cluster *c,
                         const weft_cluster_facts *facts)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    weft_status st;

    if (!to) return weft_fail(WEFT_ENOMEM, "out of memory for a cluster");
    weft_cluster_write(c, facts, to);
    fclose(to);
    st = weft_file_save(path, text, bytes);
    free(text);
    return st;
}

/* Processors of the node: what its ranks have, or what they all share. */
static weft_status write_here(const weft_bench *b, weft_cluster *c,
                              const char *note)
{
    const weft_topology *t = &b->job.topology;
    weft_cluster_facts facts = {.note = note};
    double cpus = t->cpus;
    char topology[48];

    WEFT_TRY(weft_comm_sum(b->job.node, &cpus, 1));
    if (cpus == 0) cpus = t->node_cpus;
    snprintf(topology, sizeof topology, "pack:1 core:%.0f pu:1", cpus);
    facts.topology = topology;
    facts.processors = cpus / c->ranks_per_node;
    if (t->threads < facts.processors) facts.processors = t->threads;
    c->node_bytes = (double)t->node_memory_bytes;
    return b->speaks ? write(b->job.config.bench.cluster, c, &facts) : WEFT_OK;
}

weft_status weft_bench_cluster(weft_bench *b)
{
    const int ranks = weft_comm_size(b->job.world);
    weft_machine m = b->job.setup.machine;
    weft_cluster c;
    const char *note;

    WEFT_TRY(weft_measure(b->job.world, b->job.node, &b->job.setup,
                          &b->job.topology, &m));
    c = m.cluster;
    c.ranks_per_node = weft_comm_size(b->job.node);
    c.nodes = (ranks + c.ranks_per_node - 1) / c.ranks_per_node;
    WEFT_TRY(measure_links(b, &c, &note));
    return weft_comm_agree(b->job.world, write_here(b, &c, note));
}
