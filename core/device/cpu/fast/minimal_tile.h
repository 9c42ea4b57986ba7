/*
 * minimal_tile.h - one tile of minimal filtering to its positions and back.
 *
 * Columns first, then rows; a pass computes one or two rows of positions from
 * memory, so that what is under way fits the registers. Channels are the
 * vectors.
 */
#ifndef WEFT_CPU_FAST_MINIMAL_TILE_H
#define WEFT_CPU_FAST_MINIMAL_TILE_H

#include "core/device/cpu/fast/minimal.h"

/* ---- six of a kind --------------------------------------------------------
 */

/* Up to six places a step apart, which addressing reaches by itself: the step
 * once, twice, four times, and two sums. */
typedef struct six {
    const char *at;
    ptrdiff_t step, step3, step5; /* bytes */
} six;

INLINE six six_of(const float *at, ptrdiff_t step)
{
    const ptrdiff_t bytes = step * (ptrdiff_t)sizeof *at;
    return (six){(const char *)at, bytes, 3 * bytes, 5 * bytes};
}

INLINE const float *six_at(const six *s, int i)
{
    const ptrdiff_t by = i == 3 ? s->step3 : i == 5 ? s->step5 : i * s->step;
    return (const float *)(const void *)(s->at + by);
}

/* Moves on. The compiler may not see through it: it would compute the address
 * of everything in the tile beforehand, and keep them all in memory. */
INLINE void six_move(six *s, ptrdiff_t bytes)
{
    s->at += bytes;
    __asm__("" : "+r"(s->at));
}

/* ---- input --------------------------------------------------------------- */

/* The pixels of a tile, [rows_in(mh)][NW]: at a step from each other, or where
 * a table says. */
typedef struct window {
    const float *corner;
    ptrdiff_t row;
    int step;
    int ahead; /* columns to what is fetched */
    const float *table[MAX_POSITIONS];
} window;

/* Pixel (y, x), channels c on; `column` is column x where there is no table. */
INLINE vf window_load(const window *w, bool table, const six *column, int y,
                      int x, int c, int lanes)
{
    return vload(table ? w->table[y * NW + x] + c : six_at(column, y), lanes);
}

/* Along the width, in place: points 0, +-a, +-b, infinity. */
INLINE void transform_row(vf *d)
{
    const vf a = vset(POINT_A), b = vset(POINT_B);
    const vf aa = vset(POINT_A * POINT_A), bb = vset(POINT_B * POINT_B);
    const vf sum = vset(POINT_A * POINT_A + POINT_B * POINT_B);
    const vf prod = vset(POINT_A * POINT_A * POINT_B * POINT_B);
    const vf d0 = vfma(prod, d[0], vfnma(sum, d[2], d[4]));
    const vf d5 = vfma(prod, d[1], vfnma(sum, d[3], d[5]));
    const vf e1 = vfnma(bb, d[2], d[4]), o1 = vfnma(bb, d[1], d[3]);
    const vf e2 = vfnma(aa, d[2], d[4]), o2 = vfnma(aa, d[1], d[3]);
    d[0] = d0;
    d[1] = vfma(a, o1, e1);
    d[2] = vfnma(a, o1, e1);
    d[3] = vfma(b, o2, e2);
    d[4] = vfnma(b, o2, e2);
    d[5] = d5;
}

/* A pass of mh = 4: position rows 0; 1 and 2; 3 and 4; 5. */
INLINE void column_four(const window *w, bool table, const six *column,
                        int pass, int x, int c, int lanes, vf *p, vf *q)
{
    const vf sum = vset(POINT_A * POINT_A + POINT_B * POINT_B);
    const vf prod = vset(POINT_A * POINT_A * POINT_B * POINT_B);
    const float point = pass == 1 ? POINT_A : POINT_B;
    const vf other = vset(pass == 1 ? POINT_B * POINT_B : POINT_A * POINT_A);
#define AT(y) window_load(w, table, column, y, x, c, lanes)
    if (pass == 0) {
        *p = vfma(prod, AT(0), vfnma(sum, AT(2), AT(4)));
    } else if (pass == 3) {
        *p = vfma(prod, AT(1), vfnma(sum, AT(3), AT(5)));
    } else {
        const vf e = vfnma(other, AT(2), AT(4)), o = vfnma(other, AT(1), AT(3));
        *p = vfma(vset(point), o, e);
        *q = vfnma(vset(point), o, e);
    }
}

