/*
 * inspect_model.h - models in words: the part of inspect.c that knows weights
 * and folders. *Local*.
 */
#ifndef WEFT_LAUNCH_INSPECT_MODEL_H
#define WEFT_LAUNCH_INSPECT_MODEL_H

#include <stdbool.h>
#include <stdio.h>

#include "core/status.h"

/* A model component, a scheduler, a tokenizer, a pipeline, or a folder of such
 * folders. */
weft_status weft_inspect_folder(const char *path, FILE *out);

/* A pipeline, in a folder (FOLDER:VARIANT too) or in one file, and whether weft
 * can sample with it. Fails, when all is said, where a component cannot be
 * read. */
weft_status weft_inspect_pipeline(const char *path, FILE *out);

/* One component, as core/model/component.h names it, under `name`; `brief`:
 * without its tensors. *runs: whether weft can run it; else it says why not. */
weft_status weft_inspect_part(const char *path, const char *name, bool brief,
                              bool *runs, FILE *out);

/* A schedule's folder; *runs: whether a solver can go by it. */
weft_status weft_inspect_schedule(const char *path, const char *name,
                                  bool *runs, FILE *out);

/* "NAME: CLASS" and a line feed. */
void weft_inspect_head(FILE *out, const char *name, const char *class_name);

/* A .safetensors file or index. */
weft_status weft_inspect_tensors(const char *path, FILE *out);

/* Text of a file's making, control characters as "?", at most `most` bytes. */
void weft_inspect_print(FILE *out, const char *text, size_t most);

#endif
