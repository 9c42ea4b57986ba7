#include "launch/manifest.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/io/file.h"
#include "launch/manifest_item.h"
#include "launch/manifest_rule.h"
#include "launch/manifest_twice.h"

enum { PIECE = 1 << 20 };

static weft_status no_memory(void)
{
    return weft_fail(WEFT_ENOMEM, "out of memory for a manifest");
}

/* ---- lines of a file ----------------------------------------------------- */

typedef struct lines {
    const weft_manifest *m;
    uint64_t at, end;      /* of what is still to be read from the file */
    char *buffer;          /* [PIECE + WEFT_LINE_BYTES + 1] */
    size_t from, to;       /* what was read and not yet handed out */
    uint64_t begins, next; /* in the file: the line handed out, the next */
    long long number;      /* of the line handed out; 0: unknown */
    bool counted;          /* from the first of the file on */
    weft_hash *hash;       /* takes all that is read; or NULL */
    weft_line *fields, *header;
    char *header_text; /* what the header's fields point into */
} lines;

static void lines_close(lines *l)
{
    free(l->buffer);
    free(l->header_text);
    free(l->fields);
    free(l->header);
}

static weft_status lines_open(const weft_manifest *m, uint64_t from,
                              uint64_t to, lines *l)
{
    *l = (lines){
        .m = m, .at = from, .end = to, .next = from, .counted = from == 0};
    l->buffer = malloc(PIECE + WEFT_LINE_BYTES + 1);
    l->fields = malloc(sizeof *l->fields);
    l->header = malloc(sizeof *l->header);
    if (l->buffer && l->fields && l->header) return WEFT_OK;
    lines_close(l);
    return no_memory();
}

/* At most one more piece. */
static weft_status read_more(lines *l)
{
    const uint64_t left = l->end - l->at;
    const size_t want = left < PIECE ? (size_t)left : PIECE;
    ssize_t n;

    memmove(l->buffer, l->buffer + l->from, l->to - l->from);
    l->to -= l->from;
    l->from = 0;
    do n = pread(l->m->fd, l->buffer + l->to, want, (off_t)l->at);
    while (n < 0 && errno == EINTR);
    if (n < 0) return weft_file_fail(errno, l->m->name, "read");
    if (n == 0)
        return weft_fail(WEFT_EINPUT, "%s: was shortened while it was read",
                         l->m->name);
    if (l->hash) weft_hash_add(l->hash, l->buffer + l->to, (size_t)n);
    l->at += (uint64_t)n;
    l->to += (size_t)n;
    return WEFT_OK;
}

/* "FILE:LINE: " before what was said of a line. */
static weft_status at_line(const lines *l, weft_status s)
{
    if (s == WEFT_OK || s == WEFT_ENOMEM) return s;
    return l->number ? weft_fail_within(s, "%s:%lld", l->m->name, l->number)
                     : weft_fail_within(s, "%s", l->m->name);
}

/* The next line without its end, or *s NULL. */
static weft_status next_line(lines *l, const char **s, size_t *bytes)
{
    const char *end;

    while (!(end = memchr(l->buffer + l->from, '\n', l->to - l->from)) &&
           l->at < l->end && l->to - l->from <= WEFT_LINE_BYTES)
        WEFT_TRY(read_more(l));
    *s = l->to > l->from ? l->buffer + l->from : NULL;
    if (!*s) return WEFT_OK;
    if (l->counted) l->number++;
    *bytes = end ? (size_t)(end - *s) : l->to - l->from;
    if (*bytes > WEFT_LINE_BYTES)
        return at_line(l, weft_fail(WEFT_EINPUT, "a line of more than %d bytes",
                                    WEFT_LINE_BYTES));
    l->begins = l->next;
    l->next += *bytes + (end != NULL);
    l->from += *bytes + (end != NULL);
    if (*bytes && (*s)[*bytes - 1] == '\r') --*bytes;
    return WEFT_OK;
}

static bool is_blank(const char *s, size_t bytes)
{
    while (bytes && (*s == ' ' || *s == '\t')) s++, bytes--;
    return bytes == 0;
}

