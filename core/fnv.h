/*
 * fnv.h - FNV-1a, 64 bits: whether two ranks, or two runs, have the same. Finds
 * what a disk, a copy or a user changed, not what somebody means to hide; for
 * that there is core/io/hash.h.
 */
#ifndef WEFT_FNV_H
#define WEFT_FNV_H

#include <stddef.h>
#include <stdint.h>

#define WEFT_FNV_BASIS 14695981039346656037u /* of nothing yet */

/* h, and after it n bytes. */
static inline uint64_t weft_fnv(uint64_t h, const void *data, size_t n)
{
    const unsigned char *b = data;

    for (size_t i = 0; i < n; i++) h = (h ^ b[i]) * 1099511628211u;
    return h;
}

#endif
