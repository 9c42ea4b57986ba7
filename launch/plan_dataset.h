/*
 * plan_dataset.h - which item of a data set `weft plan` shows, and between
 * which others it lies. *Local*.
 */
#ifndef WEFT_LAUNCH_PLAN_DATASET_H
#define WEFT_LAUNCH_PLAN_DATASET_H

#include <stdio.h>

#include "launch/cli.h"
#include "launch/config.h"

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
} weft_plan_items;

/* For a data set *c becomes what a run's first kind is planned for; its
 * manifest is read and checked. Nothing changes for anything else. WEFT_EINPUT
 * names the line. */
weft_status weft_plan_dataset(const weft_cli *cli, weft_config *c,
                              weft_plan_items *of);
/* Nothing where all items are alike. `batch`: of the plan. */
void weft_plan_dataset_print(const weft_plan_items *of, const weft_config *c,
                             int batch, FILE *to);

#endif
