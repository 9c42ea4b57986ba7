/*
 * checkpoint_check.h - the hash of a checkpoint: finds what a disk or a copy
 * changed, not what somebody meant to change. Inside launch/checkpoint*.c.
 */
#ifndef WEFT_LAUNCH_CHECKPOINT_CHECK_H
#define WEFT_LAUNCH_CHECKPOINT_CHECK_H

#include <string.h>

#include "core/fnv.h"

static inline uint64_t weft_check_start(const char *name)
{
    return weft_fnv(WEFT_FNV_BASIS, name, strlen(name) + 1);
}

#endif
