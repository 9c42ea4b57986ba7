#include "launch/manifest.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/fnv.h"
#include "core/io/file.h"
#include "launch/manifest_census.h"
#include "launch/manifest_lines.h"
#include "launch/manifest_rule.h"
#include "launch/manifest_twice.h"
#include "launch/said.h"

static weft_status no_memory(void)
{
    return weft_fail(WEFT_ENOMEM, "out of memory for a manifest");
}

/* Not a cryptographic one: it notices a file that has changed. */
static uint64_t fold(uint64_t h, const char *s, size_t bytes)
{
    return weft_fnv(h, s, bytes) * 31 + 1;
}

/* ---- the first reading --------------------------------------------------- */

typedef struct reading {
    weft_manifest *m;
    weft_lines l;
    weft_twice twice;
    weft_census census;
    int room; /* of shards */
    weft_words words;
} reading;

static weft_status grow(reading *r)
{
    const int room = r->room ? 2 * r->room : 64;
    uint64_t *offset =
        realloc(r->m->offset, ((size_t)room + 1) * sizeof *offset);
    uint64_t *check;
    int64_t *line;
    double *cost;

    if (offset) r->m->offset = offset;
    check = realloc(r->m->check, (size_t)room * sizeof *check);
    if (check) r->m->check = check;
    line = realloc(r->m->line, (size_t)room * sizeof *line);
    if (line) r->m->line = line;
    cost = realloc(r->m->cost, (size_t)room * sizeof *cost);
    if (cost) r->m->cost = cost;
    if (!offset || !check || !line || !cost) return no_memory();
    r->room = room;
    return WEFT_OK;
}

static weft_status take_item(reading *r, const char *s, size_t bytes)
{
    weft_manifest *m = r->m;
    weft_item item;
    double cost;
    int k;

    WEFT_TRY(weft_lines_item(&r->l, s, bytes, &item, &r->words));
    WEFT_TRY(
        weft_lines_blame(&r->l, weft_census_take(&r->census, &item, &r->words,
                                                 r->l.number, &cost)));
    WEFT_TRY(weft_twice_add(&r->twice, &item, r->words.keys));
    if (m->items % m->shard_size == 0) {
        if (m->shards == r->room) WEFT_TRY(grow(r));
        m->offset[m->shards] = r->l.begins;
        m->line[m->shards] = r->l.number - 1;
        m->cost[m->shards] = 0;
        m->check[m->shards++] = 0;
    }
    k = m->shards - 1;
    m->items++;
    m->cost[k] += cost;
    m->check[k] = fold(m->check[k], s, bytes);
    m->offset[k + 1] = r->l.next;
    return WEFT_OK;
}

static weft_status read_all(reading *r)
{
    const char *s;
    size_t bytes;

    WEFT_TRY(weft_lines_header(&r->l));
    for (;;) {
        WEFT_TRY(weft_lines_next(&r->l, &s, &bytes));
        if (!s) break;
        WEFT_TRY(take_item(r, s, bytes));
    }
    weft_hash_text(r->l.hash, r->m->sha256);
    if (!r->m->items)
        return weft_fail(WEFT_EINPUT, "%s: has no items", r->m->name);
    weft_kinds_release(&r->census.kinds);
    return weft_twice_check(&r->twice, r->m);
}

static weft_status read_file(weft_manifest *m, uint64_t bytes,
                             weft_manifest_check *check, void *arg)
{
    reading *r = calloc(1, sizeof *r);
    weft_status st;
    weft_hash hash;

    if (!r) return no_memory();
    r->m = m;
    r->census = (weft_census){.m = m, .check = check, .arg = arg};
    r->twice.contents = !m->spec->repeat;
    st = weft_lines_open(m, bytes, &r->l);
    if (st == WEFT_OK) {
        weft_hash_start(&hash);
        r->l.hash = &hash;
        st = read_all(r);
        weft_lines_close(&r->l);
    }
    weft_kinds_release(&r->census.kinds);
    weft_twice_release(&r->twice);
    free(r);
    return st;
}

/* ---- opening ------------------------------------------------------------- */

static bool ends_in(const char *path, const char *end)
{
    const size_t n = strlen(path), m = strlen(end);

    return n >= m && strcasecmp(path + n - m, end) == 0;
}

