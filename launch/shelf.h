/*
 * shelf.h - the folder of a data set, and what lies where in it.
 *
 *   000123.tar      a shard, or the folder 000123 of its members
 *   000123.json     its mark: the shard is complete. Comes last and goes first
 *   .000123.part    items of a shard that is not complete (launch/spool.h)
 *   .000123.flight  ... and images that were in flight when a job was stopped
 *                   (launch/checkpoint.h)
 *
 * A mark is {"shard", "tar" or "folder", "bytes", "sha256", "items", "failed",
 * "status", "manifest", ...}. Hash and bytes are those of the tar, also where
 * the members lie in a folder: what is hashed is the tar that they would make.
 * `status` says of every item by its id what became of it.
 *
 * *Local*. Whatever is in the folder is hostile until read.
 */
#ifndef WEFT_LAUNCH_SHELF_H
#define WEFT_LAUNCH_SHELF_H

#include <jansson.h>
#include <stdbool.h>

#include "core/io/hash.h"
#include "core/io/tar.h"

enum { WEFT_SHELF_PATH = 4200 };

typedef struct weft_shelf {
    const char *dir;      /* borrowed */
    bool folder;          /* a folder per shard, not a tar */
    const char *manifest; /* hash of it, which marks must have; borrowed. NULL:
                             any */
} weft_shelf;

typedef enum weft_place_kind {
    WEFT_SHELF_SHARD,
    WEFT_SHELF_MARK,
    WEFT_SHELF_SPOOL,
    WEFT_SHELF_FLIGHT,
} weft_place_kind;

void weft_shelf_path(const weft_shelf *s, int k, weft_place_kind what,
                     char path[WEFT_SHELF_PATH]);

/* What is known of a shard without looking into it. */
typedef enum weft_shard_state {
    WEFT_SHARD_LEFT,    /* no mark, or one that does not fit what is there */
    WEFT_SHARD_DONE,    /* complete */
    WEFT_SHARD_FAILED,  /* complete, but for items that failed */
    WEFT_SHARD_DAMAGED, /* marked, and not as the mark says */
} weft_shard_state;

/* `verify`: hash all of it. WEFT_EINPUT: the mark is of another manifest. Of
 * DAMAGED the thread's failure text says why. *mark, where not NULL: the mark,
 * owned, or NULL. */
weft_status weft_shelf_look(const weft_shelf *s, int k, bool verify,
                            weft_shard_state *state, json_t **mark);

/* Remove what killed jobs left: half-written files, which have names of their
 * own. Whoever calls has slice `slice` of `slices` to itself; with all of the
 * folder those that are of no shard go too. */
void weft_shelf_sweep(const char *dir, int slice, int slices);

/* ---- members of a shard, in the order of their names --------------------- */

typedef struct weft_shard_reader {
    bool folder;
    char path[WEFT_SHELF_PATH];
    weft_tar tar;
    char **name; /* [n], of a folder */
    int n, next;
} weft_shard_reader;

weft_status weft_shard_open(const weft_shelf *s, int k, weft_shard_reader *r);
/* An empty name after the last. */
weft_status weft_shard_next(weft_shard_reader *r, weft_tar_member *m);
/* As weft_tar_read. */
weft_status weft_shard_read(const weft_shard_reader *r,
                            const weft_tar_member *m, size_t most, char **data);
void weft_shard_close(weft_shard_reader *r);

#endif
