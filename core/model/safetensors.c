#include "core/model/safetensors.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/io/file.h"
#include "core/model/json_tree.h"
#include "core/model/st_file.h"

/* Another's tensors, under names with a prefix. */
typedef struct joined {
    char *prefix; /* owned, as the other */
    weft_st *st;
} joined;

/* `tensor` holds copies of the entries of the files; what they point to stays
 * with the files. */
struct weft_st {
    char *path;
    int nfile;
    weft_st_file *file;
    int n;
    weft_st_tensor *tensor; /* by name order */
    void *memory;           /* of tensors that were made; NULL: of all files */
    joined *joined;         /* [njoined] */
    int njoined;
    char **name; /* [nnames], of their tensors here; owned */
    int nnames;
};

/* ---- one file ------------------------------------------------------------ */

static weft_status no_memory(const weft_st *st)
{
    return weft_fail(WEFT_ENOMEM, "%s: out of memory", st->path);
}

static weft_status open_single(weft_st *st)
{
    weft_st_file *f = st->file = calloc(1, sizeof *st->file);

    if (f == NULL) return no_memory(st);
    st->nfile = 1;
    WEFT_TRY(weft_st_file_init(f, st->path));
    st->tensor = calloc((size_t)f->n + 1, sizeof *st->tensor);
    if (st->tensor == NULL) return no_memory(st);
    memcpy(st->tensor, f->tensor, (size_t)f->n * sizeof *f->tensor);
    st->n = f->n;
    return WEFT_OK;
}

/* ---- shards -------------------------------------------------------------- */

/* A line of the weight_map; borrowed from the JSON. */
struct line {
    const char *tensor, *shard;
};

static int by_shard(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    const int order = strcmp(x->shard, y->shard);

    return order ? order : strcmp(x->tensor, y->tensor);
}

/* An index may name files beside itself and nothing else. */
static bool is_plain_name(const char *name)
{
    return name[0] && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           strchr(name, '/') == NULL;
}

static weft_status check_index(const weft_st *st, json_t *root)
{
    const char *key;
    json_t *value;

    json_object_foreach(root, key, value)
    {
        const bool known =
            strcmp(key, "metadata") == 0 || strcmp(key, "weight_map") == 0;

        if (!known)
            return weft_fail(WEFT_EINPUT, "%s: key \"%.64s\" is not known",
                             st->path, key);
        if (!json_is_object(value))
            return weft_fail(WEFT_EINPUT,
                             "%s: key \"%s\": expected an object, found %s",
                             st->path, key, weft_json_kind(value));
    }
    if (json_object_get(root, "weight_map") == NULL)
        return weft_fail(WEFT_EINPUT, "%s: has no \"weight_map\"", st->path);
    return WEFT_OK;
}

/* `line` has room for all. */
static weft_status read_lines(const weft_st *st, json_t *map, struct line *line)
{
    const char *key;
    json_t *value;

    json_object_foreach(map, key, value)
    {
        if (!json_is_string(value))
            return weft_fail(WEFT_EINPUT,
                             "%s: weight_map: key \"%.256s\": expected a "
                             "string, found %s",
                             st->path, key, weft_json_kind(value));
        if (!is_plain_name(json_string_value(value)))
            return weft_fail(WEFT_EINPUT,
                             "%s: weight_map: \"%.256s\" is not the name of a "
                             "file in the same folder",
                             st->path, json_string_value(value));
        *line++ = (struct line){key, json_string_value(value)};
    }
    return WEFT_OK;
}

static weft_status open_shard(weft_st *st, const char *shard)
{
    const char *slash = strrchr(st->path, '/');
    const size_t folder = slash ? (size_t)(slash - st->path) + 1 : 0;
    const size_t name = strlen(shard) + 1;
    char *path = malloc(folder + name);
    weft_status status;

    if (path == NULL) return no_memory(st);
    memcpy(path, st->path, folder);
    memcpy(path + folder, shard, name);
    status = weft_st_file_init(&st->file[st->nfile], path);
    free(path);
    if (status != WEFT_OK) return weft_fail_within(status, "%s", st->path);
    st->nfile++;
    return WEFT_OK;
}

