/*
 * spool.h - the finished items of a shard that is not finished.
 *
 * A file beside the shards, `.000123.part`: items in the order in which they
 * were made, each with a hash of all that it says. It is appended to and never
 * synced; whoever opens it takes what is whole and goes on behind it, so a job
 * that is killed loses the items that were being made, whatever else happens. A
 * spool belongs to one process: while another one has it, a second gets a
 * nameless one that ends with it.
 *
 * A spool is hostile until read.
 */
#ifndef WEFT_LAUNCH_SPOOL_H
#define WEFT_LAUNCH_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/io/hash.h"

/* What became of an item. */
typedef enum weft_outcome {
    WEFT_MADE,
    WEFT_NAN,    /* not a number */
    WEFT_BLACK,  /* without any light */
    WEFT_UNSEEN, /* its control picture cannot be read */
    WEFT_OUTCOMES,
} weft_outcome;

extern const char *const weft_outcome_name[WEFT_OUTCOMES]; /* in a mark */

enum { WEFT_MEMBERS = 4, WEFT_SUFFIX = 24 };

/* One file of an item. */
typedef struct weft_member {
    char suffix[WEFT_SUFFIX]; /* "png": the name is ID.png */
    const void *data;         /* to be written; borrowed */
    uint64_t bytes;
    uint64_t at; /* in the spool */
} weft_member;

typedef struct weft_spooled {
    bool there;
    weft_outcome outcome;
    weft_member member[WEFT_MEMBERS];
    int members;
} weft_spooled;

typedef struct weft_spool {
    int fd;
    char *path; /* owned */
    bool named; /* the file has a name, which is `path` */
    uint64_t end;
    weft_spooled *item; /* [items], by their number in the shard; owned */
    int items, found;   /* found: how many are there */
} weft_spool;

/* `about`: whatever must be the same for old items to be of use; what was kept
 * under another is dropped. */
weft_status weft_spool_open(const char *path, const char about[WEFT_HASH_TEXT],
                            int items, weft_spool *s);
/* An item that is not there yet. Failures leave it so. */
weft_status weft_spool_add(weft_spool *s, int item, weft_outcome outcome,
                           const weft_member *member, int members);
/* The bytes of a member; to: [bytes] */
weft_status weft_spool_read(const weft_spool *s, const weft_member *m,
                            void *to);
/* `remove`: the shard is finished. */
void weft_spool_close(weft_spool *s, bool remove);

#endif
