#include "launch/sights.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/fnv.h"
#include "core/io/png.h"
#include "launch/manifest_item.h"

static weft_status no_memory(void)
{
    return weft_fail(WEFT_ENOMEM, "out of memory for control pictures");
}

/* What a kind names, from the manifest on; *path is owned, NULL: nothing. */
static weft_status find_path(const weft_manifest *m, const char *keys,
                             char **path)
{
    const char *slash = strrchr(m->name, '/');
    const char *value = weft_keys_find(keys, "control");
    json_t *json;

    *path = NULL;
    if (!value) return WEFT_OK;
    json = json_loadb(value, strcspn(value, "\n"), JSON_DECODE_ANY, NULL);
    if (!json_is_string(json)) {
        json_decref(json);
        return no_memory(); /* whoever read the manifest saw a text */
    }
    value = json_string_value(json);
    if (asprintf(path, "%.*s%s",
                 slash && value[0] != '/' ? (int)(slash + 1 - m->name) : 0,
                 m->name, value) < 0)
        *path = NULL;
    json_decref(json);
    return *path ? WEFT_OK : no_memory();
}

/* ---- marks --------------------------------------------------------------- */

static void fold_file(const char *path, uint64_t *h)
{
    struct stat st;
    int64_t is[3] = {-1};

    if (stat(path, &st) == 0) {
        is[0] = st.st_size;
        is[1] = st.st_mtim.tv_sec;
        is[2] = st.st_mtim.tv_nsec;
    }
    *h = weft_fnv(*h, is, sizeof is);
}

static void write_number(uint64_t h, char text[17])
{
    snprintf(text, 17, "%016" PRIx64, h);
}

/* ---- looking ------------------------------------------------------------- */

static weft_status keep_fault(weft_sights *s, int k)
{
    s->fault[k] = strdup(weft_fail_text());
    s->sha256[k][0] = '\0';
    return s->fault[k] ? WEFT_OK : no_memory();
}

static weft_status look_at(weft_sights *s, int k, const char *path)
{
    unsigned char *pixels;
    int width, height, channels;
    weft_status st = weft_hash_file(path, s->sha256[k], NULL);

    if (st == WEFT_OK)
        st = weft_png_read(path, &width, &height, &channels, &pixels);
    if (st == WEFT_ENOMEM) return st;
    if (st != WEFT_OK) return keep_fault(s, k);
    free(pixels);
    s->seen = weft_fnv(s->seen ? s->seen : WEFT_FNV_BASIS, s->sha256[k],
                       WEFT_HASH_TEXT);
    return WEFT_OK;
}

static weft_status make_mark(const weft_items *items, uint64_t stamp,
                             weft_sights *s)
{
    json_t *of = json_object(), *faults = json_object();
    char text[17];

    for (int i = 0; i < items->n; i++) {
        const weft_item *item = &items->item[i];
        const char *fault = s->fault[item->kind];

        if (fault)
            json_object_set_new(faults, item->id, json_string(fault));
        else if (s->sha256[item->kind][0])
            json_object_set_new(of, item->id,
                                json_string(s->sha256[item->kind]));
    }
    write_number(stamp, text);
    s->mark = json_pack("{s:s, s:o, s:o}", "stamp", text, "sha256", of,
                        "faults", faults);
    return s->mark ? WEFT_OK : no_memory();
}

/* Kinds come in the order of their first items. */
static weft_status look(const weft_manifest *m, const weft_items *items,
                        weft_sights *s)
{
    uint64_t stamp = WEFT_FNV_BASIS, next;
    bool any = false;

    for (int k = 0; k < items->kinds; k++) {
        weft_status st;
        char *path;

        WEFT_TRY(find_path(m, items->keys[k], &path));
        if (!path) continue;
        any = true;
        next = stamp;
        fold_file(path, &next);
        st = look_at(s, k, path);
        free(path);
        WEFT_TRY(st);
        if (s->sha256[k][0]) stamp = next;
    }
    return any ? make_mark(items, stamp, s) : WEFT_OK;
}

weft_status weft_sights_look(const weft_manifest *m, const weft_items *items,
                             weft_sights *s)
{
    const size_t n = (size_t)items->kinds;
    weft_status st;

    *s = (weft_sights){.kinds = items->kinds,
                       .fault = calloc(n + 1, sizeof *s->fault),
                       .sha256 = calloc(n + 1, sizeof *s->sha256)};
    st = s->fault && s->sha256 ? look(m, items, s) : no_memory();
    if (st != WEFT_OK) weft_sights_release(s);
    return st;
}

void weft_sights_release(weft_sights *s)
{
    for (int k = 0; k < s->kinds && s->fault; k++) free(s->fault[k]);
    free(s->fault);
    free(s->sha256);
    json_decref(s->mark);
    *s = (weft_sights){.kinds = 0};
}

/* ---- going on ------------------------------------------------------------ */

/* Of a finished shard. */
typedef struct check {
    const weft_manifest *m;
    const weft_items *items;
    const json_t *sha256;
    int shard;
} check;

/* The picture of an item that was made; *path NULL: it has none, or failed. */
static weft_status find_made(const check *c, int i, const char **sha256,
                             char **path)
{
    const weft_item *item = &c->items->item[i];

    *path = NULL;
    *sha256 = json_string_value(json_object_get(c->sha256, item->id));
    if (!*sha256) return WEFT_OK;
    return find_path(c->m, c->items->keys[item->kind], path);
}

static weft_status check_content(const check *c)
{
    char found[WEFT_HASH_TEXT], *path;
    const char *want;

    for (int i = 0; i < c->items->n; i++) {
        weft_status st;

        WEFT_TRY(find_made(c, i, &want, &path));
        if (!path) continue;
        st = weft_hash_file(path, found, NULL);
        if (st == WEFT_OK && strcmp(found, want) != 0)
            st = weft_fail(WEFT_EINPUT,
                           "%s:%lld: %s has changed since shard %06d was made "
                           "with it; another data set needs an output.dir of "
                           "its own",
                           c->m->name, c->items->item[i].line, path, c->shard);
        free(path);
        WEFT_TRY(st);
    }
    return WEFT_OK;
}

/* Of the kinds of items that were made. */
static weft_status stamp_of(const check *c, char text[17])
{
    uint64_t stamp = WEFT_FNV_BASIS;
    const char *sha256;
    int known = -1;
    char *path;

    for (int i = 0; i < c->items->n; i++) {
        if (c->items->item[i].kind <= known) continue;
        known = c->items->item[i].kind;
        WEFT_TRY(find_made(c, i, &sha256, &path));
        if (path) fold_file(path, &stamp);
        free(path);
    }
    write_number(stamp, text);
    return WEFT_OK;
}

weft_status weft_sights_check(const weft_manifest *m, int k, const json_t *mark)
{
    const json_t *pictures = json_object_get(mark, "pictures");
    const char *was = json_string_value(json_object_get(pictures, "stamp"));
    weft_items *items;
    char is[17];
    weft_status st;

    if (!pictures) return WEFT_OK;
    WEFT_TRY(weft_manifest_shard(m, k, &items));
    const check c = {m, items, json_object_get(pictures, "sha256"), k};

    st = stamp_of(&c, is);
    if (st == WEFT_OK && (!was || strcmp(was, is) != 0)) st = check_content(&c);
    weft_items_free(items);
    return st;
}
