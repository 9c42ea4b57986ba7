/*
 * grid.h - ranks to groups of patches.
 *
 * A group of `patches` ranks splits one batch of images; the groups share the
 * images out and never talk to each other. Rank r is patch r % patches of
 * group r / patches, so that a group's ranks are neighbours.
 */
#ifndef WEFT_PARTITION_GRID_H
#define WEFT_PARTITION_GRID_H

#include "core/status.h"

/* Patches of an image as users ask for them: lines of so many side by side. A
 * grid knows lines only: what it calls a rank is one. */
typedef struct weft_shape {
    int lines, across;
} weft_shape;

typedef struct weft_grid {
    int ranks, patches, groups;
} weft_grid;

/* patches 0: auto, the most ranks on one image that its `units` of rows and the
 * number of images allow. `across`: ranks of a line, for messages. WEFT_EINPUT
 * with the numbers where nothing fits. */
weft_status weft_grid_make(int ranks, int across, int patches, int units,
                           int images, weft_grid *g);

static inline int weft_grid_group(const weft_grid *g, int rank)
{
    return rank / g->patches;
}

static inline int weft_grid_patch(const weft_grid *g, int rank)
{
    return rank % g->patches;
}

#endif
