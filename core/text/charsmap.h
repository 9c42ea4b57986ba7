/*
 * charsmap.h - SentencePiece's precompiled rules of normalisation.
 *
 * A rule makes one run of bytes out of another. Rules lie in a trie, which is a
 * double array (Aoe 1989; the layout is that of darts-clone), and what they
 * make of it behind it, each ended by a zero byte:
 *
 *     bytes of the trie (4, the lowest first), trie, results
 */
#ifndef WEFT_CORE_TEXT_CHARSMAP_H
#define WEFT_CORE_TEXT_CHARSMAP_H

#include <stddef.h>

#include "core/status.h"

typedef struct weft_charsmap {
    const unsigned char *unit; /* borrowed; NULL: no rules */
    size_t units;
    const char *result;
} weft_charsmap;

/* `name` begins errors. The blob is borrowed for as long as the map is used;
 * no bytes are no rules. WEFT_EINPUT: it is damaged. */
weft_status weft_charsmap_init(const char *name, const void *blob, size_t bytes,
                               weft_charsmap *m);

/* How many bytes the longest rule takes at the beginning of `text`, at most
 * 256, and what it makes of them; 0: none. */
size_t weft_charsmap_match(const weft_charsmap *m, const char *text,
                           size_t bytes, const char **result);

#endif
