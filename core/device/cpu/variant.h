/*
 * variant.h - which algorithm computes a convolution.
 *
 * The choice is part of the result, so it rests on the descriptor alone: the
 * same for any rows, batch, width, thread count and instruction set.
 */
#ifndef WEFT_CPU_VARIANT_H
#define WEFT_CPU_VARIANT_H

#include "core/device/device.h"

typedef enum weft_variant_kind {
    WEFT_DIRECT,  /* register tile over a table of pixel pointers */
    WEFT_NARROW,  /* few output channels: vectors run along the input's */
    WEFT_MINIMAL, /* 3x3 by minimal filtering F(mh x mw) */
    WEFT_STRIDED, /* 3x3 of stride 2, minimal along the width */
    WEFT_SEVEN /* 1x1 by 7 products of halves for 8, or 49 of quarters for 64 */
} weft_variant_kind;

typedef struct weft_variant {
    weft_variant_kind kind;
    /* Output tile of minimal filtering; WEFT_SEVEN: segments of the channels,
     * and into how many parts sides are cut; else 1. */
    int mh, mw;
    weft_dtype dtype; /* of the packed weights: the file's */
} weft_variant;

weft_variant weft_variant_of(const weft_conv *conv, bool lean);

#endif
