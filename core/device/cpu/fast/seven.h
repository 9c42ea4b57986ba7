/*
 * seven.h - what the seven products of halves take of both sides (Strassen,
 * Gaussian elimination is not optimal, 1969, in Winograd's form with 15
 * additions) and how they are put together; the same done to each of the seven
 * for the 49 of quarters.
 *
 *   [C11 C12]   [A11 A12] [B11 B12]   A1 the first half of a group of pixels
 *   [C21 C22] = [A21 A22] [B21 B22]   B1 the first half of the channels
 *
 * Of quarters the factors of one of the outer seven products are made at a
 * time.
 */
#ifndef WEFT_CPU_FAST_SEVEN_H
#define WEFT_CPU_FAST_SEVEN_H

#include "core/device/cpu/fast/kernel.h"

enum {
    SEVEN = 7,
    MOST_SIDE = 4,     /* halves, or quarters, of each side */
    SEVEN_WAITING = 3, /* of quarters: quadrants that are not complete */
};

#define EACH_OF_SEVEN(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6)
#define SEVEN_OF(n)      n##0, n##1, n##2, n##3, n##4, n##5, n##6

/* ---- Winograd's form ----------------------------------------------------- */

/* Of quadrants 11 12 21 22 of A what product i takes. */
INLINE vf left_factor(int i, const vf *a)
{
    if (i == 0) return a[0];
    if (i == 1) return a[1];
    if (i == 3) return a[3];
    if (i == 6) return a[0] - a[2];
    const vf s1 = a[2] + a[3];
    if (i == 4) return s1;
    if (i == 5) return s1 - a[0];
    return a[1] - (s1 - a[0]);
}

/* Whether it takes anything of this quadrant. */
INLINE bool left_takes(int i, int quadrant)
{
    const unsigned takes[SEVEN] = {1, 2, 15, 8, 12, 13, 5};
    return takes[i] >> quadrant & 1;
}

INLINE void left_factors(const vf *a, vf *f)
{
    UNROLL for (int i = 0; i < SEVEN; i++) f[i] = left_factor(i, a);
}

/* The products in the order in which they are made: which factor of A; of B a
 * quadrant or weights that are kept, less others that are kept, kept in their
 * turn; sums that they are added to, and where to.
 *
 *   product       weights            sums
 *   A11           0 = B11            0 = P0
 *   A12           1 = B21            1 = 0 + P1       C11
 *   S1            2 = B12 - 0        2 = P4
 *   S4            3 = B22            3 = 2 + P2
 *   S2            2 = 3 - 2          0 = 0 + P5       U2
 *   S3            0 = 2 - 0          4 = 0 + P6       U3
 *   A22           1 = 1 - 2          5 = 4 - P3       C21
 *
 * and C12 = 0 + 3, C22 = 4 + 2. */
enum { KEPT = 4, SUMS = 6, NONE = -1 };
typedef struct step {
    int left, quadrant, of, less, keep, from, to;
} step;
static const step step_of[SEVEN] = {
    {0, 0, NONE, NONE, 0, NONE, 0}, {1, 2, NONE, NONE, 1, 0, 1},
    {4, 1, NONE, 0, 2, NONE, 2},    {2, 3, NONE, NONE, 3, 2, 3},
    {5, NONE, 3, 2, 2, 0, 0},       {6, NONE, 2, 0, 0, 0, 4},
    {3, NONE, 1, 2, 1, 4, 5},
};

/* Element y, x of a matrix of quarters: which quadrant it is in, and where. */
INLINE int outer(int y, int x) { return y / 2 * 2 + x / 2; }
INLINE int inner(int y, int x) { return y % 2 * 2 + x % 2; }

/* ---- factors of A -------------------------------------------------------- */

