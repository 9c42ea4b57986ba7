/*
 * manifest_kinds.h - the kinds of items that were met while a manifest is read.
 *
 * A table of hashes, 16 bytes each, however long the keys are. Two kinds of one
 * hash would be taken for one here, so that the second is not checked before it
 * is planned; nothing else follows from it. *Local*.
 */
#ifndef WEFT_LAUNCH_MANIFEST_KINDS_H
#define WEFT_LAUNCH_MANIFEST_KINDS_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef struct weft_met {
    uint64_t hash; /* 0: nobody is here */
    float cost;    /* of one item, against others */
    int at;        /* of the manifest's kinds; -1: not kept there */
} weft_met;

/* Begins as zeros. */
typedef struct weft_kinds {
    weft_met *slot; /* [room], owned */
    size_t room, n;
} weft_kinds;

/* Of the first n bytes of keys; never 0. */
uint64_t weft_keys_hash(const char *keys, size_t n);

/* The place of that hash: it has it, or is empty and may be given it; then n is
 * for the caller to count. Valid until the next call. */
weft_status weft_kinds_find(weft_kinds *t, uint64_t hash, weft_met **place);
void weft_kinds_release(weft_kinds *t);

#endif
