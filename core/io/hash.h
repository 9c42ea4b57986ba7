/*
 * hash.h - SHA-256 of bytes as they come, over nettle.
 *
 *     weft_hash h;
 *     weft_hash_start(&h);
 *     weft_hash_add(&h, data, bytes);
 *     weft_hash_text(&h, hex);
 */
#ifndef WEFT_CORE_IO_HASH_H
#define WEFT_CORE_IO_HASH_H

#include <stddef.h>

#include "core/status.h"

enum { WEFT_HASH_BYTES = 32, WEFT_HASH_TEXT = 2 * WEFT_HASH_BYTES + 1 };

typedef struct weft_hash {
    _Alignas(16) unsigned char state[128]; /* the library's */
} weft_hash;

void weft_hash_start(weft_hash *h);
void weft_hash_add(weft_hash *h, const void *data, size_t bytes);
/* The digest of all that was added; the hash then begins anew. */
void weft_hash_end(weft_hash *h, unsigned char digest[WEFT_HASH_BYTES]);
/* The same in lower-case hexadecimal. */
void weft_hash_text(weft_hash *h, char text[WEFT_HASH_TEXT]);

/* Of a whole regular file. *bytes: its length; may be NULL. */
weft_status weft_hash_file(const char *path, char text[WEFT_HASH_TEXT],
                           size_t *bytes);

#endif