/* Of k channels of each half of the pixels at px, factor i to to[i * apart]. */
INLINE void left_halves(const float *const *px, int k, float *to, size_t apart)
{
    for (int i = 0; i < k; i += VL) {
        const vf a[4] = {vld(px[0] + i), vld(px[0] + k + i), vld(px[1] + i),
                         vld(px[1] + k + i)};
        vf f[SEVEN];
        left_factors(a, f);
        UNROLL for (int p = 0; p < SEVEN; p++) vst(to + p * apart + i, f[p]);
    }
}

/* Those of quarters that the outer product of this number takes. `next`: to the
 * same pixel of the group behind, which is fetched. */
INLINE void left_quarters(int product, const float *const *px, ptrdiff_t next,
                          int k, float *to, size_t apart)
{
    for (int i = 0; i < k; i += VL) {
        vf a[4][4], q[4], f[SEVEN];
        if (i % 16 == 0) UNROLL for (int e = 0; e < 16; e++)
            {
                if (left_takes(product, outer(e / 4, e % 4)))
                    vprefetch(px[e / 4] + next + e % 4 * k + i);
            }
        UNROLL for (int y = 0; y < 4; y++)
        {
            UNROLL for (int x = 0; x < 4; x++) a[inner(y, x)][outer(y, x)] =
                vld(px[y] + x * k + i);
        }
        UNROLL for (int s = 0; s < 4; s++) q[s] = left_factor(product, a[s]);
        left_factors(q, f);
        UNROLL for (int p = 0; p < SEVEN; p++) vst(to + p * apart + i, f[p]);
    }
}

typedef void left_fn(const float *const *px, ptrdiff_t next, int k, float *to,
                     size_t apart);
#define LEFT(p)                                                                \
    static void left_##p(const float *const *px, ptrdiff_t next, int k,        \
                         float *to, size_t apart)                              \
    {                                                                          \
        left_quarters(p, px, next, k, to, apart);                              \
    }
EACH_OF_SEVEN(LEFT)
static left_fn *const left_of[SEVEN] = {SEVEN_OF(left_)};

/* ---- factors of B -------------------------------------------------------- */

/* Quadrants that outer product i takes, in the order of `mix`. */
typedef struct sources {
    int n, quadrant[4];
} sources;
static const sources right_of[SEVEN] = {
    {1, {0}},    {1, {2}},       {1, {3}},    {4, {3, 1, 0, 2}},
    {2, {1, 0}}, {3, {3, 1, 0}}, {2, {3, 1}},
};

/* ---- products put together ----------------------------------------------- */

/* Quadrants from the sums of products. */
INLINE void quadrants_of(const float *sums, size_t apart, vf *c)
{
    c[0] = vld(sums + 1 * apart);
    c[1] = vld(sums + 0 * apart) + vld(sums + 3 * apart);
    c[2] = vld(sums + 5 * apart);
    c[3] = vld(sums + 4 * apart) + vld(sums + 2 * apart);
}

/* Of quarters one of the outer seven products is made after the other, in an
 * order in which few sums of them wait for others. */
static const int outer_order[SEVEN] = {0, 5, 1, 4, 6, 2, 3};
/* The quadrant that is complete with this product, or -1. */
static const int completes[SEVEN] = {-1, 0, 1, 2, -1, -1, 3};
/* What waits: P1, then C12; C22; U2, then U3. */
enum { C12, C22, U };

/* Product p joins. Returns the quadrant that is complete, if one is. */
INLINE vf join(int p, vf c, float *c12, float *c22, float *u)
{
    switch (p) {
    case 0:
        vst(c12, c);
        break;
    case 1:
        c += vld(c12);
        break;
    case 2:
        c += vld(c12);
        break;
    case 3:
        c = vld(u) - c;
        break;
    case 4:
        vst(c12, vld(u) + c);
        vst(c22, c);
        break;
    case 5:
        vst(u, vld(c12) + c);
        break;
    default:
        c += vld(u);
        vst(u, c);
        c += vld(c22);
    }
    return c;
}

#endif
