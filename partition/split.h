/*
 * split.h - rows to patches.
 *
 * The rows of a latent are cut into units of `unit` rows, the smallest that
 * the net's strides allow (parallel.grain); a patch is a run of whole units.
 * Where they do not divide, the last patches hold one unit more: patch 0 also
 * writes the picture.
 */
#ifndef WEFT_PARTITION_SPLIT_H
#define WEFT_PARTITION_SPLIT_H

#include "core/status.h"

/* `rows` must be a multiple of `unit` and hold at least n units; otherwise
 * WEFT_EINPUT with the numbers. first: [n + 1], the first unit of each. */
weft_status weft_split_rows(int rows, int unit, int n, int *first);

/* `n` items over `parts`, as evenly as can be: the first item of part p. */
static inline int weft_share_first(int n, int parts, int p)
{
    return (int)((long long)n * p / parts);
}

#endif
