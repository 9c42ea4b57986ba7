#include "core/model/st_file.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/io/file.h"
#include "core/model/json_tree.h"

/* ---- sizes --------------------------------------------------------------- */

static const struct dtype {
    const char *name;
    int bits;
} dtypes[] = {
    {"BOOL", 8},    {"F4", 4},          {"F6_E2M3", 6},     {"F6_E3M2", 6},
    {"U8", 8},      {"I8", 8},          {"F8_E5M2", 8},     {"F8_E4M3", 8},
    {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},        {"BF16", 16},       {"I32", 32},
    {"U32", 32},    {"F32", 32},        {"C64", 64},        {"F64", 64},
    {"I64", 64},    {"U64", 64},
};

static const struct dtype *find_dtype(const char *name)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, name) == 0) return &dtypes[i];
    return NULL;
}

int weft_st_dtype_bits(const char *dtype)
{
    const struct dtype *d = find_dtype(dtype);

    return d ? d->bits : 0;
}

/* A zero does not excuse an overflow in the rest of the shape: whoever
 * multiplies a part of it later must be safe. */
weft_status weft_st_size(const char *dtype, int ndim, const int64_t *shape,
                         size_t *bytes)
{
    int64_t bits = weft_st_dtype_bits(dtype);
    bool empty = false;

    if (bits == 0)
        return weft_fail(WEFT_EINPUT, "dtype \"%.32s\" is not known", dtype);
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 0)
            return weft_fail(WEFT_EINPUT, "shape has a negative number");
        if (shape[i] == 0)
            empty = true;
        else if (__builtin_mul_overflow(bits, shape[i], &bits))
            return weft_fail(WEFT_EINPUT, "shape is too large");
    }
    if (empty) bits = 0;
    if (bits % 8 != 0)
        return weft_fail(WEFT_EINPUT, "%s elements do not fill the last byte",
                         dtype);
    *bytes = (size_t)bits / 8;
    return WEFT_OK;
}

