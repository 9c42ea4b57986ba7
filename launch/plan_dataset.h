/*
 * plan_dataset.h - which item of a data set `weft plan` shows, and between
 * which others it lies. *Local*.
 */
#ifndef WEFT_LAUNCH_PLAN_DATASET_H
#define WEFT_LAUNCH_PLAN_DATASET_H

#include <stdio.h>

#include "launch/cli.h"
#include "launch/config.h"
#include "launch/setup.h"

/* Of one kind of items. */
typedef struct weft_plan_kind {
    int steps, width, height;
    long long line; /* of its first item; 0 in a rule */
} weft_plan_kind;

typedef struct weft_plan_items {
    int items; /* of the slice; 0: this is no data set */
    int shard_size;
    long long kinds; /* of the manifest */
    long long first; /* the line of what is planned */
    weft_plan_kind shortest, longest, smallest, largest; /* of those kept */
    weft_config most; /* what the largest are planned for, where they are larger
                         than the first; else all zero */
    size_t most_bytes; /* that a rank takes for them; 0: not known */
} weft_plan_items;

/* For a data set *c becomes what a run's first kind is planned for; its
 * manifest is read and checked. Nothing changes for anything else. WEFT_EINPUT
 * names the line. On failure there is nothing to be released. */
weft_status weft_plan_dataset(const weft_cli *cli, weft_config *c,
                              weft_plan_items *of);
void weft_plan_dataset_release(weft_plan_items *of);
/* Plans the largest items, as a run would once `first` has been planned. */
weft_status weft_plan_dataset_most(const weft_setup *first,
                                   weft_plan_items *of);
/* Nothing where all items are alike. */
void weft_plan_dataset_print(const weft_plan_items *of, const weft_setup *first,
                             FILE *to);
void weft_plan_dataset_json(const weft_plan_items *of, FILE *to);

#endif
