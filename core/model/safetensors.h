/*
 * safetensors.h - tensors in files, as memory maps.
 *
 * Opens one .safetensors file, or the sharded form through its index.json,
 * checks everything the format promises before any tensor is used (header
 * length, JSON, dtypes, shapes, offsets, no holes, no overlap, exact file
 * length), and hands out pointers into the map. Nothing is copied. Files are
 * hostile until checked: whatever is in them, what is handed out lies inside.
 * A file that another process shortens while it is open is not guarded
 * against.
 */
#ifndef WEFT_CORE_MODEL_SAFETENSORS_H
#define WEFT_CORE_MODEL_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

enum { WEFT_MAX_DIMS = 8 };

/* `bytes` is always what dtype and shape say, and no product of shape's
 * numbers overflows. */
typedef struct weft_st_tensor {
    const char *name;  /* valid while the file is open */
    const char *dtype; /* as in the file: "F32", "F16", "BF16", "I64", ... */
    int ndim;          /* 0: a scalar */
    int64_t shape[WEFT_MAX_DIMS];
    const void *data; /* row by row; need not be aligned to its type */
    size_t bytes;
} weft_st_tensor;

/* Bits of one element: 4 to 64; 0 if the format has no such dtype. */
int weft_st_dtype_bits(const char *dtype);

typedef struct weft_st weft_st;

/* `path`: a .safetensors file, or an index (a name that ends in .json) whose
 * weight_map says which file beside it has which tensor. Tensors of those
 * files that the map does not give to them are checked and left out. */
weft_status weft_st_open(const char *path, weft_st **st);
void weft_st_close(weft_st *st);

/* Have the tensors of `other`, too, under names with `prefix` before them. `st`
 * takes `other` over, unless this fails. Tensors that were handed out move. */
weft_status weft_st_join(weft_st *st, const char *prefix, weft_st *other);

int weft_st_count(const weft_st *st);
const weft_st_tensor *weft_st_at(const weft_st *st, int i); /* by name order */
const weft_st_tensor *weft_st_find(const weft_st *st, const char *name);
/* A string of __metadata__ (of the first file that has the key), or NULL. */
const char *weft_st_metadata(const weft_st *st, const char *key);
const char *weft_st_path(const weft_st *st);
/* The path of the file, of those that were joined, which a tensor of that name
 * is in or would be; *name is then what it is called there. */
const char *weft_st_home(const weft_st *st, const char **name);
size_t weft_st_bytes(const weft_st *st); /* of its files, or its part of one */

/* Give the pages of a tensor back to the system; a later read maps them in
 * again from the file. */
void weft_st_drop(const weft_st *st, const weft_st_tensor *t);

/* ---- writing ------------------------------------------------------------- */

/* A writer makes the file under a temporary name beside `path` with its
 * header, takes bytes at any offset of a tensor in any order, and puts it in
 * place (fsync, rename, fsync of the folder) when it is finished. Dropped
 * unfinished, nothing remains. One thread at a time. */
typedef struct weft_st_writer weft_st_writer;

typedef struct weft_st_entry {
    const char *name;
    const char *dtype; /* "F32", "F64", "I64", "U64", ... */
    int ndim;
    int64_t shape[WEFT_MAX_DIMS];
} weft_st_entry;

/* `metadata`: pairs of key and value, NULL-terminated, or NULL. Tensors lie in
 * the file in the order given, without gaps; with the widest dtypes first all
 * are aligned. The same arguments give the same bytes. */
weft_status weft_st_create(const char *path, const weft_st_entry *entry, int n,
                           const char *const *metadata, weft_st_writer **w);
/* `offset` and `bytes` within tensor number `entry`. */
weft_status weft_st_put(weft_st_writer *w, int entry, size_t offset,
                        const void *data, size_t bytes);
/* Frees w, whatever happens. Fails if a tensor got fewer bytes than it has. */
weft_status weft_st_finish(weft_st_writer *w);
void weft_st_abandon(weft_st_writer *w);

#endif
