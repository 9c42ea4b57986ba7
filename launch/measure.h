/*
 * measure.h - what the nets of a run cost on the ranks at hand.
 *
 * Each net is evaluated on a few rows by all threads of all ranks at the same
 * time, each rank by itself, so that ranks that share a processor, its caches
 * or its memory share them here too. Weights are zeros, which take as long as
 * any. Two tenths of a second for each net, or two evaluations of its smallest
 * patch.
 */
#ifndef WEFT_LAUNCH_MEASURE_H
#define WEFT_LAUNCH_MEASURE_H

#include "launch/setup.h"
#include "launch/topology.h"
#include "mpi/comm.h"

/* Collective over the job; `node`: my node's ranks. Fills in the speeds of
 * m->net, those of all nets together of m->cluster, and m->from, the same on
 * all ranks. */
weft_status weft_measure(weft_comm *world, weft_comm *node, const weft_setup *s,
                         const weft_topology *t, weft_machine *m);

#endif
