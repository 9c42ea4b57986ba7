/*
 * inspect_model.h - models in words: the part of inspect.c that knows weights
 * and folders. *Local*.
 */
#ifndef WEFT_LAUNCH_INSPECT_MODEL_H
#define WEFT_LAUNCH_INSPECT_MODEL_H

#include <stdio.h>

#include "core/status.h"

/* A model component, a scheduler, or a folder of such folders. */
weft_status weft_inspect_folder(const char *path, FILE *out);

/* A .safetensors file or index. */
weft_status weft_inspect_tensors(const char *path, FILE *out);

/* Text of a file's making, control characters as "?", at most `most` bytes. */
void weft_inspect_print(FILE *out, const char *text, size_t most);

#endif
