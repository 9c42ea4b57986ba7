/*
 * commit.h - a shard whose items are all in a spool becomes one on the shelf.
 *
 * The members go into the shard in the order of their names, under a temporary
 * name, are synced and renamed; then the mark, likewise. A shard that was there
 * loses its mark first. At any moment a mark that is there is of a shard that
 * is whole. *Local*.
 */
#ifndef WEFT_LAUNCH_COMMIT_H
#define WEFT_LAUNCH_COMMIT_H

#include "launch/manifest.h"
#include "launch/shelf.h"
#include "launch/spool.h"

/* The items of shard k, [n], all of which are in the spool. `about`: more
 * members of the mark, such as timings; taken over. */
weft_status weft_commit(const weft_shelf *s, int k, const weft_item *item,
                        int n, const weft_spool *spool, json_t *about);

/* The items of a committed shard that did not fail go back into the spool. */
weft_status weft_commit_reload(const weft_shelf *s, int k,
                               const weft_item *item, int n, weft_spool *spool);

#endif
