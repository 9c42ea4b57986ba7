#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/file.h"
#include "core/io/text.h"
#include "core/model/json_tree.h"
#include "core/model/st_file.h"

/* Where a tensor lies in the file, and how many bytes of it were put. */
struct span {
    size_t begin, bytes, put;
};

struct weft_st_writer {
    weft_file file;
    char *path;
    int n;
    struct span *span;
};

/* ---- the header ---------------------------------------------------------- */

static weft_status no_memory(const char *path)
{
    return weft_fail(WEFT_ENOMEM, "%s: out of memory", path);
}

/* Takes `value`, which is NULL if there was no memory for it. */
static weft_status add(const char *path, json_t *object, const char *key,
                       json_t *value)
{
    weft_status status = WEFT_OK;

    if (!weft_utf8_valid(key))
        status =
            weft_fail(WEFT_EINPUT, "%s: \"%.256s\" is not UTF-8", path, key);
    else if (json_object_get(object, key))
        status =
            weft_fail(WEFT_EINPUT, "%s: \"%.256s\" is there twice", path, key);
    if (status != WEFT_OK) {
        json_decref(value);
        return status;
    }
    if (value == NULL || json_object_set_new(object, key, value) != 0)
        return no_memory(path);
    return WEFT_OK;
}

static weft_status add_metadata(const char *path, json_t *root,
                                const char *const *pair)
{
    json_t *object;

    if (pair == NULL || pair[0] == NULL) return WEFT_OK;
    object = json_object();
    WEFT_TRY(add(path, root, "__metadata__", object));
    for (; pair[0]; pair += 2) {
        if (!weft_utf8_valid(pair[1]))
            return weft_fail(WEFT_EINPUT, "%s: \"%.256s\" is not UTF-8", path,
                             pair[0]);
        WEFT_TRY(add(path, object, pair[0], json_string(pair[1])));
    }
    return WEFT_OK;
}

