/*
 * split.h - rows and columns to patches.
 *
 * The rows of a latent are cut into units of `unit` rows, the smallest that
 * the net's strides allow (parallel.grain); a patch is a run of whole units.
 * Where they do not divide, the last patches hold one unit more: patch 0 also
 * writes the picture.
 *
 * With weights (parallel.weights: how fast each patch's ranks are) heights are
 * such that the slowest is as fast as can be: the greatest of units / weight
 * is least. Every patch has at least one unit.
 */
#ifndef WEFT_PARTITION_SPLIT_H
#define WEFT_PARTITION_SPLIT_H

#include "core/status.h"

/* `rows` must be a multiple of `unit` and hold at least n units; otherwise
 * WEFT_EINPUT with the numbers. `weight` [n], or NULL where all are alike.
 * first: [n + 1], the first unit of each. */
weft_status weft_split_rows(int rows, int unit, int n, const double *weight,
                            int *first);

/* `width` columns in strips of `strip`, the last one perhaps narrower, to n
 * columns of patches as evenly as can be. first: [n + 1], in strips. */
weft_status weft_split_columns(int width, int strip, int n, int *first);

/* Strips that a width makes. */
static inline int weft_split_strips(int width, int strip)
{
    return (width + strip - 1) / strip;
}

/* Weights must be n finite numbers from 0 up, not all of them 0; WEFT_EINPUT
 * says what is wrong. */
weft_status weft_split_check_weights(const double *weight, int given, int n);

/* `n` items over `parts`, as evenly as can be: the first item of part p. */
static inline int weft_share_first(int n, int parts, int p)
{
    return (int)((long long)n * p / parts);
}

#endif
