/*
 * card.h - what a data set is of: `dataset.json` in its folder.
 *
 * The hash of the manifest, sizes and form of the shards, the config as an
 * identity without seed and label, and hashes of the models' files. Whoever
 * goes on with a data set must bring the same; what differs is said. *Local*,
 * on rank 0.
 */
#ifndef WEFT_LAUNCH_CARD_H
#define WEFT_LAUNCH_CARD_H

#include <jansson.h>

#include "launch/manifest.h"

/* Reads all files of all models. *card is owned. */
weft_status weft_card_make(const weft_config *c, const weft_manifest *m,
                           json_t **card);
/* The card in the folder `dir` must say the same; where there is none, this one
 * is written. WEFT_EINPUT: what differs. */
weft_status weft_card_check(const char *dir, const json_t *card);
/* The card in a folder; *card is owned, NULL where there is none. */
weft_status weft_card_read(const char *dir, json_t **card);
/* One number for all that it says. */
weft_status weft_card_hash(const json_t *card, char text[WEFT_HASH_TEXT]);

#endif
