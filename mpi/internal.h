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

/* What a wait is for, in the words of its message. */
typedef struct weft_awaited {
    const weft_comm *comm; /* whose rank `peer` is */
    int peer;              /* -1: all of them */
    bool out;              /* to the peer, not from it */
    const char *what;      /* "agreeing"; in an evaluation the layer */
    const char *class;     /* of message, or NULL */
    const char *lane;      /* in an evaluation; else NULL */
    int evaluation, slot;
} weft_awaited;

/* mpi/watch.c, *Local*: until the request is complete. The process ends if that
 * takes longer than the deadline. */
weft_status weft_watch_wait(MPI_Request *r, const weft_awaited *a);
/* The same for a collective operation over c that `code` says was begun. */
weft_status weft_watch_all(int code, MPI_Request *r, const weft_comm *c,
                           const char *what);
/* Around a collective call over c that can only block: all meet before it; if
 * it takes longer than the deadline the process ends. */
weft_status weft_watch_guard(const weft_comm *c, const char *what);
void weft_watch_unguard(void);
/* Around MPI's start, which may take as long as it likes but not in silence. */
void weft_watch_starting(bool yes);
/* Collective over the job, which must live until weft_watch_finalize(): the
 * end of MPI. */
weft_status weft_watch_open(const weft_comm *job);
void weft_watch_finalize(void);
/* While something is waited for, `look` is called now and then; it never waits.
 * NULL: nothing is. */
void weft_watch_idle(void (*look)(void *), void *arg);
/* Prints where this rank is and why it ends. */
void weft_watch_fail(const char *why);

/* WEFT_ECOMM with MPI's own words. */
weft_status weft_mpi_check(int code, const char *what);

#endif
