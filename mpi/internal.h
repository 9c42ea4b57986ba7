/*
 * internal.h - what the files of this folder share.
 */
#ifndef WEFT_MPI_INTERNAL_H
#define WEFT_MPI_INTERNAL_H

#include <mpi.h>

#include "mpi/comm.h"

struct weft_comm {
    bool alone; /* no MPI in this process */
    bool owned; /* a split: freed with MPI_Comm_free */
    MPI_Comm mpi;
    int rank, size;
    char host[256];
};

/* WEFT_ECOMM with MPI's own words. */
weft_status weft_mpi_check(int code, const char *what);

#endif