/* The lines are in order of their shards, so that each is opened once. */
static weft_status open_shards(weft_st *st, const struct line *line, int n)
{
    for (int i = 0; i < n; i++) {
        const weft_st_file *f;
        const weft_st_tensor *t;

        if (i == 0 || strcmp(line[i].shard, line[i - 1].shard) != 0)
            WEFT_TRY(open_shard(st, line[i].shard));
        f = &st->file[st->nfile - 1];
        t = weft_st_search(f->tensor, f->n, line[i].tensor);
        if (t == NULL)
            return weft_fail(WEFT_EINPUT,
                             "%s: tensor \"%.256s\" is not in %s, where the "
                             "index has it",
                             st->path, line[i].tensor, f->path);
        st->tensor[st->n++] = *t;
    }
    weft_st_sort(st->tensor, st->n);
    return WEFT_OK;
}

static int count_shards(const struct line *line, int n)
{
    int shards = 0;

    for (int i = 0; i < n; i++)
        if (i == 0 || strcmp(line[i].shard, line[i - 1].shard) != 0) shards++;
    return shards;
}

static weft_status open_map(weft_st *st, json_t *map)
{
    const int n = (int)json_object_size(map);
    struct line *line = calloc((size_t)n + 1, sizeof *line);
    weft_status status = WEFT_OK;

    st->tensor = calloc((size_t)n + 1, sizeof *st->tensor);
    if (line == NULL || st->tensor == NULL) status = no_memory(st);
    if (status == WEFT_OK) status = read_lines(st, map, line);
    if (status == WEFT_OK) {
        qsort(line, (size_t)n, sizeof *line, by_shard);
        st->file = calloc((size_t)count_shards(line, n) + 1, sizeof *st->file);
        status = st->file ? open_shards(st, line, n) : no_memory(st);
    }
    free(line);
    return status;
}

static weft_status open_index(weft_st *st)
{
    json_t *root = NULL;
    char *text;
    size_t bytes;
    weft_status status;

    WEFT_TRY(weft_file_read(st->path, WEFT_ST_MAX_HEADER, &text, &bytes));
    status = weft_json_tree(st->path, text, bytes, &root);
    if (status == WEFT_OK) status = check_index(st, root);
    if (status == WEFT_OK)
        status = open_map(st, json_object_get(root, "weight_map"));
    json_decref(root);
    free(text);
    return status;
}

/* ---- both ---------------------------------------------------------------- */

static bool ends_in_json(const char *path)
{
    const size_t n = strlen(path);

    return n >= 5 && strcmp(path + n - 5, ".json") == 0;
}

weft_status weft_st_open(const char *path, weft_st **st)
{
    weft_st *new = calloc(1, sizeof *new);
    weft_status status;

    if (new) new->path = strdup(path);
    if (new == NULL || new->path == NULL) {
        free(new);
        return weft_fail(WEFT_ENOMEM, "%s: out of memory", path);
    }
    status = ends_in_json(path) ? open_index(new) : open_single(new);
    if (status == WEFT_OK)
        *st = new;
    else
        weft_st_close(new);
    return status;
}

/* ---- one beside another -------------------------------------------------- */

/* Room in *list for n more items of `size` bytes behind `have`. */
static weft_status make_room(const weft_st *st, void *list, int have, int n,
                             size_t size)
{
    void **items = list;
    void *more = realloc(*items, ((size_t)have + (size_t)n + 1) * size);

    if (more == NULL) return no_memory(st);
    *items = more;
    return WEFT_OK;
}

static weft_status join_names(weft_st *st, const char *prefix,
                              const weft_st *other)
{
    for (int i = 0; i < other->n; i++) {
        char *name;

        if (asprintf(&name, "%s%s", prefix, other->tensor[i].name) < 0)
            return no_memory(st);
        st->name[st->nnames++] = name;
        st->tensor[st->n + i] = other->tensor[i];
        st->tensor[st->n + i].name = name;
        if (weft_st_find(st, name) != NULL)
            return weft_fail(WEFT_EINPUT, "%s: has a tensor %.256s of its own",
                             st->path, name);
    }
    return WEFT_OK;
}