/* A pass of mh = 2, points 0, 1, -1, infinity: rows 0; 1 and 2; 3. */
INLINE void column_two(const window *w, bool table, const six *column, int pass,
                       int x, int c, int lanes, vf *p, vf *q)
{
    if (pass == 0) {
        *p = AT(2) - AT(0);
    } else if (pass == 1) {
        const vf d1 = AT(1), d2 = AT(2);
        *p = d1 + d2;
        *q = d2 - d1;
    } else {
        *p = AT(3) - AT(1);
    }
}

/* A row of positions, to `to` and on. */
INLINE void put_row(vf *d, six *to)
{
    transform_row(d);
    UNROLL for (int x = 0; x < NW; x++) vst((float *)six_at(to, x), d[x]);
    six_move(to, NW * to->step);
}

/* Channels c .. c + lanes of the tile to v[position * vstep]. */
INLINE void tile_positions(int mh, const window *w, bool table, int c,
                           int lanes, float *v, size_t vstep)
{
    const int passes = mh == 4 ? 4 : mh == 2 ? 3 : 1;
    six to = six_of(v, (ptrdiff_t)vstep);
    vf p[NW], q[NW];
    UNROLL for (int pass = 0; pass < passes; pass++)
    {
        const bool pair = pass > 0 && pass < passes - 1;
        six walk = {0};
        if (!table) walk = six_of(w->corner + c, w->row);
        const six *column = &walk;
        UNROLL for (int x = 0; x < NW; x++)
        {
            if (mh == 4)
                column_four(w, table, column, pass, x, c, lanes, &p[x], &q[x]);
            else if (mh == 2)
                column_two(w, table, column, pass, x, c, lanes, &p[x], &q[x]);
            else
                p[x] = AT(0);
            if (!table) six_move(&walk, w->step * (ptrdiff_t)sizeof *v);
        }
        put_row(p, &to);
        if (pair) put_row(q, &to);
    }
#undef AT
}

/* ---- output -------------------------------------------------------------- */

/* Along the width, 6 positions to 4 outputs. */
INLINE void outputs_of_row(const vf *d, vf *y)
{
    const vf a = vset(POINT_A), b = vset(POINT_B);
    const vf aa = vset(POINT_A * POINT_A), bb = vset(POINT_B * POINT_B);
    const vf aaa = vset(POINT_A * POINT_A * POINT_A);
    const vf bbb = vset(POINT_B * POINT_B * POINT_B);
    const vf s1 = d[1] + d[2], t1 = d[1] - d[2];
    const vf s2 = d[3] + d[4], t2 = d[3] - d[4];
    y[0] = (d[0] + s1) + s2;
    y[1] = vfma(a, t1, b * t2);
    y[2] = vfma(aa, s1, bb * s2);
    y[3] = vfma(aaa, t1, vfma(bbb, t2, d[5]));
}

/* Column x of positions to output rows 0 and 2 (pass 0) or 1 and 3. */
INLINE void column_four_out(const six *m, int pass, vf *p, vf *q)
{
#define AT(y) vld(six_at(m, y))
    const vf d1 = AT(1), d2 = AT(2), d3 = AT(3), d4 = AT(4);
    if (pass == 0) {
        const vf s1 = d1 + d2, s2 = d3 + d4;
        *p = (AT(0) + s1) + s2;
        *q = vfma(vset(POINT_A * POINT_A), s1, vset(POINT_B * POINT_B) * s2);
    } else {
        const vf t1 = d1 - d2, t2 = d3 - d4;
        *p = vfma(vset(POINT_A), t1, vset(POINT_B) * t2);
        *q = vfma(vset(POINT_A * POINT_A * POINT_A), t1,
                  vfma(vset(POINT_B * POINT_B * POINT_B), t2, AT(5)));
    }
}

/* Outputs y[mh][MW] of one vector of columns. */
INLINE void tile_outputs(int mh, const float *from, size_t mstep, vf (*y)[MW])
{
    vf p[NW], q[NW];
    for (int pass = 0; pass < (mh == 4 ? 2 : 1); pass++) {
        six column = six_of(from, (ptrdiff_t)mstep * NW);
        UNROLL for (int x = 0; x < NW; x++)
        {
            const six *m = &column;
            if (mh == 4) {
                column_four_out(m, pass, &p[x], &q[x]);
            } else if (mh == 2) {
                const vf d1 = AT(1), d2 = AT(2);
                p[x] = AT(0) + (d1 + d2);
                q[x] = (d1 - d2) + AT(3);
            } else {
                p[x] = AT(0);
            }
            six_move(&column, (ptrdiff_t)(mstep * sizeof *from));
        }
        outputs_of_row(p, y[pass]);
        if (mh > 1) outputs_of_row(q, y[mh == 4 ? pass + 2 : 1]);
    }
#undef AT
}

#endif
