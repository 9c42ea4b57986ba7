/*
 * share.h - which images a group of ranks makes, and in which batches.
 *
 * First those that a checkpoint has in flight, the furthest ahead first, so
 * that no batch has to overtake another; then the others, in order. Images of
 * one batch enter at one stage. *Local*: the same on every rank of the group.
 */
#ifndef WEFT_LAUNCH_SHARE_H
#define WEFT_LAUNCH_SHARE_H

#include "launch/checkpoint.h"
#include "partition/plan.h"

typedef struct weft_share {
    int *image; /* [n], of the list of seeds */
    int n;
    const weft_saved **saved; /* [nsaved]: where the first of them are */
    int nsaved;
    int *first; /* [nbatches + 1], of image */
    int nbatches;
    int *begin; /* [nbegun]: the stage at which the first batches enter; the
                   others enter at 0 */
    int nbegun;
} weft_share;

/* All that is left to be made is dealt evenly to the plan's groups; this is the
 * part of group `group`. `from`: what was kept, or NULL; borrowed as long as
 * the share. */
weft_status weft_share_make(const weft_plan *p, const weft_checkpoint *from,
                            int group, weft_share *w);
/* The same for a group that makes all of `images` images but those that are
 * done: [images]. */
weft_status weft_share_left(int images, int batch, const weft_checkpoint *from,
                            const unsigned char *done, weft_share *w);
void weft_share_release(weft_share *w);

#endif
