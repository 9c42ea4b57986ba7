/*
 * state.h - the folder where a run keeps what it has to go on from.
 *
 * `run.state`, or .weft beside the first output. There, under the name of the
 * first output:
 *
 *   NAME.lock           held while a run is at work on these outputs
 *   NAME.checkpoint     what was found when this run began; it never changes it
 *   NAME.checkpoint.G   what group G of the ranks wrote since
 *
 * Of each image the state that is furthest ahead counts, so it does not matter
 * which ranks wrote what, or that groups write at moments of their own, or that
 * there are more or fewer groups the next time. All is removed when all images
 * are complete.
 */
#ifndef WEFT_LAUNCH_STATE_H
#define WEFT_LAUNCH_STATE_H

#include "core/io/lock.h"
#include "launch/checkpoint.h"
#include "launch/config.h"

typedef struct weft_state {
    char *stem;     /* FOLDER/NAME; owned */
    char *identity; /* of this run's images, JSON; owned */
    weft_lock lock; /* rank 0 */
    bool found;     /* `from` is there */
    weft_checkpoint from;
} weft_state;

/* Local. Names, before the layout is fixed in the config: it is no part of what
 * the images are of. On failure, too, to be released. */
weft_status weft_state_init(const weft_config *c, weft_state *s);
/* Local, on rank 0: take the lock, try whether a checkpoint could be written,
 * and make one of those that are there. *any: is there one now? WEFT_EINPUT: it
 * is of something else, and the failure says what differs. */
weft_status weft_state_take(weft_state *s, const weft_checkpoint_fit *fit,
                            bool *any);
/* Local, on every rank after that: open the one. */
weft_status weft_state_open(weft_state *s, const weft_checkpoint_fit *fit);
/* The checkpoint of a group; owned. NULL without memory. */
char *weft_state_group(const weft_state *s, int group);
/* Local, on rank 0: all images are complete. */
void weft_state_remove(weft_state *s);
/* Gives the lock back. */
void weft_state_release(weft_state *s);

#endif
