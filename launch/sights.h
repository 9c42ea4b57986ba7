/*
 * sights.h - the pictures that items of a data set name for control nets.
 *
 * When a manifest is read each is looked for, by its header alone: there may be
 * as many as items. They are read, whole, when their shard is begun: items of a
 * picture that is damaged fail, and the others are noted down in the shard's
 * mark,
 *
 *     "pictures": {"stamp": "0123...", "sha256": {"ID": "4567...", ...},
 *                  "faults": {"ID": "why it cannot be read", ...}}
 *
 * where the stamp is of the sizes and times of the files. Who goes on with the
 * data set reads a picture of a finished shard again only where the stamp is
 * another: a copied file is the same one, a changed one is refused. *Local*.
 */
#ifndef WEFT_LAUNCH_SIGHTS_H
#define WEFT_LAUNCH_SIGHTS_H

#include <jansson.h>

#include "launch/manifest.h"

typedef struct weft_sights {
    int kinds;                      /* of the shard */
    char **fault;                   /* [kinds]: why not, or NULL; owned */
    char (*sha256)[WEFT_HASH_TEXT]; /* [kinds], "" where there is none; owned */
    uint64_t seen;                  /* of all of them; 0: there is none */
    json_t *mark;                   /* as above, or NULL; owned */
} weft_sights;

/* Reads what the items name. Pictures that cannot be read are no failure. */
weft_status weft_sights_look(const weft_manifest *m, const weft_items *items,
                             weft_sights *s);
void weft_sights_release(weft_sights *s);

/* WEFT_EINPUT: a picture is not the one that shard k was made with, as its mark
 * says. */
weft_status weft_sights_check(const weft_manifest *m, int k,
                              const json_t *mark);

#endif
