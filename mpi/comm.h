/*
 * comm.h - the ranks of a job, and what all of them do together.
 *
 * A process that no launcher started is a job of one and never touches MPI:
 * it starts in milliseconds and needs no daemon. Under mpirun or srun MPI is
 * initialised (serialized: one thread at a time communicates; background.h).
 * Callers see no difference. Nobody but this folder includes <mpi.h>.
 */
#ifndef WEFT_MPI_COMM_H
#define WEFT_MPI_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef struct weft_comm weft_comm;

/* Collective over the job; call once, early. */
weft_status weft_comm_open(weft_comm **job);
/* Collective over the job. NULL is nothing. */
void weft_comm_close(weft_comm *job);

/* Local. */
int weft_comm_rank(const weft_comm *c);
int weft_comm_size(const weft_comm *c);

/* Local, before weft_comm_open() too: the MPI that weft is built with and its
 * version, in `room` bytes with the zero; 80 are enough. */
void weft_comm_library(char *name, size_t room);

/* Collective over c: the ranks of equal `color`, ordered by rank. */
weft_status weft_comm_split(const weft_comm *c, int color, weft_comm **part);
/* Collective over c: the ranks that share this node's memory. */
weft_status weft_comm_node(const weft_comm *c, weft_comm **node);
/* Local to the members of a split comm; not for the job. NULL is nothing. */
void weft_comm_free(weft_comm *c);

/* Collective over c. Everybody leaves with the same status: the gravest that
 * any rank brings, and the words of the lowest rank that brings it. What one
 * rank alone found is preceded by its rank and host, unless rank 0 found it. */
weft_status weft_comm_agree(const weft_comm *c, weft_status mine);

/* Collective over c. WEFT_EINPUT, naming the first rank that differs, unless
 * all bring the same value; `what` says what it is: "the plan". */
weft_status weft_comm_same(const weft_comm *c, uint64_t value,
                           const char *what);

/* Collective over c: bytes of rank 0 for all. On the others *data is
 * allocated and theirs. */
weft_status weft_comm_share(const weft_comm *c, char **data, size_t *bytes);

/* Collective over c: sums, and the largest, of n numbers; in place, on all. */
weft_status weft_comm_sum(const weft_comm *c, double *v, int n);
weft_status weft_comm_max(const weft_comm *c, double *v, int n);
/* Collective over c: n numbers of every rank to rank 0's all[size][n]. */
weft_status weft_comm_collect(const weft_comm *c, const double *mine, int n,
                              double *all);
/* Collective over c: nobody leaves before all have come. */
weft_status weft_comm_barrier(const weft_comm *c);

/* Local. End the whole job now: a rank that cannot go on in a step. Prints the
 * failure with rank and host first. The exit code is 1, whatever failed. */
_Noreturn void weft_comm_abort(const weft_comm *c);

#endif
