#include "launch/checkpoint.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "launch/checkpoint_check.h"

static const char format[] = "weft checkpoint 1";

/* ---- the head ------------------------------------------------------------ */

bool weft_checkpoint_is(const weft_st *st)
{
    const char *is = weft_st_metadata(st, "format");

    return is && strncmp(is, "weft checkpoint", 15) == 0;
}

static weft_status damaged(const weft_st *st, const char *why)
{
    return weft_fail(WEFT_EINPUT, "%s: a damaged checkpoint: %s",
                     weft_st_path(st), why);
}

static weft_status read_texts(weft_checkpoint *c)
{
    const char *is = weft_st_metadata(c->st, "format");

    if (!weft_checkpoint_is(c->st))
        return weft_fail(WEFT_EINPUT, "%s: not a checkpoint of weft",
                         weft_st_path(c->st));
    if (strcmp(is, format) != 0)
        return weft_fail(WEFT_EINPUT,
                         "%s: is a \"%.40s\"; this weft reads \"%s\"",
                         weft_st_path(c->st), is, format);
    c->identity = weft_st_metadata(c->st, "identity");
    c->weights = weft_st_metadata(c->st, "weights");
    c->done = weft_st_metadata(c->st, "done");
    if (!c->identity || !c->weights || !c->done ||
        !weft_st_metadata(c->st, "items"))
        return damaged(c->st, "a part of its metadata is missing");
    return WEFT_OK;
}

/* ---- the hash ------------------------------------------------------------ */

static uint64_t hash_text(uint64_t h, const char *text)
{
    return weft_fnv(h, text, strlen(text) + 1);
}

static uint64_t hash_head(const char *identity, const char *weights,
                          const char *done, const char *items)
{
    uint64_t h = weft_check_start(format);

    h = hash_text(h, identity);
    h = hash_text(h, weights);
    h = hash_text(h, done);
    return hash_text(h, items);
}

/* Tensors are added up, each with its name, so that their order is free. */
static weft_status compare_hash(weft_checkpoint *c)
{
    const weft_st_tensor *check = weft_st_find(c->st, "check");
    uint64_t h = hash_head(c->identity, c->weights, c->done,
                           weft_st_metadata(c->st, "items"));

    if (!check || strcmp(check->dtype, "U64") != 0 || check->bytes != 8)
        return damaged(c->st, "its hash is missing");
    for (int i = 0; i < weft_st_count(c->st); i++) {
        const weft_st_tensor *t = weft_st_at(c->st, i);

        if (t != check)
            h += weft_fnv(weft_check_start(t->name), t->data, t->bytes);
    }
    memcpy(&c->check, check->data, sizeof c->check);
    return h == c->check
               ? WEFT_OK
               : damaged(c->st, "what it holds is not what was written");
}

/* ---- images -------------------------------------------------------------- */

/* A whole number below `most` of an object. */
static bool read_number(const json_t *object, const char *key, json_int_t most,
                        json_int_t *n)
{
    const json_t *v = json_object_get(object, key);

    *n = json_integer_value(v);
    return json_is_integer(v) && *n >= 0 && *n < most;
}

static const weft_st_tensor *find(const weft_checkpoint *c, int image,
                                  const char *what)
{
    char name[64];

    snprintf(name, sizeof name, "image.%d.%s", image, what);
    return weft_st_find(c->st, name);
}

static bool is_plane(const weft_st_tensor *t, const weft_st_tensor *like)
{
    return strcmp(t->dtype, "F32") == 0 && t->ndim == 3 && t->bytes > 0 &&
           t->shape[0] == like->shape[0] && t->shape[1] == like->shape[1] &&
           t->shape[2] == like->shape[2];
}

static weft_status read_tensors(const weft_checkpoint *c, weft_saved *s)
{
    s->x = find(c, s->image, "x");
    if (!s->x || !is_plane(s->x, s->x))
        return damaged(c->st, "an image has no latent");
    for (int b = 0; b < WEFT_KEPT; b++) {
        char what[16];

        snprintf(what, sizeof what, "buffer.%d", b);
        s->kept[b] = find(c, s->image, what);
        if (s->kept[b] && !is_plane(s->kept[b], s->x))
            return damaged(c->st, "a buffer is not as large as its image");
    }
    s->density = find(c, s->image, "log_density");
    if (s->density &&
        (strcmp(s->density->dtype, "F64") != 0 || s->density->ndim != 1))
        return damaged(c->st, "log-densities are not a list");
    return WEFT_OK;
}

