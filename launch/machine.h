/*
 * machine.h - what ranks are supposed to cost, and how that is known.
 *
 * Placement compares roles by it, the order of turns follows from it, and a
 * plan's times are made of it:
 *
 *   cluster    the file that parallel.cluster names
 *   measured   each net on a few rows, on all ranks at once, as a run begins
 *   nominal    operations at a rate by instruction set
 *
 * In step an image does not depend on it.
 */
#ifndef WEFT_LAUNCH_MACHINE_H
#define WEFT_LAUNCH_MACHINE_H

#include "launch/config.h"
#include "launch/models.h"
#include "partition/cost.h"

typedef enum weft_costs_from {
    WEFT_COSTS_NOMINAL,
    WEFT_COSTS_CLUSTER,
    WEFT_COSTS_MEASURED,
} weft_costs_from;

extern const char *const weft_costs_name[]; /* "nominal", ... */

/* Plain data: ranks send it to each other. */
typedef struct weft_machine {
    weft_costs_from from;
    weft_cluster cluster;
    weft_cluster net[WEFT_FILES]; /* measured: by file of the models */
} weft_machine;

/* Local: the cluster's file, or nominal costs. One rank on a node of unknown
 * memory, where no file says otherwise. `threads`: of each rank. */
weft_status weft_machine_find(const weft_config *c, int threads,
                              weft_machine *m);

#endif
