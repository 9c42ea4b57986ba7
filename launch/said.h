/*
 * said.h - what an item of a data set says in words. *Local*.
 */
#ifndef WEFT_LAUNCH_SAID_H
#define WEFT_LAUNCH_SAID_H

#include "launch/config.h"
#include "launch/manifest_item.h"

/* The texts of a line; *said is zeros before, and to be released whatever
 * happens. */
weft_status weft_said_take(const weft_words *w, weft_said *said);
void weft_said_release(weft_said *said);

/* `prompts` as it stands in a line, {"MODEL": "TEXT", ...}: MODEL\0TEXT\0...\0
 * by model; owned. WEFT_EINPUT if it is anything else. */
weft_status weft_said_own(const char *json, size_t bytes, char **own);
/* The bytes of such a list, with its end. */
size_t weft_said_bytes(const char *own);
/* The text for a model; NULL: none of its own. */
const char *weft_said_for(const char *own, const char *model);

/* A config says what an item does, in place of its own words: plans are made
 * for one item, and the others' texts are as long. */
weft_status weft_said_tell(const weft_said *said, weft_config *c);

#endif
