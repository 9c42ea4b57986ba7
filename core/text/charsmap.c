#include "core/text/charsmap.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Longer rules are not looked for, so that a damaged trie that goes round in
 * circles costs little. NFKC's longest take 18 bytes. */
enum { LONGEST_RULE = 256, UNIT = 4 };

/* ---- the double array ----------------------------------------------------
 * A unit is a node: the byte that leads to it, and what its place is combined
 * with to find its children: that, xor a byte, is the child's place. The child
 * by byte 0 is no node but the rule's result. */

static uint32_t unit_at(const weft_charsmap *m, size_t i)
{
    const unsigned char *u = m->unit + UNIT * i;

    return u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 |
           (uint32_t)u[3] << 24;
}

static bool has_result(uint32_t unit) { return unit >> 8 & 1; }

static bool is_result(uint32_t unit) { return unit >> 31; }

static uint32_t result_of(uint32_t unit) { return unit & 0x7fffffffu; }

static uint32_t label_of(uint32_t unit) { return unit & 0x800000ffu; }

static size_t offset_of(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
}

/* ---- building ------------------------------------------------------------ */

/* Every result that a node has must be there. */
static weft_status check_results(const char *name, const weft_charsmap *m,
                                 size_t bytes)
{
    for (size_t i = 0; i < m->units; i++) {
        const uint32_t unit = unit_at(m, i);
        const size_t child = i ^ offset_of(unit);

        if (is_result(unit) || !has_result(unit)) continue;
        if (child >= m->units || result_of(unit_at(m, child)) >= bytes)
            return weft_fail(WEFT_EINPUT,
                             "%s: rules of normalisation: node %zu leads "
                             "nowhere",
                             name, i);
    }
    return WEFT_OK;
}

weft_status weft_charsmap_init(const char *name, const void *blob, size_t bytes,
                               weft_charsmap *m)
{
    const weft_charsmap size = {.unit = blob, .units = 1};
    weft_charsmap made = {0};
    size_t trie, rest;

    if (bytes == 0) {
        *m = made;
        return WEFT_OK;
    }
    trie = bytes < UNIT ? SIZE_MAX : unit_at(&size, 0);
    if (trie > bytes - UNIT || trie < UNIT || trie % UNIT)
        return weft_fail(WEFT_EINPUT,
                         "%s: rules of normalisation: %zu bytes are not what "
                         "they say",
                         name, bytes);
    made.unit = (const unsigned char *)blob + UNIT;
    made.units = trie / UNIT;
    made.result = (const char *)made.unit + trie;
    rest = bytes - UNIT - trie;
    if (rest == 0 || made.result[rest - 1] != 0)
        return weft_fail(WEFT_EINPUT,
                         "%s: rules of normalisation: the last one has no end",
                         name);
    WEFT_TRY(check_results(name, &made, rest));
    *m = made;
    return WEFT_OK;
}

/* ---- matching ------------------------------------------------------------ */

size_t weft_charsmap_match(const weft_charsmap *m, const char *text,
                           size_t bytes, const char **result)
{
    const size_t most = bytes < LONGEST_RULE ? bytes : LONGEST_RULE;
    size_t at, longest = 0;

    if (!m->units) return 0;
    at = offset_of(unit_at(m, 0));
    for (size_t i = 0; i < most; i++) {
        const unsigned char byte = (unsigned char)text[i];
        uint32_t unit;

        at ^= byte;
        if (at >= m->units) break;
        unit = unit_at(m, at);
        if (label_of(unit) != byte) break;
        at ^= offset_of(unit);
        if (!has_result(unit)) continue;
        longest = i + 1;
        *result = m->result + result_of(unit_at(m, at));
    }
    return longest;
}