static weft_status read_item(const weft_checkpoint *c, const json_t *j,
                             weft_saved *s)
{
    json_int_t image, step, stage, draws;

    if (!read_number(j, "image", INT32_MAX, &image) ||
        !read_number(j, "step", INT32_MAX, &step) ||
        !read_number(j, "stage", INT32_MAX, &stage) ||
        !read_number(j, "draws", INT32_MAX, &draws))
        return damaged(c->st, "an image has no position");
    *s = (weft_saved){.image = (int)image,
                      .step = (int)step,
                      .stage = (int)stage,
                      .draws = (uint32_t)draws};
    return read_tensors(c, s);
}

static weft_status read_list(weft_checkpoint *c, const json_t *list)
{
    const size_t n = json_array_size(list);

    if (!json_is_array(list) || n > (size_t)weft_st_count(c->st))
        return damaged(c->st, "there is no list of images");
    c->item = calloc(n + 1, sizeof *c->item);
    if (!c->item) return weft_fail(WEFT_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++, c->n++) {
        WEFT_TRY(read_item(c, json_array_get(list, i), &c->item[i]));
        if (i && c->item[i].image <= c->item[i - 1].image)
            return damaged(c->st, "images are not in order");
    }
    return WEFT_OK;
}

static weft_status read_items(weft_checkpoint *c)
{
    const char *text = weft_st_metadata(c->st, "items");
    json_t *list = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const weft_status st = read_list(c, list);

    json_decref(list);
    return st;
}

static weft_status read_all(weft_checkpoint *c)
{
    WEFT_TRY(read_texts(c));
    WEFT_TRY(compare_hash(c));
    return read_items(c);
}

weft_status weft_checkpoint_open(const char *path, weft_checkpoint *c)
{
    weft_checkpoint made = {0};
    weft_status st;

    WEFT_TRY(weft_st_open(path, &made.st));
    st = read_all(&made);
    if (st == WEFT_OK)
        *c = made;
    else
        weft_checkpoint_close(&made);
    return st;
}

void weft_checkpoint_close(weft_checkpoint *c)
{
    weft_st_close(c->st);
    free(c->item);
    memset(c, 0, sizeof *c);
}

/* ---- writing ------------------------------------------------------------- */

/* The tensors of a file: "check", log-densities, then rows. */
struct weft_checkpoint_writer {
    weft_st_writer *st;
    int n, width;   /* items; bytes of a row */
    int *plane;     /* [n][WEFT_KEPT + 1]: x, then buffers; tensors, or -1 */
    uint64_t *hash; /* [tensors] */
    weft_st_entry *entry;
    char (*name)[64]; /* [tensors] */
    int tensors;
    uint64_t head;
};

enum { PLANES = WEFT_KEPT + 1 };

static int add_tensor(weft_checkpoint_writer *w, const char *dtype, int image,
                      const char *what)
{
    const int k = w->tensors++;

    if (what)
        snprintf(w->name[k], sizeof *w->name, "image.%d.%s", image, what);
    else
        snprintf(w->name[k], sizeof *w->name, "check");
    w->entry[k] = (weft_st_entry){.name = w->name[k], .dtype = dtype};
    w->hash[k] = weft_check_start(w->name[k]);
    return k;
}

static void add_list(weft_checkpoint_writer *w, const char *dtype, int image,
                     const char *what, int n)
{
    weft_st_entry *e = &w->entry[add_tensor(w, dtype, image, what)];

    e->ndim = 1;
    e->shape[0] = n;
}

static void add_plane(weft_checkpoint_writer *w, const weft_keep *item, int i,
                      int buffer, const int *shape)
{
    char what[16] = "x";
    weft_st_entry *e;

    if (buffer >= 0) snprintf(what, sizeof what, "buffer.%d", buffer);
    w->plane[i * PLANES + buffer + 1] = add_tensor(w, "F32", item->image, what);
    e = &w->entry[w->tensors - 1];
    e->ndim = 3;
    for (int k = 0; k < 3; k++) e->shape[k] = shape[k];
}

static void list_tensors(weft_checkpoint_writer *w, const weft_keep *item,
                         const int *shape)
{
    add_list(w, "U64", 0, NULL, 1);
    for (int i = 0; i < w->n; i++)
        if (item[i].models)
            add_list(w, "F64", item[i].image, "log_density", item[i].models);
    for (int i = 0; i < w->n; i++) {
        add_plane(w, &item[i], i, -1, shape);
        for (int b = 0; b < WEFT_KEPT; b++)
            if (item[i].kept & 1u << b) add_plane(w, &item[i], i, b, shape);
    }
}

