/*
 * hold.h - one job at a time works on a folder, or on a slice of it.
 *
 * By flock() on `.lock`, so that it ends with the process, however that ends.
 * A job that does all of the folder excludes all others; jobs of slices exclude
 * those of the same slice. Where a file system has no locks everybody gets one:
 * then two jobs make the same bytes twice, and none is lost. *Local*, on rank
 * 0.
 */
#ifndef WEFT_LAUNCH_HOLD_H
#define WEFT_LAUNCH_HOLD_H

#include "core/status.h"

typedef struct weft_hold {
    int all, slice; /* descriptors; -1: none */
} weft_hold;

/* slices 1: the whole folder. WEFT_EINPUT: another job has it, and who. */
weft_status weft_hold_take(const char *dir, int slice, int slices,
                           weft_hold *h);
void weft_hold_release(weft_hold *h);

#endif