/* The same that is not blank, and a byte order mark left out. */
static weft_status next_full(lines *l, const char **s, size_t *bytes)
{
    do {
        WEFT_TRY(next_line(l, s, bytes));
        if (*s && l->begins == 0 && *bytes >= 3 &&
            memcmp(*s, "\xef\xbb\xbf", 3) == 0) {
            *s += 3;
            *bytes -= 3;
        }
    } while (*s && is_blank(*s, *bytes));
    return WEFT_OK;
}

/* ---- items --------------------------------------------------------------- */

static int find_kind(const weft_manifest *m, const char *keys)
{
    for (int i = 0; i < m->kinds; i++)
        if (strcmp(m->kind[i].keys, keys) == 0) return i;
    return -1;
}

/* The item on a line, and the words that make its kind. */
static weft_status read_item(lines *l, const char *s, size_t bytes,
                             weft_item *item, char keys[WEFT_KEYS_ROOM])
{
    weft_status st = l->m->table ? weft_line_row(l->header, s, bytes, l->fields)
                                 : weft_line_json(s, bytes, l->fields);

    if (st == WEFT_OK) st = weft_item_take(l->fields, item, keys);
    return at_line(l, st);
}

static weft_status read_header(lines *l)
{
    const char *s;
    size_t bytes;

    if (!l->m->table) return WEFT_OK;
    WEFT_TRY(next_full(l, &s, &bytes));
    if (!s) return weft_fail(WEFT_EINPUT, "%s: is empty", l->m->name);
    l->header_text = malloc(bytes + 1);
    if (!l->header_text) return no_memory();
    memcpy(l->header_text, s, bytes); /* there may be zeros in it */
    WEFT_TRY(at_line(l, weft_line_cells(l->header_text, bytes, l->header)));
    for (int i = 0; i < l->header->n; i++)
        for (int k = 0; k < i; k++)
            if (l->header->field[i].nvalue == l->header->field[k].nvalue &&
                memcmp(l->header->field[i].value, l->header->field[k].value,
                       l->header->field[i].nvalue) == 0)
                return at_line(
                    l, weft_fail(WEFT_EINPUT, "a column stands there twice"));
    return WEFT_OK;
}

/* Not a cryptographic one: it notices a file that has changed. */
static uint64_t fold(uint64_t h, const char *s, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ (unsigned char)s[i]) * 1099511628211u;
    return h * 31 + 1;
}

/* ---- the first reading --------------------------------------------------- */

typedef struct reading {
    weft_manifest *m;
    lines l;
    weft_twice twice;
    int room; /* of shards */
    char keys[WEFT_KEYS_ROOM];
} reading;

static weft_status grow(reading *r)
{
    const int room = r->room ? 2 * r->room : 64;
    uint64_t *offset =
        realloc(r->m->offset, ((size_t)room + 1) * sizeof *offset);
    uint64_t *check;
    int(*count)[WEFT_KINDS];

    if (offset) r->m->offset = offset;
    check = realloc(r->m->check, (size_t)room * sizeof *check);
    if (check) r->m->check = check;
    count = realloc(r->m->count, (size_t)room * sizeof *count);
    if (count) r->m->count = count;
    if (!offset || !check || !count) return no_memory();
    r->room = room;
    return WEFT_OK;
}

static weft_status take_kind(reading *r, weft_item *item)
{
    weft_manifest *m = r->m;
    weft_kind *k;

    item->kind = find_kind(m, r->keys);
    if (item->kind < 0) {
        if (m->kinds == WEFT_KINDS)
            return at_line(
                &r->l,
                weft_fail(WEFT_EINPUT,
                          "more than %d different sets of parameters; items "
                          "may differ in id, label and seed without end",
                          WEFT_KINDS));
        k = &m->kind[m->kinds];
        *k = (weft_kind){
            .keys = strdup(r->keys), .most = -1, .line = r->l.number};
        if (!k->keys) return no_memory();
        item->kind = m->kinds++;
    }
    k = &m->kind[item->kind];
    if (item->label < 0 && !k->bare_line) k->bare_line = r->l.number;
    if (item->label <= k->most) return WEFT_OK;
    k->most = item->label;
    k->most_line = r->l.number;
    return WEFT_OK;
}

