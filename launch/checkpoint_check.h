/*
 * checkpoint_check.h - the hash of a checkpoint: finds what a disk or a copy
 * changed, not what somebody meant to change. Inside launch/checkpoint*.c.
 */
#ifndef WEFT_LAUNCH_CHECKPOINT_CHECK_H
#define WEFT_LAUNCH_CHECKPOINT_CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* FNV-1a. */
static inline uint64_t weft_check_bytes(uint64_t h, const void *data, size_t n)
{
    const unsigned char *b = data;

    for (size_t i = 0; i < n; i++) h = (h ^ b[i]) * 1099511628211u;
    return h;
}

static inline uint64_t weft_check_start(const char *name)
{
    return weft_check_bytes(14695981039346656037u, name, strlen(name) + 1);
}

#endif
