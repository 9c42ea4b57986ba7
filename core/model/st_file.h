/*
 * st_file.h - one .safetensors file, mapped and checked; for safetensors.c,
 * which makes one model of one file or of several shards.
 */
#ifndef WEFT_CORE_MODEL_ST_FILE_H
#define WEFT_CORE_MODEL_ST_FILE_H

#include <jansson.h>
#include <stddef.h>

#include "core/model/safetensors.h"

enum { WEFT_ST_MAX_HEADER = 100000000 }; /* as the format's own library */

typedef struct weft_st_file {
    char *path;
    unsigned char *map; /* the whole file */
    size_t bytes;
    int n;
    weft_st_tensor *tensor; /* by name order */
    char *names;            /* the text of all names */
    json_t *metadata;       /* an object of strings, or NULL */
} weft_st_file;

weft_status weft_st_file_init(weft_st_file *f, const char *path);
void weft_st_file_release(weft_st_file *f);

/* By name in an array in name order; NULL if it is not there. */
const weft_st_tensor *weft_st_search(const weft_st_tensor *tensor, int n,
                                     const char *name);
void weft_st_sort(weft_st_tensor *tensor, int n);

/* Makes these the tensors of st, in place of those of its files: parts of
 * them, or what lies in `memory`, where their names do. Takes both over (free),
 * whatever happens. WEFT_EINPUT where two have one name. */
weft_status weft_st_replace(weft_st *st, weft_st_tensor *tensor, int n,
                            void *memory);

/* Bytes of a tensor; fails, without naming it, if dtype or shape are not
 * right or too large. */
weft_status weft_st_size(const char *dtype, int ndim, const int64_t *shape,
                         size_t *bytes);

#endif
