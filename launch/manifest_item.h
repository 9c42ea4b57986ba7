/*
 * manifest_item.h - what the fields of a line say of an item. *Local*.
 */
#ifndef WEFT_LAUNCH_MANIFEST_ITEM_H
#define WEFT_LAUNCH_MANIFEST_ITEM_H

#include "launch/manifest.h"
#include "launch/manifest_line.h"

enum { WEFT_KEYS_ROOM = 1 << 13 };

/* All but the kind; `keys` has what makes it: "sample.KEY=VALUE\n" for each
 * other field, by key, with numbers in their shortest form. */
weft_status weft_item_take(const weft_line *l, weft_item *item,
                           char keys[WEFT_KEYS_ROOM]);

#endif
