/*
 * gather_trace.h - the traces of all ranks in one file, on one clock.
 *
 * Clocks of hosts differ. Before the first step rank 0 plays a short game with
 * each rank: it sends, the rank answers with its time; of WEFT_TRACE_PINGS
 * rounds the quickest counts, and the answer is taken to have been given in the
 * middle of it. So the error is half a round trip at most, and clocks that run
 * at different speeds drift apart by what they drift during a run.
 */
#ifndef WEFT_MPI_GATHER_TRACE_H
#define WEFT_MPI_GATHER_TRACE_H

#include "core/trace.h"
#include "mpi/comm.h"

enum { WEFT_TRACE_PINGS = 16 };

/* Collective over c. *zero is the same moment on every rank's own clock. */
weft_status weft_trace_align(const weft_comm *c, double *zero);

/* Collective over c: rank 0 writes `path`, piece by piece, and renames it when
 * it is whole. All return the same. */
weft_status weft_trace_gather(const weft_comm *c, const weft_trace *t,
                              double zero, const char *path);

#endif