weft_status weft_st_join(weft_st *st, const char *prefix, weft_st *other)
{
    char *copy;

    WEFT_TRY(make_room(st, &st->joined, st->njoined, 1, sizeof *st->joined));
    WEFT_TRY(make_room(st, &st->tensor, st->n, other->n, sizeof *st->tensor));
    WEFT_TRY(make_room(st, &st->name, st->nnames, other->n, sizeof *st->name));
    WEFT_TRY(join_names(st, prefix, other));
    copy = strdup(prefix);
    if (copy == NULL) return no_memory(st);
    st->joined[st->njoined++] = (joined){copy, other};
    st->n += other->n;
    weft_st_sort(st->tensor, st->n);
    return WEFT_OK;
}

/* ---- the end ------------------------------------------------------------- */

void weft_st_close(weft_st *st)
{
    if (st == NULL) return;
    for (int i = 0; i < st->nnames; i++) free(st->name[i]);
    for (int i = 0; i < st->njoined; i++) {
        free(st->joined[i].prefix);
        weft_st_close(st->joined[i].st);
    }
    free(st->joined);
    free(st->name);
    for (int i = 0; i < st->nfile; i++) weft_st_file_release(&st->file[i]);
    free(st->file);
    free(st->tensor);
    free(st->memory);
    free(st->path);
    free(st);
}

weft_status weft_st_replace(weft_st *st, weft_st_tensor *tensor, int n,
                            void *memory)
{
    free(st->tensor);
    free(st->memory);
    st->tensor = tensor;
    st->memory = memory;
    st->n = n;
    weft_st_sort(tensor, n);
    for (int i = 1; i < n; i++)
        if (strcmp(tensor[i].name, tensor[i - 1].name) == 0)
            return weft_fail(WEFT_EINPUT, "%s: holds %s twice", st->path,
                             tensor[i].name);
    return WEFT_OK;
}

int weft_st_count(const weft_st *st) { return st->n; }

const weft_st_tensor *weft_st_at(const weft_st *st, int i)
{
    return i >= 0 && i < st->n ? &st->tensor[i] : NULL;
}

const weft_st_tensor *weft_st_find(const weft_st *st, const char *name)
{
    return weft_st_search(st->tensor, st->n, name);
}

const char *weft_st_metadata(const weft_st *st, const char *key)
{
    for (int i = 0; i < st->nfile; i++) {
        const char *value =
            json_string_value(json_object_get(st->file[i].metadata, key));

        if (value) return value;
    }
    return NULL;
}

const char *weft_st_path(const weft_st *st) { return st->path; }

const char *weft_st_home(const weft_st *st, const char **name)
{
    for (int i = 0; i < st->njoined; i++) {
        const size_t n = strlen(st->joined[i].prefix);

        if (strncmp(*name, st->joined[i].prefix, n) != 0) continue;
        *name += n;
        return weft_st_home(st->joined[i].st, name);
    }
    return st->path;
}

size_t weft_st_bytes(const weft_st *st)
{
    size_t bytes = 0;

    for (int i = 0; st->memory && i < st->n; i++) bytes += st->tensor[i].bytes;
    for (int i = 0; !st->memory && i < st->nfile; i++)
        bytes += st->file[i].bytes;
    for (int i = 0; !st->memory && i < st->njoined; i++)
        bytes += weft_st_bytes(st->joined[i].st);
    return bytes;
}

static bool is_mapped(const weft_st *st, uintptr_t at)
{
    for (int i = 0; i < st->nfile; i++) {
        const uintptr_t map = (uintptr_t)st->file[i].map;

        if (at >= map && at - map < st->file[i].bytes) return true;
    }
    for (int i = 0; i < st->njoined; i++)
        if (is_mapped(st->joined[i].st, at)) return true;
    return false;
}

/* Only pages that lie inside the tensor as a whole: its neighbours keep the
 * pages that they share with it. */
void weft_st_drop(const weft_st *st, const weft_st_tensor *t)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t data = (uintptr_t)t->data;
    const uintptr_t begin = (data + page - 1) / page * page;
    const uintptr_t end = (data + t->bytes) / page * page;

    if (begin < end && is_mapped(st, data))
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}
