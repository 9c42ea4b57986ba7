/*
 * inspect.h - a file or folder in words, on one screen.
 *
 * Knows a model component (a folder with config.json), a folder of such
 * components, .safetensors and its index, PNG, and data sets. *Local*.
 */
#ifndef WEFT_LAUNCH_INSPECT_H
#define WEFT_LAUNCH_INSPECT_H

#include <stdio.h>

#include "core/status.h"

/* What `path` is decides its content, not its name. */
weft_status weft_inspect(const char *path, FILE *out);

#endif
