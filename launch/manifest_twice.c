#include "launch/manifest_twice.h"

#include <stdlib.h>
#include <string.h>

#include "launch/manifest_kinds.h"

/* ---- hashes -------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint64_t hash_id(const weft_item *item, const char *keys)
{
    (void)keys;
    return mix(weft_keys_hash(item->id, strlen(item->id)), 1);
}

static uint64_t hash_content(const weft_item *item, const char *keys)
{
    return mix(mix(mix(1, item->seed), (uint64_t)(int64_t)item->label),
               weft_keys_hash(keys, strlen(keys)));
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

weft_status weft_twice_add(weft_twice *t, const weft_item *item,
                           const char *keys)
{
    if (t->n == t->room) WEFT_TRY(grow(t));
    t->id[t->n] = hash_id(item, keys);
    if (t->contents) t->content[t->n] = hash_content(item, keys);
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
    bool content; /* else ids */
    weft_item first;
    char *keys;     /* of the first; owned */
    long long line; /* of the first; 0: not met yet */
    long long again;
} suspect;

static bool is_like_first(const suspect *s, const weft_item *item,
                          const char *keys)
{
    if (!s->content) return strcmp(item->id, s->first.id) == 0;
    return item->seed == s->first.seed && item->label == s->first.label &&
           strcmp(keys, s->keys) == 0;
}

static weft_status look(void *arg, const weft_item *item, const char *keys,
                        long long line)
{
    suspect *s = arg;
    const uint64_t hash =
        s->content ? hash_content(item, keys) : hash_id(item, keys);

    if (s->again || hash != s->hash) return WEFT_OK;
    if (s->line) {
        if (is_like_first(s, item, keys)) s->again = line;
        return WEFT_OK;
    }
    s->first = *item;
    s->line = line;
    s->keys = strdup(keys);
    return s->keys ? WEFT_OK : weft_fail(WEFT_ENOMEM, "out of memory");
}

static weft_status examine(const weft_manifest *m, uint64_t hash, bool content)
{
    suspect s = {.hash = hash, .content = content};
    const weft_status st = weft_manifest_walk(m, look, &s);

    free(s.keys);
    if (st != WEFT_OK || !s.again) return st;
    if (!content)
        return weft_fail(WEFT_EINPUT, "%s:%lld: id %s stands on line %lld too",
                         m->name, s.again, s.first.id, s.line);
    return weft_fail(WEFT_EINPUT,
                     "%s:%lld: the same item as %s on line %lld, but for its "
                     "id; dataset.duplicates: allow would make both",
                     m->name, s.again, s.first.id, s.line);
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
    for (size_t i = 1; i < n; i++)
        if (hash[i] == hash[i - 1]) WEFT_TRY(examine(m, hash[i], content));
    return WEFT_OK;
}

weft_status weft_twice_check(weft_twice *t, const weft_manifest *m)
{
    WEFT_TRY(check(m, t->id, t->n, false));
    return t->contents ? check(m, t->content, t->n, true) : WEFT_OK;
}