static weft_status take_item(reading *r, const char *s, size_t bytes)
{
    weft_manifest *m = r->m;
    weft_item item;

    WEFT_TRY(read_item(&r->l, s, bytes, &item, r->keys));
    WEFT_TRY(take_kind(r, &item));
    WEFT_TRY(weft_twice_add(&r->twice, &item));
    if (m->items % m->shard_size == 0) {
        if (m->shards == r->room) WEFT_TRY(grow(r));
        m->offset[m->shards] = r->l.begins;
        memset(m->count[m->shards], 0, sizeof *m->count);
        m->check[m->shards++] = 0;
    }
    m->items++;
    m->count[m->shards - 1][item.kind]++;
    m->check[m->shards - 1] = fold(m->check[m->shards - 1], s, bytes);
    m->offset[m->shards] = r->l.next;
    return WEFT_OK;
}

static weft_status read_all(reading *r)
{
    const char *s;
    size_t bytes;

    WEFT_TRY(read_header(&r->l));
    for (;;) {
        WEFT_TRY(next_full(&r->l, &s, &bytes));
        if (!s) break;
        WEFT_TRY(take_item(r, s, bytes));
    }
    weft_hash_text(r->l.hash, r->m->sha256);
    if (!r->m->items)
        return weft_fail(WEFT_EINPUT, "%s: has no items", r->m->name);
    return weft_twice_check(&r->twice, r->m);
}

static weft_status read_file(weft_manifest *m, uint64_t bytes)
{
    reading *r = calloc(1, sizeof *r);
    weft_status st;
    weft_hash hash;

    if (!r) return no_memory();
    r->m = m;
    r->twice.contents = !m->spec->repeat;
    st = lines_open(m, 0, bytes, &r->l);
    if (st == WEFT_OK) {
        weft_hash_start(&hash);
        r->l.hash = &hash;
        st = read_all(r);
        lines_close(&r->l);
    }
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
    m->spec = d;
    m->shard_size = d->shard_size;
    m->fd = -1;
    return m;
}

