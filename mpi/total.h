/*
 * total.h - sums over whole images that are on several ranks.
 *
 * The patches of the first role's cut, which hold the image once, go to all
 * ranks that keep state; everybody adds them up in the order of the image, so
 * everybody has the same bytes as one rank alone. Where every rank holds the
 * image nothing is sent.
 */
#ifndef WEFT_MPI_TOTAL_H
#define WEFT_MPI_TOTAL_H

#include "core/guide/total.h"
#include "mpi/comm.h"
#include "partition/roles.h"

typedef struct weft_total_spec {
    const weft_comm *group;   /* lines of ranks, which have the same rows */
    const weft_roles *roles;  /* of lines: role 0 sends what is of its rows,
                                 sums are of the state's */
    int across;               /* ranks of a line */
    const int *first_strip;   /* [across + 1]: the strips of each; borrowed,
                                 must outlive the total */
    int unit, strip, columns; /* rows of a unit; columns of a strip and of the
                                 image */
    int most;                 /* sums at once */
    weft_traffic *traffic;    /* borrowed; counted as control */
} weft_total_spec;

/* Collective over the group. Release with weft_total_mpi_destroy. */
weft_status weft_total_mpi_create(const weft_total_spec *s, weft_total *t);
/* Collective over the group. One that is all zero is nothing. */
void weft_total_mpi_destroy(weft_total *t);

#endif