static weft_status open_file(const weft_config_dataset *d, weft_manifest *m,
                             uint64_t *bytes)
{
    size_t size;

    m->name = strdup(d->manifest);
    if (!m->name) return no_memory();
    m->table = ends_in(d->manifest, ".csv");
    WEFT_TRY(weft_file_open(d->manifest, &m->fd, &size));
    *bytes = size;
    return WEFT_OK;
}

static weft_manifest *new_manifest(const weft_config_dataset *d)
{
    weft_manifest *m = calloc(1, sizeof *m);

    if (!m) return NULL;
    m->kind = calloc(WEFT_KINDS + 1, sizeof *m->kind);
    if (!m->kind) {
        free(m);
        return NULL;
    }
    m->spec = d;
    m->shard_size = d->shard_size;
    m->fd = -1;
    return m;
}

weft_status weft_manifest_read(const weft_config_dataset *d, int classes,
                               weft_manifest_check *check, void *arg,
                               weft_manifest **out)
{
    weft_manifest *m = new_manifest(d);
    uint64_t bytes = 0;
    weft_status st;

    if (!m) return no_memory();
    if (d->manifest) {
        st = open_file(d, m, &bytes);
        if (st == WEFT_OK) st = read_file(m, bytes, check, arg);
    } else {
        st = weft_manifest_rule(d, classes, m);
    }
    if (st == WEFT_OK)
        *out = m;
    else
        weft_manifest_free(m);
    return st;
}

void weft_manifest_free(weft_manifest *m)
{
    if (!m) return;
    if (m->fd >= 0) close(m->fd);
    for (int i = 0; i <= WEFT_KINDS; i++) weft_kind_release(&m->kind[i]);
    free(m->kind);
    free(m->name);
    free(m->offset);
    free(m->check);
    free(m->line);
    free(m->cost);
    free(m);
}

/* ---- for other ranks ----------------------------------------------------- */

/* All numbers of one, then the keys of its first kind and what that says,
 * offsets, checks, lines and costs. */
typedef struct packed {
    int64_t items, kinds;
    int32_t shards, labels;
    weft_kind first; /* of its texts whether they are there */
    weft_range all;
    char sha256[WEFT_HASH_TEXT];
} packed;

/* A rule has none of these. */
static size_t offsets_of(const weft_manifest *m)
{
    return m->offset ? (size_t)m->shards : 0;
}

weft_status weft_manifest_pack(const weft_manifest *m, char **data,
                               size_t *bytes)
{
    const weft_kind *k = &m->kind[0];
    const char *const text[] = {k->keys, k->said.prompt, k->said.negative};
    const size_t n = offsets_of(m);
    const size_t own = k->said.own ? weft_said_bytes(k->said.own) : 0;
    packed p = {.items = m->items,
                .kinds = m->kinds,
                .shards = m->shards,
                .labels = m->labels,
                .first = *k,
                .all = m->all};
    char *at;

    memcpy(p.sha256, m->sha256, sizeof p.sha256);
    *bytes = sizeof p + own + (n ? (4 * n + 1) * 8 : 0);
    for (int i = 0; i < 3; i++) *bytes += text[i] ? strlen(text[i]) + 1 : 0;
    at = *data = malloc(*bytes);
    if (!at) return no_memory();
    at = mempcpy(at, &p, sizeof p);
    for (int i = 0; i < 3; i++)
        if (text[i]) at = mempcpy(at, text[i], strlen(text[i]) + 1);
    if (own) at = mempcpy(at, k->said.own, own);
    if (!n) return WEFT_OK;
    at = mempcpy(at, m->offset, (n + 1) * sizeof *m->offset);
    at = mempcpy(at, m->check, n * sizeof *m->check);
    at = mempcpy(at, m->line, n * sizeof *m->line);
    memcpy(at, m->cost, n * sizeof *m->cost);
    return WEFT_OK;
}

