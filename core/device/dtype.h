/*
 * dtype.h - weights as they lie in files, read as float. Exact: every half and
 * every bfloat16 is a float. Data need not be aligned.
 */
#ifndef WEFT_CORE_DEVICE_DTYPE_H
#define WEFT_CORE_DEVICE_DTYPE_H

#include <stdint.h>
#include <string.h>

#include "core/device/device.h"

static inline float weft_float_of_bits(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline float weft_float_of_half(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t exponent = (h >> 10) & 31, fraction = h & 0x3ff;

    if (exponent == 31)
        return weft_float_of_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent == 0) { /* zero, or subnormal: fraction * 2^-24 */
        const float f = (float)fraction * 0x1p-24f;
        return sign ? -f : f;
    }
    return weft_float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

/* Element i of `data`. */
static inline float weft_dtype_load(weft_dtype t, const void *data, size_t i)
{
    const char *at = (const char *)data + i * weft_dtype_size(t);
    uint16_t half;
    float f;

    if (t == WEFT_F32) {
        memcpy(&f, at, sizeof f);
        return f;
    }
    memcpy(&half, at, sizeof half);
    return t == WEFT_F16 ? weft_float_of_half(half)
                         : weft_float_of_bits((uint32_t)half << 16);
}

#endif
