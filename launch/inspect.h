/*
 * inspect.h - a file or folder in words, on one screen.
 *
 * Knows a model component (core/model/component.h), a tokenizer, a pipeline or
 * a folder of components, checkpoints in one file, LoRAs, other .safetensors
 * and their index, PNG, data sets, and checkpoints of a run. *Local*.
 */
#ifndef WEFT_LAUNCH_INSPECT_H
#define WEFT_LAUNCH_INSPECT_H

#include <stdio.h>

#include "core/status.h"

/* What `path` is, its content decides, not its name. WEFT_EINPUT: it is none of
 * these, or damaged. */
weft_status weft_inspect(const char *path, FILE *out);

#endif
