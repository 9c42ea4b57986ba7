/*
 * fast.h - the devices that this folder makes, one pair per instruction set.
 *
 * `wide` computes what avx512 does with two AVX2 halves; it is for tests, in a
 * library of its own (weft_cpu_wide).
 */
#ifndef WEFT_CPU_FAST_FAST_H
#define WEFT_CPU_FAST_FAST_H

#include "core/device/device.h"

extern const weft_device weft_generic_fast, weft_generic_lean;
extern const weft_device weft_avx2_fast, weft_avx2_lean;
extern const weft_device weft_avx512_fast, weft_avx512_lean;
extern const weft_device weft_wide_fast, weft_wide_lean;

#endif