static json_t *describe(const weft_st_entry *e, const struct span *s)
{
    json_t *shape = json_array();

    for (int i = 0; i < e->ndim; i++) {
        if (json_array_append_new(shape, json_integer(e->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", e->dtype, "shape", shape,
                     "data_offsets", (json_int_t)s->begin,
                     (json_int_t)(s->begin + s->bytes));
}

/* Place the tensors one behind the other; *end is where the last one ends. */
static weft_status add_entries(const weft_st_writer *w, json_t *root,
                               const weft_st_entry *entry, size_t *end)
{
    *end = 0;
    for (int i = 0; i < w->n; i++) {
        const weft_st_entry *e = &entry[i];
        struct span *s = &w->span[i];
        weft_status status = WEFT_OK;

        s->begin = *end;
        if (e->ndim < 0 || e->ndim > WEFT_MAX_DIMS)
            status = weft_fail(WEFT_EINPUT, "%d dimensions", e->ndim);
        if (strcmp(e->name, "__metadata__") == 0)
            status = weft_fail(WEFT_EINPUT, "this name is reserved");
        if (status == WEFT_OK)
            status = weft_st_size(e->dtype, e->ndim, e->shape, &s->bytes);
        if (status == WEFT_OK &&
            (__builtin_add_overflow(*end, s->bytes, end) || *end > INT64_MAX))
            status = weft_fail(WEFT_EINPUT, "the file becomes too large");
        if (status != WEFT_OK)
            return weft_fail_within(status, "%s: tensor \"%.256s\"", w->path,
                                    e->name);
        WEFT_TRY(add(w->path, root, e->name, describe(e, s)));
    }
    return WEFT_OK;
}

/* Length, JSON, and spaces up to a multiple of 8; *text is owned. */
static weft_status print_header(const char *path, const json_t *root,
                                unsigned char **text, size_t *bytes)
{
    const size_t json = json_dumpb(root, NULL, 0, JSON_COMPACT);
    const size_t padded = (json + 7) / 8 * 8;
    unsigned char *new;

    if (padded > WEFT_ST_MAX_HEADER)
        return weft_fail(WEFT_EINPUT, "%s: header of %zu bytes is too long",
                         path, padded);
    new = malloc(8 + padded);
    if (new == NULL) return no_memory(path);
    for (int i = 0; i < 8; i++) new[i] = (unsigned char)(padded >> 8 * i);
    memset(new + 8, ' ', padded);
    json_dumpb(root, (char *)new + 8, json, JSON_COMPACT);
    *text = new;
    *bytes = 8 + padded;
    return WEFT_OK;
}

/* Offsets in w->span count from the start of the file when this is done. */
static weft_status write_header(weft_st_writer *w, const json_t *root,
                                size_t data)
{
    unsigned char *text = NULL;
    size_t bytes = 0, end;
    weft_status status;

    WEFT_TRY(print_header(w->path, root, &text, &bytes));
    status = weft_file_write(&w->file, text, bytes);
    free(text);
    WEFT_TRY(status);
    if (__builtin_add_overflow(bytes, data, &end) || end > INT64_MAX)
        return weft_fail(WEFT_EINPUT, "%s: becomes too large", w->path);
    for (int i = 0; i < w->n; i++) w->span[i].begin += bytes;
    if (ftruncate(w->file.fd, (off_t)end) != 0)
        return weft_file_fail(errno, w->path, "write");
    return WEFT_OK;
}

/* ---- the file ------------------------------------------------------------ */

static weft_status start(weft_st_writer *w, const weft_st_entry *entry,
                         const char *const *metadata)
{
    json_t *root = json_object();
    size_t data;
    weft_status status = root ? WEFT_OK : no_memory(w->path);

    if (status == WEFT_OK) status = add_metadata(w->path, root, metadata);
    if (status == WEFT_OK) status = add_entries(w, root, entry, &data);
    if (status == WEFT_OK) status = weft_file_create(w->path, &w->file);
    if (status == WEFT_OK) status = write_header(w, root, data);
    json_decref(root);
    return status;
}

weft_status weft_st_create(const char *path, const weft_st_entry *entry, int n,
                           const char *const *metadata, weft_st_writer **w)
{
    weft_st_writer *new = calloc(1, sizeof *new);
    weft_status status;

    if (new == NULL) return no_memory(path);
    new->file.fd = -1;
    new->n = n;
    new->path = strdup(path);
    new->span = calloc((size_t)n + 1, sizeof *new->span);
    status =
        new->path &&new->span ? start(new, entry, metadata) : no_memory(path);
    if (status == WEFT_OK)
        *w = new;
    else
        weft_st_abandon(new);
    return status;
}

weft_status weft_st_put(weft_st_writer *w, int entry, size_t offset,
                        const void *data, size_t bytes)
{
    struct span *s;

    if (entry < 0 || entry >= w->n)
        return weft_fail(WEFT_EINPUT, "%s: has no tensor %d", w->path, entry);
    s = &w->span[entry];
    if (offset > s->bytes || bytes > s->bytes - offset)
        return weft_fail(WEFT_EINPUT,
                         "%s: tensor %d: %zu bytes at %zu do not fit into %zu",
                         w->path, entry, bytes, offset, s->bytes);
    WEFT_TRY(weft_file_write_at(&w->file, s->begin + offset, data, bytes));
    s->put += bytes;
    return WEFT_OK;
}

/* A tensor that was forgotten would be zeros, and nobody would ever know. */
static weft_status check_complete(const weft_st_writer *w)
{
    for (int i = 0; i < w->n; i++)
        if (w->span[i].put < w->span[i].bytes)
            return weft_fail(WEFT_EINPUT,
                             "%s: tensor %d got %zu of its %zu bytes", w->path,
                             i, w->span[i].put, w->span[i].bytes);
    return WEFT_OK;
}

weft_status weft_st_finish(weft_st_writer *w)
{
    weft_status status = check_complete(w);

    if (status == WEFT_OK) status = weft_file_commit(&w->file);
    weft_st_abandon(w);
    return status;
}

void weft_st_abandon(weft_st_writer *w)
{
    if (w == NULL) return;
    weft_file_abandon(&w->file);
    free(w->span);
    free(w->path);
    free(w);
}
