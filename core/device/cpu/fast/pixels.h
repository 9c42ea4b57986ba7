/*
 * pixels.h - where the inputs of an output pixel lie.
 *
 * Nothing is padded, copied or concatenated: for every tap and input there is
 * a table of pointers to pixels. Upsampling and strides are in the pointers;
 * columns outside the patch are in its side columns, or a line of zeros.
 */
#ifndef WEFT_CPU_FAST_PIXELS_H
#define WEFT_CPU_FAST_PIXELS_H

#include "core/device/cpu/fast/kernel.h"

static inline int inputs(const weft_conv *c) { return c->cin[1] ? 2 : 1; }

/* Floats of the zero line, a multiple of 16. */
static inline size_t zero_line(const weft_conv *c)
{
    return (size_t)round_up(max_int(c->cin[0], c->cin[1]), 16) + 16;
}

/* Pixel (y, x) as it is stored, of the columns left or right of the patch, or
 * `zero`. */
static inline const float *side_pixel(const weft_conv_args *a, int src, int y,
                                      int s, int x, const float *zero)
{
    const int right = x >= a->w, columns = a->beside[right];
    const int at = right ? x - a->w : x + columns;
    if (!a->side[src][right] || at < 0 || at >= columns) return zero;
    return a->side[src][right] +
           (((ptrdiff_t)y * a->n + s) * columns + at) * a->conv->cin[src];
}

/* Pixel (y, x) of sample s in the input number `src` after upsampling, or
 * `zero` where there is none. */
INLINE const float *pixel(const weft_conv_args *a, int src, int y, int s, int x,
                          const float *zero)
{
    const int half = a->conv->up == 2;
    y >>= half, x >>= half;
    if (x < 0 || x >= a->w) return side_pixel(a, src, y, s, x, zero);
    return a->in[src] +
           (((ptrdiff_t)y * a->n + s) * a->w + x) * a->conv->cin[src];
}

/* Columns of a call, whose output pixels are numbered along [row][n][these]. */
static inline int call_columns(const weft_conv_args *a)
{
    return a->col1 - a->col0;
}

/* The number of output pixel p of a call in all of [row][n][wout]. */
static inline ptrdiff_t place_of(const weft_conv_args *a, ptrdiff_t p)
{
    const int columns = call_columns(a);
    if (columns == a->wout) return p;
    return p / columns * a->wout + a->col0 + p % columns;
}

/* How many output pixels of a row, x on, have all of their columns inside; 0
 * where upsampling repeats columns. */
static inline int inner_run(const weft_conv_args *a, int x)
{
    const weft_conv *c = a->conv;
    const int left = x * c->stride - c->pad_left;
    const int room = a->w - c->kw - left;
    if (c->up != 1 || left < 0 || room < 0) return 0;
    return min_int(a->col1 - x, room / c->stride + 1);
}

/* One entry of every table, for output pixel (y, x). */
static inline void pixel_taps(const weft_conv_args *a, int y, int s, int x,
                              const float *zero, const float **rows)
{
    const weft_conv *c = a->conv;
    const int top = y * c->stride - c->pad_top;
    const int left = x * c->stride - c->pad_left, nsrc = inputs(c);
    for (int ky = 0; ky < c->kh; ky++)
        for (int kx = 0; kx < c->kw; kx++)
            for (int src = 0; src < nsrc; src++, rows += MAX_M)
                *rows = pixel(a, src, top + ky, s, left + kx, zero);
}

/* For `m` output pixels of a call from number p0 on:
 * rows[(tap * inputs + src) * MAX_M + i], and the sample of each. */
static inline void pixel_table(const weft_conv_args *a, ptrdiff_t p0, int m,
                               const float *zero, const float **rows,
                               int *sample)
{
    const weft_conv *c = a->conv;
    const int nsrc = inputs(c), tables = c->kh * c->kw * nsrc;
    const int columns = call_columns(a);
    const ptrdiff_t line = (ptrdiff_t)a->n * columns;
    int y = (int)(p0 / line), s = (int)(p0 % line) / columns,
        x = a->col0 + (int)(p0 % columns);
    for (int i = 0, run; i < m; i += run) {
        run = max_int(1, min_int(m - i, inner_run(a, x)));
        pixel_taps(a, y, s, x, zero, rows + i);
        for (int t = 0; run > 1 && t < tables; t++) {
            const ptrdiff_t step = (ptrdiff_t)c->stride * c->cin[t % nsrc];
            const float **r = rows + t * MAX_M + i;
            for (int q = 1; q < run; q++) r[q] = r[0] + q * step;
        }
        for (int q = 0; q < run; q++) sample[i + q] = s;
        x += run;
        if (x == a->col1) x = a->col0, s++;
        if (s == a->n) s = 0, y++;
    }
}

#endif
