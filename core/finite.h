/*
 * finite.h - are these numbers?
 */
#ifndef WEFT_CORE_FINITE_H
#define WEFT_CORE_FINITE_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

/* No infinity and nothing that is not a number among n floats. */
static inline bool weft_all_finite(const float *x, size_t n)
{
    int bad = 0;

    for (size_t i = 0; i < n; i++) bad |= !(fabsf(x[i]) <= FLT_MAX);
    return !bad;
}

#endif
