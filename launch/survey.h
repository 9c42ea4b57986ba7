/*
 * survey.h - what of a data set is done, and in which order the rest is made.
 *
 * The folder is looked through by all ranks together, each a part of it.
 */
#ifndef WEFT_LAUNCH_SURVEY_H
#define WEFT_LAUNCH_SURVEY_H

#include "launch/shelf.h"
#include "launch/stock.h"

typedef struct weft_survey {
    unsigned char *state; /* [shards], weft_shard_state; owned */
    int *queue;           /* [entries], shards to be made; owned */
    int entries;
    int done, failed; /* shards of my slice that are not to be made */
    int64_t items;    /* of the queue */
} weft_survey;

typedef struct weft_survey_spec {
    weft_comm *world;
    const weft_shelf *shelf;
    const weft_manifest *manifest;
    const weft_stock *stock;
    bool verify; /* hash all that is done */
    bool retry;  /* what failed is to be made again */
} weft_survey_spec;

/* Collective over the job: the same on all ranks. Damaged shards are said on
 * standard error and made again. Those that take longest come first. */
weft_status weft_survey_make(const weft_survey_spec *spec, weft_survey *s);
void weft_survey_release(weft_survey *s);

#endif