/* ---- order --------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const weft_st_tensor *x = a, *y = b;

    return strcmp(x->name, y->name);
}

/* An empty tensor comes before the one that begins where it stands. */
static int by_place(const void *a, const void *b)
{
    const weft_st_tensor *x = a, *y = b;
    const char *p = x->data, *q = y->data;

    if (p != q) return p < q ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

void weft_st_sort(weft_st_tensor *tensor, int n)
{
    if (n > 0) qsort(tensor, (size_t)n, sizeof *tensor, by_name);
}

const weft_st_tensor *weft_st_search(const weft_st_tensor *tensor, int n,
                                     const char *name)
{
    const weft_st_tensor key = {.name = name};

    if (n == 0) return NULL;
    return bsearch(&key, tensor, (size_t)n, sizeof key, by_name);
}

/* ---- one entry of the header --------------------------------------------- */

static weft_status check_keys(json_t *entry)
{
    const char *key;
    json_t *value;

    json_object_foreach(entry, key, value)
    {
        const bool known = strcmp(key, "dtype") == 0 ||
                           strcmp(key, "shape") == 0 ||
                           strcmp(key, "data_offsets") == 0;

        if (!known)
            return weft_fail(WEFT_EINPUT, "key \"%.64s\" is not known", key);
    }
    return WEFT_OK;
}

/* At most `room` integers that are not negative. */
static weft_status read_numbers(json_t *entry, const char *key, int64_t *out,
                                int room, int *n)
{
    json_t *list = json_object_get(entry, key), *value;
    size_t i;

    if (!json_is_array(list))
        return weft_fail(WEFT_EINPUT, "%s: expected an array, found %s", key,
                         list ? weft_json_kind(list) : "nothing");
    if (json_array_size(list) > (size_t)room)
        return weft_fail(WEFT_EINPUT,
                         "%s: %zu numbers, at most %d are accepted", key,
                         json_array_size(list), room);
    json_array_foreach(list, i, value)
    {
        if (!json_is_integer(value))
            return weft_fail(WEFT_EINPUT, "%s: expected an integer, found %s",
                             key, weft_json_kind(value));
        if (json_integer_value(value) < 0)
            return weft_fail(WEFT_EINPUT, "%s: %lld is negative", key,
                             (long long)json_integer_value(value));
        out[i] = json_integer_value(value);
    }
    *n = (int)json_array_size(list);
    return WEFT_OK;
}

static weft_status read_dtype(json_t *entry, const char **dtype)
{
    json_t *value = json_object_get(entry, "dtype");
    const struct dtype *found;

    if (!json_is_string(value))
        return weft_fail(WEFT_EINPUT, "dtype: expected a string, found %s",
                         value ? weft_json_kind(value) : "nothing");
    found = find_dtype(json_string_value(value));
    if (found == NULL)
        return weft_fail(WEFT_EINPUT, "dtype \"%.32s\" is not known",
                         json_string_value(value));
    *dtype = found->name;
    return WEFT_OK;
}

/* `data`, of `room` bytes: what the offsets count from. */
static weft_status read_entry(json_t *entry, const unsigned char *data,
                              size_t room, weft_st_tensor *t)
{
    int64_t place[2];
    size_t expected;
    int n;

    if (!json_is_object(entry))
        return weft_fail(WEFT_EINPUT, "expected an object, found %s",
                         weft_json_kind(entry));
    WEFT_TRY(check_keys(entry));
    WEFT_TRY(read_dtype(entry, &t->dtype));
    WEFT_TRY(read_numbers(entry, "shape", t->shape, WEFT_MAX_DIMS, &t->ndim));
    WEFT_TRY(read_numbers(entry, "data_offsets", place, 2, &n));
    WEFT_TRY(weft_st_size(t->dtype, t->ndim, t->shape, &expected));
    if (n != 2 || place[0] > place[1])
        return weft_fail(WEFT_EINPUT,
                         "data_offsets: expected a begin and an end");
    t->bytes = (size_t)(place[1] - place[0]);
    if (t->bytes != expected)
        return weft_fail(WEFT_EINPUT,
                         "dtype and shape ask for %zu bytes, data_offsets "
                         "give %zu",
                         expected, t->bytes);
    if ((size_t)place[1] > room)
        return weft_fail(WEFT_EINPUT,
                         "data ends at byte %lld, but the file has only %zu "
                         "bytes of data",
                         (long long)place[1], room);
    t->data = data + place[0];
    return WEFT_OK;
}

/* ---- the header ---------------------------------------------------------- */

static weft_status read_metadata(weft_st_file *f, json_t *metadata)
{
    const char *key;
    json_t *value;

    if (!json_is_object(metadata))
        return weft_fail(WEFT_EINPUT,
                         "%s: __metadata__: expected an object, found %s",
                         f->path, weft_json_kind(metadata));
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return weft_fail(WEFT_EINPUT,
                             "%s: __metadata__: key \"%.64s\": expected a "
                             "string, found %s",
                             f->path, key, weft_json_kind(value));
    }
    f->metadata = json_incref(metadata);
    return WEFT_OK;
}

/* Room for all tensors and for the text of their names. */
static weft_status make_room(weft_st_file *f, json_t *root)
{
    const size_t n = json_object_size(root);
    size_t text = 1;
    const char *key;
    json_t *value;

    json_object_foreach(root, key, value) { text += strlen(key) + 1; }
    f->tensor = calloc(n + 1, sizeof *f->tensor);
    f->names = malloc(text);
    if (f->tensor == NULL || f->names == NULL)
        return weft_fail(WEFT_ENOMEM, "%s: out of memory", f->path);
    return WEFT_OK;
}

static weft_status read_entries(weft_st_file *f, json_t *root,
                                const unsigned char *data, size_t room)
{
    char *name = f->names;
    const char *key;
    json_t *value;

    json_object_foreach(root, key, value)
    {
        weft_st_tensor *t = &f->tensor[f->n];
        weft_status status;
        size_t bytes;

        if (strcmp(key, "__metadata__") == 0) {
            WEFT_TRY(read_metadata(f, value));
            continue;
        }
        status = read_entry(value, data, room, t);
        if (status != WEFT_OK)
            return weft_fail_within(status, "%s: tensor \"%.256s\"", f->path,
                                    key);
        bytes = strlen(key) + 1;
        t->name = memcpy(name, key, bytes);
        name += bytes;
        f->n++;
    }
    return WEFT_OK;
}

