/*
 * ranks.h - what each rank of a run sent, waited for and hid.
 *
 * A report's "rank" events and the table that `weft sample` ends with. What
 * counts as exposed and hidden: weft_traffic in core/exchange.h.
 */
#ifndef WEFT_LAUNCH_RANKS_H
#define WEFT_LAUNCH_RANKS_H

#include <stdio.h>

#include "launch/report.h"
#include "launch/sample.h"

/* One rank's numbers, in a form that MPI can gather. */
enum {
    WEFT_RANK_BYTES,
    WEFT_RANK_MESSAGES = WEFT_RANK_BYTES + WEFT_CLASSES,
    WEFT_RANK_EXPOSED = WEFT_RANK_MESSAGES + WEFT_CLASSES,
    WEFT_RANK_HIDDEN = WEFT_RANK_EXPOSED + WEFT_CLASSES,
    WEFT_RANK_SAMPLING = WEFT_RANK_HIDDEN + WEFT_CLASSES,
    WEFT_RANK_EXPOSED_ALL,
    WEFT_RANK_HIDDEN_ALL,
    WEFT_RANK_AGE,
    WEFT_RANK_NUMBERS,
};

typedef struct weft_ranks {
    int n;
    double (*rank)[WEFT_RANK_NUMBERS]; /* [n], owned; NULL but on rank 0 */
} weft_ranks;

/* Collective over the job. */
weft_status weft_ranks_collect(const weft_job *j, const weft_sampler *s,
                               weft_ranks *r);
void weft_ranks_release(weft_ranks *r);

/* Rank 0: one event for each rank. */
weft_status weft_ranks_report(const weft_ranks *r, weft_report *report);
/* Rank 0: "exposed_s" and "hidden_s" by class, means over ranks, and
 * "imbalance": the longest time at work of a rank against the mean. */
void weft_ranks_summary(const weft_ranks *r, json_t *fields);
/* Rank 0: a table by class and, where they are few, one by rank. */
void weft_ranks_print(const weft_ranks *r, FILE *to);

#endif