static weft_status unpack_file(weft_manifest *m, const char *at)
{
    const size_t n = (size_t)m->shards;
    uint64_t bytes;

    m->offset = malloc((n + 1) * sizeof *m->offset);
    m->check = malloc(n * sizeof *m->check);
    m->line = malloc(n * sizeof *m->line);
    m->cost = malloc(n * sizeof *m->cost);
    if (!m->offset || !m->check || !m->line || !m->cost) return no_memory();
    memcpy(m->offset, at, (n + 1) * sizeof *m->offset);
    at += (n + 1) * sizeof *m->offset;
    memcpy(m->check, at, n * sizeof *m->check);
    at += n * sizeof *m->check;
    memcpy(m->line, at, n * sizeof *m->line);
    memcpy(m->cost, at + n * sizeof *m->line, n * sizeof *m->cost);
    return open_file(m->spec, m, &bytes);
}

/* Texts of the first kind where there were some; moves *at behind them. */
static weft_status unpack_kind(weft_kind *k, const char **at)
{
    char **const text[] = {&k->keys, &k->said.prompt, &k->said.negative};
    bool whole = true;

    for (int i = 0; i < 3; i++) {
        if (!*text[i]) continue;
        *text[i] = strdup(*at);
        whole &= *text[i] != NULL;
        *at += strlen(*at) + 1;
    }
    if (k->said.own) {
        const size_t bytes = weft_said_bytes(*at);

        k->said.own = malloc(bytes);
        if (k->said.own) memcpy(k->said.own, *at, bytes);
        whole &= k->said.own != NULL;
        *at += bytes;
    }
    return whole ? WEFT_OK : no_memory();
}

static weft_status unpack(weft_manifest *m, const char *data)
{
    const char *at = data + sizeof(packed);
    packed p;

    memcpy(&p, data, sizeof p);
    m->items = p.items;
    m->kinds = p.kinds;
    m->shards = p.shards;
    m->labels = p.labels;
    m->all = p.all;
    memcpy(m->sha256, p.sha256, sizeof p.sha256);
    m->kind[0] = p.first;
    m->kept = 1;
    WEFT_TRY(unpack_kind(&m->kind[0], &at));
    if (m->spec->manifest) return unpack_file(m, at);
    m->name = strdup("dataset.items");
    return m->name ? WEFT_OK : no_memory();
}

weft_status weft_manifest_unpack(const weft_config_dataset *d, const char *data,
                                 size_t bytes, weft_manifest **out)
{
    weft_manifest *m = new_manifest(d);
    weft_status st;

    WEFT_MUST(bytes >= sizeof(packed));
    if (!m) return no_memory();
    st = unpack(m, data);
    if (st == WEFT_OK)
        *out = m;
    else
        weft_manifest_free(m);
    return st;
}

/* ---- shards -------------------------------------------------------------- */

int weft_manifest_count(const weft_manifest *m, int k)
{
    const int64_t first = (int64_t)k * m->shard_size;

    return m->items - first < m->shard_size ? (int)(m->items - first)
                                            : m->shard_size;
}

static weft_status changed(const weft_manifest *m)
{
    return weft_fail(WEFT_EINPUT,
                     "%s: has changed since this job began, or is another file "
                     "on this node",
                     m->name);
}

void weft_items_free(weft_items *l)
{
    if (!l) return;
    for (int i = 0; i < l->n && l->item; i++) {
        free(l->item[i].caption);
        weft_said_release(&l->item[i].said);
    }
    for (int k = 0; k < l->kinds; k++) free(l->keys[k]);
    free(l->item);
    free(l->keys);
    free(l);
}

static weft_items *new_items(int n)
{
    weft_items *l = calloc(1, sizeof *l);

    if (!l) return NULL;
    l->n = n;
    l->item = calloc((size_t)n, sizeof *l->item);
    l->keys = calloc((size_t)n, sizeof *l->keys);
    if (l->item && l->keys) return l;
    weft_items_free(l);
    return NULL;
}

/* Which kind of the list that is; a new one if none. */
static weft_status find_kind(weft_items *l, weft_kinds *t, const char *keys,
                             int *kind)
{
    uint64_t hash = weft_keys_hash(keys, strlen(keys));
    weft_met *met;

    for (;; hash++) {
        WEFT_TRY(weft_kinds_find(t, hash ? hash : 1, &met));
        if (!met->hash) break;
        *kind = met->at;
        if (strcmp(l->keys[met->at], keys) == 0) return WEFT_OK;
    }
    l->keys[l->kinds] = strdup(keys);
    if (!l->keys[l->kinds]) return no_memory();
    *met = (weft_met){.hash = hash ? hash : 1, .at = *kind = l->kinds++};
    t->n++;
    return WEFT_OK;
}