/* Every byte of the data belongs to exactly one tensor. */
static weft_status check_places(weft_st_file *f, const unsigned char *data,
                                size_t room)
{
    const unsigned char *end = data;

    if (f->n > 0) qsort(f->tensor, (size_t)f->n, sizeof *f->tensor, by_place);
    for (int i = 0; i < f->n; i++) {
        const weft_st_tensor *t = &f->tensor[i];
        const unsigned char *begin = t->data;

        if (begin < end)
            return weft_fail(WEFT_EINPUT,
                             "%s: tensor \"%.256s\" overlaps another", f->path,
                             t->name);
        if (begin > end)
            return weft_fail(WEFT_EINPUT,
                             "%s: %td bytes before tensor \"%.256s\" belong "
                             "to no tensor",
                             f->path, begin - end, t->name);
        end = begin + t->bytes;
    }
    if (end != data + room)
        return weft_fail(WEFT_EINPUT,
                         "%s: the last %td bytes belong to no tensor", f->path,
                         data + room - end);
    return WEFT_OK;
}

static weft_status read_header(weft_st_file *f, size_t header)
{
    const unsigned char *data = f->map + 8 + header;
    const size_t room = f->bytes - 8 - header;
    json_t *root;
    weft_status status;

    WEFT_TRY(weft_json_tree(f->path, f->map + 8, header, &root));
    status = make_room(f, root);
    if (status == WEFT_OK) status = read_entries(f, root, data, room);
    if (status == WEFT_OK) status = check_places(f, data, room);
    json_decref(root);
    return status;
}

/* The file begins with the length of its header: 8 bytes, low byte first. */
static weft_status check_length(const weft_st_file *f, size_t *header)
{
    uint64_t n = 0;

    for (int i = 7; i >= 0; i--) n = n << 8 | f->map[i];
    if (n > WEFT_ST_MAX_HEADER)
        return weft_fail(WEFT_EINPUT,
                         "%s: not a safetensors file (a header of %llu bytes)",
                         f->path, (unsigned long long)n);
    if (n > f->bytes - 8)
        return weft_fail(WEFT_EINPUT,
                         "%s: ends within its header (%zu bytes of %llu)",
                         f->path, f->bytes - 8, (unsigned long long)n);
    if (n == 0 || f->map[8] != '{')
        return weft_fail(WEFT_EINPUT,
                         "%s: not a safetensors file (the header does not "
                         "begin with '{')",
                         f->path);
    *header = (size_t)n;
    return WEFT_OK;
}

/* ---- the file ------------------------------------------------------------ */

static weft_status map_file(weft_st_file *f)
{
    weft_status status = WEFT_OK;
    size_t bytes;
    void *map;
    int fd;

    WEFT_TRY(weft_file_open(f->path, &fd, &bytes));
    if (bytes < 8) {
        status = weft_fail(WEFT_EINPUT,
                           "%s: not a safetensors file (%zu bytes long)",
                           f->path, bytes);
        goto out;
    }
    map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        status = weft_fail(WEFT_EIO, "%s: cannot be mapped (%zu bytes)",
                           f->path, bytes);
        goto out;
    }
    f->map = map;
    f->bytes = bytes;
out:
    close(fd);
    return status;
}

weft_status weft_st_file_init(weft_st_file *f, const char *path)
{
    weft_status status;
    size_t header = 0;

    *f = (weft_st_file){.path = strdup(path)};
    if (f->path == NULL)
        return weft_fail(WEFT_ENOMEM, "%s: out of memory", path);
    status = map_file(f);
    if (status == WEFT_OK) status = check_length(f, &header);
    if (status == WEFT_OK) status = read_header(f, header);
    if (status == WEFT_OK)
        weft_st_sort(f->tensor, f->n);
    else
        weft_st_file_release(f);
    return status;
}

void weft_st_file_release(weft_st_file *f)
{
    if (f->map) munmap(f->map, f->bytes);
    json_decref(f->metadata);
    free(f->tensor);
    free(f->names);
    free(f->path);
    *f = (weft_st_file){0};
}
