/*
 * endure.h - a run that can be stopped and goes on.
 *
 * On SIGUSR1, to any rank, all ranks of a group stop before the same turn and
 * write what is in flight to a checkpoint; so they do, and go on, every
 * run.checkpoint steps or seconds. The same command finds it and goes on from
 * there, on any number of ranks.
 */
#ifndef WEFT_LAUNCH_ENDURE_H
#define WEFT_LAUNCH_ENDURE_H

#include "launch/keeper.h"
#include "launch/sample.h"
#include "launch/state.h"

enum { WEFT_EXIT_AGAIN = 75 }; /* of a run that was stopped with work left */

typedef struct weft_endure {
    weft_job *job;
    weft_state state;
    weft_keeper keeper;
    weft_share share;
    char *weights;       /* hashes of the files of weights; owned */
    char *path;          /* of my group's checkpoint; owned */
    unsigned char *done; /* [images], as far as this rank knows; owned */
    int complete;        /* images that were when this run began */
    bool stopped;
} weft_endure;

/* Collective over the job, when it is planned: what there is to go on from. On
 * failure, too, to be released. */
weft_status weft_endure_find(weft_job *j, weft_endure *e);
/* Collective over the job, when weights have been compared: what is to be done
 * by whom. */
weft_status weft_endure_begin(weft_endure *e);
/* Collective over the group: a weft_pause of a sampler's voyage. */
weft_status weft_endure_pause(weft_endure *e, weft_sampler *s, int turn,
                              int steps, bool *stop);
/* Local: this image is written. */
void weft_endure_done(weft_endure *e, int image);

/* How a job stands. */
typedef struct weft_standing {
    int images, complete, in_flight;
    bool stopped; /* some group was */
} weft_standing;

/* Collective over the job, when no group goes on: the same on all. */
weft_status weft_endure_end(weft_endure *e, const weft_sampler *s,
                            weft_standing *end);
/* Collective over the job. */
void weft_endure_release(weft_endure *e);

#endif
