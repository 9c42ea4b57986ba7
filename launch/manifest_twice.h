/*
 * manifest_twice.h - ids and contents that stand in a manifest twice.
 *
 * Of each item two hashes of 64 bits are kept, 16 bytes, and sorted at the end;
 * what has the same hash is then compared in full, so that no coincidence is
 * taken for a duplicate. *Local*.
 */
#ifndef WEFT_LAUNCH_MANIFEST_TWICE_H
#define WEFT_LAUNCH_MANIFEST_TWICE_H

#include "launch/manifest.h"

typedef struct weft_twice {
    uint64_t *id, *content; /* [n]; content is NULL where none is looked at */
    size_t n, room;
    bool contents;
} weft_twice;

/* `t` begins as zeros but for `contents`. */
weft_status weft_twice_add(weft_twice *t, const weft_item *item,
                           const char *keys);
/* WEFT_EINPUT, with both lines, where two items are one. */
weft_status weft_twice_check(weft_twice *t, const weft_manifest *m);
void weft_twice_release(weft_twice *t);

#endif