/* What stands where a shard's items stand. */
typedef struct rereading {
    const weft_manifest *m;
    int k;
    weft_lines l;
    weft_kinds kinds;
    weft_words words;
} rereading;

static weft_status reread_item(rereading *r, weft_items *l, weft_item *item,
                               uint64_t *check)
{
    const char *s;
    size_t bytes;

    WEFT_TRY(weft_lines_next(&r->l, &s, &bytes));
    if (!s) return changed(r->m);
    WEFT_TRY(weft_lines_item(&r->l, s, bytes, item, &r->words));
    item->line = r->l.number;
    WEFT_TRY(find_kind(l, &r->kinds, r->words.kind, &item->kind));
    *check = fold(*check, s, bytes);
    WEFT_TRY(weft_said_take(&r->words, &item->said));
    if (!r->words.caption[0]) return WEFT_OK;
    item->caption = strdup(r->words.caption);
    return item->caption ? WEFT_OK : no_memory();
}

static weft_status reread(rereading *r, weft_items *l)
{
    uint64_t check = 0;

    for (int i = 0; i < l->n; i++)
        WEFT_TRY(reread_item(r, l, &l->item[i], &check));
    return check == r->m->check[r->k] ? WEFT_OK : changed(r->m);
}

static weft_status open_shard(const weft_manifest *m, int k, weft_lines *l)
{
    WEFT_TRY(weft_lines_open(m, m->offset[m->shards], l));
    if (weft_lines_header(l) != WEFT_OK) {
        weft_lines_close(l);
        return changed(m);
    }
    l->at = l->next = m->offset[k];
    l->end = m->offset[k + 1];
    l->from = l->to = 0;
    l->number = m->line[k];
    return WEFT_OK;
}

static weft_status read_shard(const weft_manifest *m, int k, weft_items *l)
{
    rereading *r = calloc(1, sizeof *r);
    weft_status st;

    if (!r) return no_memory();
    r->m = m;
    r->k = k;
    st = open_shard(m, k, &r->l);
    if (st == WEFT_OK) {
        st = reread(r, l);
        weft_lines_close(&r->l);
    }
    weft_kinds_release(&r->kinds);
    free(r);
    return st;
}

static weft_status make_shard(const weft_manifest *m, int k, weft_items *l)
{
    weft_manifest_rule_shard(m, k, l->item);
    l->keys[0] = strdup("");
    if (!l->keys[0]) return no_memory();
    l->kinds = 1;
    return WEFT_OK;
}

weft_status weft_manifest_shard(const weft_manifest *m, int k, weft_items **out)
{
    weft_items *l;
    weft_status st;

    WEFT_MUST(k >= 0 && k < m->shards);
    l = new_items(weft_manifest_count(m, k));
    if (!l) return no_memory();
    st = m->offset ? read_shard(m, k, l) : make_shard(m, k, l);
    if (st == WEFT_OK)
        *out = l;
    else
        weft_items_free(l);
    return st;
}

static weft_status walk(weft_lines *l, weft_words *w,
                        weft_manifest_visit *visit, void *arg)
{
    weft_item item;
    const char *s;
    size_t bytes;

    WEFT_TRY(weft_lines_header(l));
    for (;;) {
        WEFT_TRY(weft_lines_next(l, &s, &bytes));
        if (!s) return WEFT_OK;
        WEFT_TRY(weft_lines_item(l, s, bytes, &item, w));
        WEFT_TRY(visit(arg, &item, w->keys, l->number));
    }
}

weft_status weft_manifest_walk(const weft_manifest *m,
                               weft_manifest_visit *visit, void *arg)
{
    weft_words *w;
    weft_status st;
    weft_lines l;

    if (!m->offset) return weft_manifest_rule_walk(m, visit, arg);
    w = malloc(sizeof *w);
    if (!w) return no_memory();
    st = weft_lines_open(m, m->offset[m->shards], &l);
    if (st == WEFT_OK) {
        st = walk(&l, w, visit, arg);
        weft_lines_close(&l);
    }
    free(w);
    return st;
}
