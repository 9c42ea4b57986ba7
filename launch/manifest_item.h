/*
 * manifest_item.h - what the fields of a line say of an item. *Local*.
 */
#ifndef WEFT_LAUNCH_MANIFEST_ITEM_H
#define WEFT_LAUNCH_MANIFEST_ITEM_H

#include "launch/manifest.h"
#include "launch/manifest_line.h"

enum { WEFT_KEYS_ROOM = 1 << 13, WEFT_CAPTION_ROOM = 1 << 12 };

/* What a line says beside id, seed and label. Keys are "sample.KEY=VALUE\n" by
 * key, numbers in their shortest form. */
typedef struct weft_words {
    char keys[WEFT_KEYS_ROOM];
    char kind[WEFT_KEYS_ROOM];       /* the same, prompts as if they were "" */
    char caption[WEFT_CAPTION_ROOM]; /* or the prompt; "": none */
    const weft_line_field *prompt, *negative,
        *own; /* of the line; NULL: none */
} weft_words;

/* All but the kind, the caption and the prompts of the item; those are in w. */
weft_status weft_item_take(const weft_line *l, weft_item *item, weft_words *w);

/* What stands behind "sample.KEY=" in such keys, up to the line's end; NULL:
 * nothing. */
const char *weft_keys_find(const char *keys, const char *key);

#endif
