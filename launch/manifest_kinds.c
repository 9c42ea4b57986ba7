#include "launch/manifest_kinds.h"

#include <stdlib.h>

#include "core/fnv.h"

uint64_t weft_keys_hash(const char *keys, size_t n)
{
    uint64_t h = weft_fnv(WEFT_FNV_BASIS, keys, n);

    h ^= h >> 32; /* the low bits choose the place */
    return h ? h : 1;
}

static weft_met *place_of(const weft_met *slot, size_t room, uint64_t hash)
{
    size_t i = hash & (room - 1);

    while (slot[i].hash && slot[i].hash != hash) i = (i + 1) & (room - 1);
    return (weft_met *)&slot[i];
}

/* At most three quarters full, and then one more. */
static weft_status grow(weft_kinds *t)
{
    const size_t room = t->room ? 2 * t->room : 64;
    weft_met *slot = calloc(room, sizeof *slot);

    if (!slot) return weft_fail(WEFT_ENOMEM, "out of memory for kinds");
    for (size_t i = 0; i < t->room; i++)
        if (t->slot[i].hash)
            *place_of(slot, room, t->slot[i].hash) = t->slot[i];
    free(t->slot);
    t->slot = slot;
    t->room = room;
    return WEFT_OK;
}

weft_status weft_kinds_find(weft_kinds *t, uint64_t hash, weft_met **place)
{
    if (4 * t->n >= 3 * t->room) WEFT_TRY(grow(t));
    *place = place_of(t->slot, t->room, hash);
    return WEFT_OK;
}

void weft_kinds_release(weft_kinds *t)
{
    free(t->slot);
    *t = (weft_kinds){.slot = NULL};
}
