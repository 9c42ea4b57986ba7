/*
 * lookout.h - how a whole data set job goes: on rank 0, for the person who
 * waits and for the report.
 *
 * What ranks write on the board of the queue is read now and then, between two
 * batches of rank 0's own. The report gets a "shard" event for each shard that
 * reached the shelf and a "minute" event every minute.
 */
#ifndef WEFT_LAUNCH_LOOKOUT_H
#define WEFT_LAUNCH_LOOKOUT_H

#include "launch/crew.h"
#include "launch/progress.h"
#include "launch/report.h"

typedef struct weft_lookout {
    const weft_crew *crew;
    int ranks;
    weft_report *report;
    weft_progress progress;
    bool *told; /* [entries], owned: its event is written */
    int done;   /* entries */
    double began, looked, minute;
    double before[WEFT_FACTS]; /* sums, a minute ago */
    double *busy;              /* [ranks], owned: a minute ago */
} weft_lookout;

/* *Local*, all of it. `items`: to be made. */
weft_status weft_lookout_open(const weft_crew *c, int ranks, int items,
                              weft_report *report, weft_lookout *l);
/* A weft_crew's watch. */
weft_status weft_lookout_look(void *lookout);
/* Sums over all ranks. */
void weft_lookout_sum(const weft_lookout *l, double sum[WEFT_FACTS]);
/* Whether all ranks have said that they have nothing more to do. */
bool weft_lookout_all_left(const weft_lookout *l);
/* The last events, and the last line. */
weft_status weft_lookout_end(weft_lookout *l);
void weft_lookout_close(weft_lookout *l);

#endif
