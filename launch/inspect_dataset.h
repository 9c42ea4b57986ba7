/*
 * inspect_dataset.h - the folder of a data set in words, and to look at.
 * *Local*.
 */
#ifndef WEFT_LAUNCH_INSPECT_DATASET_H
#define WEFT_LAUNCH_INSPECT_DATASET_H

#include <stdbool.h>
#include <stdio.h>

#include "core/status.h"

/* Whether weft dataset made this folder. */
bool weft_is_dataset(const char *path);

/* What is done, left and failed; writes the contact sheet (contact.h).
 * `verify`: hash every shard; WEFT_EIO, and their names, if some are damaged.
 */
weft_status weft_inspect_dataset(const char *path, bool verify, FILE *out);

#endif
