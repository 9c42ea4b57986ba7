/*
 * total.h - sums over whole images whose rows are on several ranks.
 *
 * The rows of one role's cut, which hold the image once, go to all ranks that
 * keep state; everybody adds them up in the order of the image, so everybody
 * has the same bytes as one rank alone. Where every rank holds all rows
 * nothing is sent.
 */
#ifndef WEFT_MPI_TOTAL_H
#define WEFT_MPI_TOTAL_H

#include "core/guide/total.h"
#include "mpi/comm.h"
#include "partition/roles.h"

typedef struct weft_total_spec {
    const weft_comm *group;
    const weft_span *have;  /* [ranks]: each unit at one rank */
    const weft_span *state; /* [ranks]: the rows that each has sums of */
    int unit;               /* rows of a unit */
    int most;               /* sums at once */
    weft_traffic *traffic;  /* borrowed; counted as control */
} weft_total_spec;

/* Collective over the group. Release with weft_total_mpi_destroy. */
weft_status weft_total_mpi_create(const weft_total_spec *s, weft_total *t);
/* Collective over the group. One that is all zero is nothing. */
void weft_total_mpi_destroy(weft_total *t);

#endif
