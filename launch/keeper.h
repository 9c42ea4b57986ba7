/*
 * keeper.h - when the ranks of a group write what is in flight to a checkpoint.
 *
 * On SIGUSR1 to any rank of the job, and then they end; every run.checkpoint
 * steps or seconds, and then they go on. All of a group do it before the same
 * turn (mpi/summons.h). Single runs and data sets alike.
 */
#ifndef WEFT_LAUNCH_KEEPER_H
#define WEFT_LAUNCH_KEEPER_H

#include "launch/config.h"
#include "mpi/summons.h"

typedef struct weft_keeper {
    weft_summons *summons;
    double seconds; /* between two checkpoints; 0: only when asked */
    int steps;      /* likewise */
    bool clock;     /* I look at it for all */
    bool asked;     /* for the end */
    double at;      /* clock: the last one, or the beginning */
    int after;      /* steps: likewise */
} weft_keeper;

/* Collective over the job; `group` is my part of it. k must not move. */
weft_status weft_keeper_open(const weft_config *c, const weft_comm *job,
                             const weft_comm *group, weft_keeper *k);
/* Collective over the job. */
void weft_keeper_close(weft_keeper *k);

/* Collective over the group: what it does before this turn, `steps` after its
 * beginning. INT_MAX: behind its last one, where there is nothing to do. */
weft_status weft_keeper_heed(weft_keeper *k, int turn, int steps,
                             weft_reason *why);
/* Local: it is written, however long that took. */
void weft_keeper_kept(weft_keeper *k);

#endif