weft_status weft_manifest_read(const weft_config_dataset *d, int classes,
                               weft_manifest **out)
{
    weft_manifest *m = new_manifest(d);
    uint64_t bytes = 0;
    weft_status st;

    if (!m) return no_memory();
    if (d->manifest) {
        st = open_file(d, m, &bytes);
        if (st == WEFT_OK) st = read_file(m, bytes);
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
    for (int i = 0; i < m->kinds; i++) free(m->kind[i].keys);
    free(m->name);
    free(m->offset);
    free(m->check);
    free(m->count);
    free(m);
}

/* ---- for other ranks ----------------------------------------------------- */

/* All numbers of one, then texts of kinds, offsets and checks. */
typedef struct packed {
    int64_t items;
    int32_t shards, kinds, labels;
    weft_kind kind[WEFT_KINDS]; /* without keys */
    weft_range all;
    char sha256[WEFT_HASH_TEXT];
} packed;

static size_t kinds_bytes(const weft_manifest *m)
{
    size_t n = 0;

    for (int i = 0; i < m->kinds; i++) n += strlen(m->kind[i].keys) + 1;
    return n;
}

/* A rule has neither offsets nor checks. */
static size_t offsets_of(const weft_manifest *m)
{
    return m->offset ? (size_t)m->shards : 0;
}

weft_status weft_manifest_pack(const weft_manifest *m, char **data,
                               size_t *bytes)
{
    const size_t n = offsets_of(m);
    packed p = {.items = m->items,
                .shards = m->shards,
                .kinds = m->kinds,
                .labels = m->labels,
                .all = m->all};
    char *at;

    memcpy(p.sha256, m->sha256, sizeof p.sha256);
    memcpy(p.kind, m->kind, sizeof p.kind);
    *bytes = sizeof p + kinds_bytes(m) +
             (n ? (2 * n + 1) * 8 + n * sizeof *m->count : 0);
    at = *data = malloc(*bytes);
    if (!at) return no_memory();
    at = mempcpy(at, &p, sizeof p);
    for (int i = 0; i < m->kinds; i++)
        at = mempcpy(at, m->kind[i].keys, strlen(m->kind[i].keys) + 1);
    if (!n) return WEFT_OK;
    at = mempcpy(at, m->offset, (n + 1) * sizeof *m->offset);
    at = mempcpy(at, m->check, n * sizeof *m->check);
    memcpy(at, m->count, n * sizeof *m->count);
    return WEFT_OK;
}

static weft_status unpack_file(weft_manifest *m, const char *at)
{
    const size_t n = (size_t)m->shards;
    uint64_t bytes;

    m->offset = malloc((n + 1) * sizeof *m->offset);
    m->check = malloc(n * sizeof *m->check);
    m->count = malloc(n * sizeof *m->count);
    if (!m->offset || !m->check || !m->count) return no_memory();
    memcpy(m->offset, at, (n + 1) * sizeof *m->offset);
    at += (n + 1) * sizeof *m->offset;
    memcpy(m->check, at, n * sizeof *m->check);
    memcpy(m->count, at + n * sizeof *m->check, n * sizeof *m->count);
    return open_file(m->spec, m, &bytes);
}

static weft_status unpack(weft_manifest *m, const char *data)
{
    const char *at = data + sizeof(packed);
    packed p;

    memcpy(&p, data, sizeof p);
    m->items = p.items;
    m->shards = p.shards;
    m->labels = p.labels;
    m->all = p.all;
    memcpy(m->sha256, p.sha256, sizeof p.sha256);
    for (int i = 0; i < p.kinds; i++, at += strlen(at) + 1) {
        m->kind[i] = p.kind[i];
        m->kind[i].keys = strdup(at);
        if (!m->kind[i].keys) return no_memory();
        m->kinds++;
    }
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

static weft_status read_shard(const weft_manifest *m, int k, lines *l,
                              weft_item *item)
{
    char keys[WEFT_KEYS_ROOM];
    uint64_t check = 0;
    const char *s;
    size_t bytes;

    for (int i = 0; i < weft_manifest_count(m, k); i++) {
        WEFT_TRY(next_full(l, &s, &bytes));
        if (!s) return changed(m);
        WEFT_TRY(read_item(l, s, bytes, &item[i], keys));
        item[i].kind = find_kind(m, keys);
        if (item[i].kind < 0) return changed(m);
        check = fold(check, s, bytes);
    }
    return check == m->check[k] ? WEFT_OK : changed(m);
}

static weft_status open_shard(const weft_manifest *m, int k, lines *l)
{
    WEFT_TRY(lines_open(m, 0, m->offset[m->shards], l));
    if (read_header(l) != WEFT_OK) {
        lines_close(l);
        return changed(m);
    }
    l->at = l->next = m->offset[k];
    l->end = m->offset[k + 1];
    l->from = l->to = 0;
    l->number = 0;
    l->counted = false;
    return WEFT_OK;
}

weft_status weft_manifest_shard(const weft_manifest *m, int k, weft_item *item)
{
    weft_status st;
    lines l;

    WEFT_MUST(k >= 0 && k < m->shards);
    if (!m->offset) return weft_manifest_rule_shard(m, k, item);
    WEFT_TRY(open_shard(m, k, &l));
    st = read_shard(m, k, &l, item);
    lines_close(&l);
    return st;
}

weft_status weft_manifest_walk(const weft_manifest *m,
                               weft_manifest_visit *visit, void *arg)
{
    char keys[WEFT_KEYS_ROOM];
    weft_item item;
    weft_status st;
    const char *s;
    size_t bytes;
    lines l;

    if (!m->offset) return weft_manifest_rule_walk(m, visit, arg);
    WEFT_TRY(lines_open(m, 0, m->offset[m->shards], &l));
    st = read_header(&l);
    while (st == WEFT_OK) {
        st = next_full(&l, &s, &bytes);
        if (st != WEFT_OK || !s) break;
        st = read_item(&l, s, bytes, &item, keys);
        item.kind = find_kind(m, keys);
        if (st == WEFT_OK) st = visit(arg, &item, l.number);
    }
    lines_close(&l);
    return st;
}