/* Owned JSON text. */
static char *items_text(const weft_keep *item, int n)
{
    json_t *list = json_array();
    char *text;

    for (int i = 0; i < n; i++)
        json_array_append_new(
            list, json_pack("{s:i, s:i, s:i, s:I}", "image", item[i].image,
                            "step", item[i].step, "stage", item[i].stage,
                            "draws", (json_int_t)item[i].draws));
    text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

/* "0-3,7"; owned. */
static char *done_text(const unsigned char *done, int images)
{
    char *text = NULL;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    bool any = false;

    if (!f) return NULL;
    for (int i = 0, to; i < images; i = to + 1) {
        to = i;
        if (!done[i]) continue;
        while (to + 1 < images && done[to + 1]) to++;
        fprintf(f, "%s%d", any ? "," : "", i);
        if (to > i) fprintf(f, "-%d", to);
        any = true;
    }
    return fclose(f) == 0 ? text : NULL;
}

static weft_status put(weft_checkpoint_writer *w, int tensor, size_t offset,
                       const void *data, size_t bytes)
{
    w->hash[tensor] = weft_fnv(w->hash[tensor], data, bytes);
    return weft_st_put(w->st, tensor, offset, data, bytes);
}

static weft_status put_densities(weft_checkpoint_writer *w,
                                 const weft_keep *item)
{
    int k = 1;

    for (int i = 0; i < w->n; i++)
        if (item[i].models)
            WEFT_TRY(put(w, k++, 0, item[i].density,
                         (size_t)item[i].models * sizeof(double)));
    return WEFT_OK;
}

static weft_status open_file(weft_checkpoint_writer *w, const char *path,
                             const weft_checkpoint_head *head,
                             const weft_keep *item)
{
    char *items = items_text(item, w->n);
    char *done = done_text(head->done, head->images);
    const char *const texts[] = {
        "format", format, "identity", head->identity, "weights", head->weights,
        "done",   done,   "items",    items,          NULL};
    weft_status st =
        items && done ? WEFT_OK : weft_fail(WEFT_ENOMEM, "out of memory");

    if (st == WEFT_OK)
        st = weft_st_create(path, w->entry, w->tensors, texts, &w->st);
    if (st == WEFT_OK)
        w->head = hash_head(head->identity, head->weights, done, items);
    free(items);
    free(done);
    return st == WEFT_OK ? put_densities(w, item) : st;
}

static weft_status allocate(weft_checkpoint_writer *w)
{
    const size_t planes = (size_t)w->n * PLANES,
                 most = planes + (size_t)w->n + 1;

    w->plane = malloc((planes + 1) * sizeof *w->plane);
    w->hash = calloc(most, sizeof *w->hash);
    w->entry = calloc(most, sizeof *w->entry);
    w->name = calloc(most, sizeof *w->name);
    if (!w->plane || !w->hash || !w->entry || !w->name)
        return weft_fail(WEFT_ENOMEM, "out of memory for a checkpoint");
    for (size_t i = 0; i < planes; i++) w->plane[i] = -1;
    return WEFT_OK;
}

weft_status weft_checkpoint_create(const char *path,
                                   const weft_checkpoint_head *head,
                                   const weft_keep *item, int n, int rows,
                                   int columns, int channels,
                                   weft_checkpoint_writer **w)
{
    const int shape[] = {rows, columns, channels};
    weft_checkpoint_writer *made = calloc(1, sizeof *made);
    weft_status st;

    if (!made) return weft_fail(WEFT_ENOMEM, "out of memory for a checkpoint");
    made->n = n;
    made->width = columns * channels * (int)sizeof(float);
    st = allocate(made);
    if (st == WEFT_OK) {
        list_tensors(made, item, shape);
        st = open_file(made, path, head, item);
    }
    if (st == WEFT_OK)
        *w = made;
    else
        weft_checkpoint_abandon(made);
    return st;
}

weft_status weft_checkpoint_rows(weft_checkpoint_writer *w, int i, int buffer,
                                 int row, int rows, const float *data)
{
    const int tensor = w->plane[i * PLANES + buffer + 1];
    const size_t width = (size_t)w->width;

    WEFT_MUST(tensor >= 0);
    return put(w, tensor, (size_t)row * width, data, (size_t)rows * width);
}

weft_status weft_checkpoint_finish(weft_checkpoint_writer *w)
{
    uint64_t check = w->head;
    weft_status st;

    for (int k = 1; k < w->tensors; k++) check += w->hash[k];
    st = weft_st_put(w->st, 0, 0, &check, sizeof check);
    if (st == WEFT_OK) {
        st = weft_st_finish(w->st);
        w->st = NULL;
    }
    weft_checkpoint_abandon(w);
    return st;
}

void weft_checkpoint_abandon(weft_checkpoint_writer *w)
{
    if (!w) return;
    weft_st_abandon(w->st);
    free(w->plane);
    free(w->hash);
    free(w->entry);
    free(w->name);
    free(w);
}
