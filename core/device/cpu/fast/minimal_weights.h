/*
 * minimal_weights.h - kernels 3x3 to the positions of minimal filtering.
 *
 * Weights lie as direct.c packs them, in the type of the file. What a product
 * takes of them is made where it is wanted: once for all tiles of a group, a
 * part of the channels and a panel at a time, and never leaves the cache.
 */
#ifndef WEFT_CPU_FAST_MINIMAL_WEIGHTS_H
#define WEFT_CPU_FAST_MINIMAL_WEIGHTS_H

#include "core/device/cpu/fast/minimal.h"

/* Channels of a part: what is made of them had better stay in L2. */
#define MOST_CHANNELS(mh) ((mh) == 1 ? 160 : 96)

static inline int minimal_part(const weft_conv *c, int mh)
{
    const int k = c->cin[0] + c->cin[1];
    const int parts = ceil_div(k, MOST_CHANNELS(mh));
    return round_up(ceil_div(k, parts), 8);
}

/* Made weights are [position][tap][channel][column]; floats from one tap to the
 * next, a number that the compiler knows. */
#define MADE_STEP(mh) (MOST_CHANNELS(mh) * NMAX + 16)
static inline size_t made_floats(int mh)
{
    return (size_t)MADE_STEP(mh) * rows_in(mh) * NW * taps_of(mh);
}

/* A part of a panel. */
typedef struct piece {
    const char *from; /* channel, column: of the first kernel tap */
    size_t tap;       /* bytes to the next */
    int floats;       /* channels times columns */
    float *to;
} piece;

/* Three taps along the width to six positions: 1, p, p^2 over the product of
 * differences of the points; the last is infinity. */
INLINE void weights_row(const vf *g, vf *to)
{
    const float aa = POINT_A * POINT_A, bb = POINT_B * POINT_B;
    const float a = .5f / (aa * (aa - bb)), b = .5f / (bb * (bb - aa));
    const vf e1 = vfma(vset(aa), g[2], g[0]) * vset(a);
    const vf e2 = vfma(vset(bb), g[2], g[0]) * vset(b);
    to[0] = g[0] * vset(1 / (aa * bb));
    to[1] = vfma(vset(POINT_A * a), g[1], e1);
    to[2] = vfnma(vset(POINT_A * a), g[1], e1);
    to[3] = vfma(vset(POINT_B * b), g[1], e2);
    to[4] = vfnma(vset(POINT_B * b), g[1], e2);
    to[5] = g[2];
}

/* The same along the height, for tiles of two rows: points 0, 1, -1, infinity.
 */
INLINE void weights_column_two(const vf *g, vf *to)
{
    const vf half = vset(.5f), e = (g[0] + g[2]) * half;
    to[0] = vset(0) - g[0];
    to[1] = vfma(half, g[1], e);
    to[2] = vfnma(half, g[1], e);
    to[3] = g[2];
}

/* One vector of columns of one channel. */
INLINE void make_vector(int mh, weft_dtype t, const piece *p, size_t at)
{
    const int rows = mh == 1 ? 3 : rows_in(mh);
    vf g[3][MAX_POSITIONS / NW]; /* [kernel column][row] */
    UNROLL for (int x = 0; x < 3; x++)
    {
        vf taps[3];
        UNROLL for (int y = 0; y < 3; y++) taps[y] =
            vweights(p->from + (size_t)(y * 3 + x) * p->tap, at, t);
        if (mh == 4)
            weights_row(taps, g[x]);
        else if (mh == 2)
            weights_column_two(taps, g[x]);
        else
            memcpy(g[x], taps, sizeof taps);
    }
    UNROLL for (int y = 0; y < rows; y++)
    {
        const vf row[3] = {g[0][y], g[1][y], g[2][y]};
        vf to[NW];
        weights_row(row, to);
        UNROLL for (int x = 0; x < NW; x++)
        {
            const int place = mh == 1 ? x * 3 + y : y * NW + x;
            vst(p->to + (size_t)place * MADE_STEP(mh) + at, to[x]);
        }
    }
}

#define MAKE(mh, t)                                                            \
    static void make_##mh##_##t(const piece *p)                                \
    {                                                                          \
        for (int i = 0; i < p->floats; i += VL)                                \
            make_vector(mh, WEFT_##t, p, (size_t)i);                           \
    }
MAKE(1, F32)
MAKE(1, F16)
MAKE(1, BF16)
MAKE(2, F32)
MAKE(2, F16)
MAKE(2, BF16)
MAKE(4, F32)
MAKE(4, F16)
MAKE(4, BF16)

static inline void make_weights(int mh, weft_dtype t, const piece *p)
{
    static void (*const make[3][3])(const piece *) = {
        [WEFT_F32] = {make_1_F32, make_2_F32, make_4_F32},
        [WEFT_F16] = {make_1_F16, make_2_F16, make_4_F16},
        [WEFT_BF16] = {make_1_BF16, make_2_BF16, make_4_BF16}};
    make[t][mh / 2](p);
}

#endif
