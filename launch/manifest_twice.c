#include "launch/manifest_twice.h"

#include <stdlib.h>
#include <string.h>

/* ---- hashes -------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint64_t hash_id(const weft_item *item)
{
    uint64_t h = 1469598103934665603u;

    for (const char *c = item->id; *c; c++)
        h = (h ^ (unsigned char)*c) * 1099511628211u;
    return mix(h, 1);
}

static uint64_t hash_content(const weft_item *item)
{
    return mix(mix(mix(1, item->seed), (uint64_t)(int64_t)item->label),
               (uint64_t)item->kind);
}

static bool same_id(const weft_item *a, const weft_item *b)
{
    return strcmp(a->id, b->id) == 0;
}

static bool same_content(const weft_item *a, const weft_item *b)
{
    return a->seed == b->seed && a->label == b->label && a->kind == b->kind;
}

/* ---- the list ------------------------------------------------------------ */

static weft_status grow(weft_twice *t)
{
    const size_t room = t->room ? 2 * t->room : 1 << 12;
    uint64_t *id = realloc(t->id, room * sizeof *id), *content = NULL;

    if (id) t->id = id;
    if (id && t->contents) {
        content = realloc(t->content, room * sizeof *content);
        if (content) t->content = content;
    }
    if (!id || (t->contents && !content))
        return weft_fail(WEFT_ENOMEM, "out of memory for %zu items", room);
    t->room = room;
    return WEFT_OK;
}

weft_status weft_twice_add(weft_twice *t, const weft_item *item)
{
    if (t->n == t->room) WEFT_TRY(grow(t));
    t->id[t->n] = hash_id(item);
    if (t->contents) t->content[t->n] = hash_content(item);
    t->n++;
    return WEFT_OK;
}

void weft_twice_release(weft_twice *t)
{
    free(t->id);
    free(t->content);
    *t = (weft_twice){.contents = t->contents};
}

/* ---- a suspicion --------------------------------------------------------- */

/* All items of one hash, until one of them is like the first. */
typedef struct suspect {
    uint64_t hash;
    uint64_t (*of)(const weft_item *);
    bool (*same)(const weft_item *, const weft_item *);
    weft_item first;
    long long line; /* of the first; 0: not met yet */
    long long again;
} suspect;

static weft_status look(void *arg, const weft_item *item, long long line)
{
    suspect *s = arg;

    if (s->again || s->of(item) != s->hash) return WEFT_OK;
    if (!s->line) {
        s->first = *item;
        s->line = line;
    } else if (s->same(item, &s->first)) {
        s->again = line;
    }
    return WEFT_OK;
}

static weft_status examine(const weft_manifest *m, suspect *s, bool content)
{
    WEFT_TRY(weft_manifest_walk(m, look, s));
    if (!s->again) return WEFT_OK;
    if (!content)
        return weft_fail(WEFT_EINPUT, "%s:%lld: id %s stands on line %lld too",
                         m->name, s->again, s->first.id, s->line);
    return weft_fail(WEFT_EINPUT,
                     "%s:%lld: the same item as %s on line %lld, but for its "
                     "id; dataset.duplicates: allow would make both",
                     m->name, s->again, s->first.id, s->line);
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static weft_status check(const weft_manifest *m, uint64_t *hash, size_t n,
                         bool content)
{
    qsort(hash, n, sizeof *hash, compare);
    for (size_t i = 1; i < n; i++) {
        suspect s = {.hash = hash[i],
                     .of = content ? hash_content : hash_id,
                     .same = content ? same_content : same_id};

        if (hash[i] == hash[i - 1]) WEFT_TRY(examine(m, &s, content));
    }
    return WEFT_OK;
}

weft_status weft_twice_check(weft_twice *t, const weft_manifest *m)
{
    WEFT_TRY(check(m, t->id, t->n, false));
    return t->contents ? check(m, t->content, t->n, true) : WEFT_OK;
}
