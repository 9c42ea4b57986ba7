/*
 * minimal.h - minimal filtering (Winograd, Cook-Toom) F(mh x 4, 3 x 3).
 *
 * A tile of mh x 4 outputs takes (mh + 2) x 6 inputs to as many "positions",
 * where the convolution is a product of matrices with transformed weights, and
 * back. With mh = 1 it is minimal along the width only: the three kernel rows
 * stay taps of the product.
 *
 * With the points 0, +-5/8, +-3/2 and infinity F(4, 3) loses less than half
 * the accuracy of the usual 0, +-1, +-2: about 1.2e-6 rms per layer.
 */
#ifndef WEFT_CPU_FAST_MINIMAL_H
#define WEFT_CPU_FAST_MINIMAL_H

#include "core/device/cpu/fast/pixels.h"

enum { MW = WEFT_CONV_COLUMNS, NW = MW + 2, MAX_POSITIONS = 36 };

#define POINT_A 0.625f
#define POINT_B 1.5f

static inline int taps_of(int mh) { return mh == 1 ? 3 : 1; }
static inline int rows_in(int mh) { return mh == 1 ? 1 : mh + 2; }

#endif
