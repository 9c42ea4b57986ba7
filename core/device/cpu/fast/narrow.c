/*
 * narrow.c - convolutions to at most four channels, where a panel of columns
 * would be mostly empty. Vectors run along the input channels: 16 virtual
 * lanes per output, added up at the end.
 */
#include "core/device/cpu/fast/pixels.h"

enum { MAX_N = 4, MAX_NP = 8, BLOCK = MAX_M };

/* ---- packing: [tap][input][16 channels][column][16] ---------------------- */

static size_t lanes_of(const weft_conv *c)
{
    return (size_t)round_up(c->cin[0], LANES) + round_up(c->cin[1], LANES);
}

static size_t narrow_bytes(const weft_conv *c, weft_variant v)
{
    const size_t n = (size_t)c->kh * c->kw * lanes_of(c) * c->cout;
    return (n * weft_dtype_size(v.dtype) + 63) / 64 * 64;
}

/* A part is a range of output channels. */
static void narrow_pack(const weight_view *w, weft_variant v, void *packed,
                        int i, int parts)
{
    const weft_conv *c = w->conv;
    const int taps = c->kh * c->kw, n1 = part_begin(c->cout, i + 1, parts);
    const size_t size = weft_dtype_size(v.dtype);
    for (int n = part_begin(c->cout, i, parts); n < n1; n++) {
        size_t base = 0; /* channels before this input's, with their tails */
        for (int src = 0, from = 0; src < inputs(c); from += c->cin[src++]) {
            const int full = round_up(c->cin[src], LANES);
            for (int k = 0; k < full; k++) {
                float f[9] = {0}; /* or halves */
                if (k < c->cin[src])
                    ISA(weight_copy)(w, n, (from + k) * taps, taps, v.dtype, f);
                for (int t = 0; t < taps; t++) {
                    const size_t line = base + t * lanes_of(c) + k - k % LANES;
                    const size_t at = line * c->cout + n * LANES + k % LANES;
                    memcpy((char *)packed + at * size, (char *)f + t * size,
                           size);
                }
            }
            base += full;
        }
    }
    if (i == parts - 1) {
        const size_t used =
            taps * lanes_of(c) * c->cout * weft_dtype_size(v.dtype);
        memset((char *)packed + used, 0, narrow_bytes(c, v) - used);
    }
}

/* ---- run ----------------------------------------------------------------- */

/* Of 16 channels those of one unit, fewer or none at the tail, of `np` pixels
 * times n columns. */
INLINE void unit_times(int np, int n, weft_dtype t, vf s[][MAX_N],
                       const float *const *p, int k, int lanes, const void *b)
{
    vf x[MAX_NP];
    UNROLL for (int i = 0; i < np; i++) x[i] =
        lanes <= 0 ? vset(0) : vload(p[i] + k, min_int(lanes, VL));
    UNROLL for (int j = 0; j < n; j++)
    {
        const vf w = vweights(b, (size_t)j * LANES, t);
        UNROLL for (int i = 0; i < np; i++) vacc(&s[i][j], x[i], w);
    }
}

/* Unit u of the sums of np pixels, the first of the table on. Units pass one
 * after the other, so that more pixels share the weights in registers. */
INLINE void unit_sums(int np, int n, weft_dtype t, const weft_conv_args *a,
                      const float *const *rows, int u, vf sums[][MAX_N][UNITS])
{
    const weft_conv *c = a->conv;
    const size_t line = (size_t)n * LANES * weft_dtype_size(t);
    const char *b =
        (const char *)a->weight + (size_t)u * VL * weft_dtype_size(t);
    vf s[MAX_NP][MAX_N];
    UNROLL for (int i = 0; i < np; i++)
    {
        UNROLL for (int j = 0; j < n; j++) s[i][j] = vset(0);
    }
    const int nsrc = inputs(c), tables = c->kh * c->kw * nsrc;
    for (int g = 0, src = 0; g < tables; g++, rows += MAX_M) {
        const int cin = c->cin[src];
        src = src + 1 == nsrc ? 0 : src + 1;
        int k = 0;
        for (; k + 2 * LANES <= cin; k += 2 * LANES, b += 2 * line) {
            unit_times(np, n, t, s, rows, k + u * VL, VL, b);
            unit_times(np, n, t, s, rows, k + u * VL + LANES, VL, b + line);
        }
        for (; k + LANES <= cin; k += LANES, b += line)
            unit_times(np, n, t, s, rows, k + u * VL, VL, b);
        if (k < cin) {
            unit_times(np, n, t, s, rows, k + u * VL, cin - k - u * VL, b);
            b += line;
        }
    }
    UNROLL for (int i = 0; i < np; i++)
    {
        UNROLL for (int j = 0; j < n; j++) sums[i][j][u] = s[i][j];
    }
}

/* sums[i][j] of np pixels, the i-th of the table on. */
INLINE void pixels_times(int np, int n, weft_dtype t, const weft_conv_args *a,
                         const float *const *rows, float (*sums)[VL])
{
    vf s[MAX_NP][MAX_N][UNITS];
    for (int u = 0; u < UNITS; u++) unit_sums(np, n, t, a, rows, u, s);
    for (int i = 0; i < np; i++)
        for (int j = 0; j < n; j++) sums[i][j] = vsum16(s[i][j]);
}

typedef struct job {
    const weft_conv_args *a;
    weft_variant v;
    weft_pool *pool;
    ptrdiff_t p0;
    int pixels, blocks;
} job;

typedef struct room {
    float *zero;
    const float **rows;
    int *sample;
} room;

static size_t room_lay(const weft_conv *c, char *base, room *r)
{
    size_t at = 0;
    r->zero = (float *)(base + at);
    at += zero_line(c) * sizeof(float);
    r->rows = (const float **)(base + at);
    at += (size_t)c->kh * c->kw * inputs(c) * MAX_M * sizeof *r->rows;
    r->sample = (int *)(base + at);
    return at + MAX_M * sizeof *r->sample;
}

static size_t narrow_scratch(const weft_conv *c, weft_variant v, int n, int w)
{
    room r;
    (void)v, (void)n, (void)w;
    return room_lay(c, NULL, &r);
}

/* Sums, pixels and a weight take registers: 13 to 16 of 16 in all, or 17 to 25
 * of 32. */
INLINE int pixels_at_once(int n)
{
    if (UNITS == 1) return n == 3 ? 6 : n == 4 ? 4 : 8;
    return n == 1 ? 6 : n == 2 ? 4 : 3;
}

INLINE void block(int n, weft_dtype t, const job *j, const room *r,
                  ptrdiff_t p0, int m)
{
    const int step = pixels_at_once(n);
    for (int i = 0; i < m; i += step) {
        float sums[MAX_NP][VL] = {{0}};
        if (i + step <= m)
            pixels_times(step, n, t, j->a, r->rows + i, sums);
        else
            for (int q = 0; q < m - i; q++)
                pixels_times(1, n, t, j->a, r->rows + i + q, sums + q);
        for (int q = 0; q < min_int(step, m - i); q++)
            put_lanes(j->a,
                      vld(sums[q]) + bias_lanes(j->a, r->sample[i + q], 0, n),
                      place_of(j->a, p0 + i + q) * n, n);
    }
}

INLINE void block_typed(int n, const job *j, const room *r, ptrdiff_t p0, int m)
{
    if (j->v.dtype == WEFT_F32) block(n, WEFT_F32, j, r, p0, m);
    if (j->v.dtype == WEFT_F16) block(n, WEFT_F16, j, r, p0, m);
    if (j->v.dtype == WEFT_BF16) block(n, WEFT_BF16, j, r, p0, m);
}

static void narrow_task(void *arg, int i, int worker)
{
    const job *j = arg;
    const weft_conv *c = j->a->conv;
    const int m0 = part_begin(j->pixels, i, j->blocks);
    const int m = part_begin(j->pixels, i + 1, j->blocks) - m0;
    room r;
    room_lay(c, weft_pool_scratch(j->pool, worker), &r);
    memset(r.zero, 0, zero_line(c) * sizeof *r.zero);
    pixel_table(j->a, j->p0 + m0, m, r.zero, r.rows, r.sample);
    switch (c->cout) {
    case 1:
        block_typed(1, j, &r, j->p0 + m0, m);
        break;
    case 2:
        block_typed(2, j, &r, j->p0 + m0, m);
        break;
    case 3:
        block_typed(3, j, &r, j->p0 + m0, m);
        break;
    case 4:
        block_typed(4, j, &r, j->p0 + m0, m);
        break;
    }
}

static void narrow_run(const weft_conv_args *a, weft_variant v, weft_pool *pool)
{
    const ptrdiff_t line = (ptrdiff_t)a->n * call_columns(a);
    job j = {.a = a, .v = v, .pool = pool, .p0 = a->row0 * line};
    j.pixels = (int)((a->row1 - a->row0) * line);
    if (j.pixels <= 0) return;
    j.blocks = ceil_div(j.pixels, BLOCK);
    j.blocks = max_int(
        j.blocks, min_int(2 * weft_pool_size(pool), ceil_div(j.pixels, 12)));
    weft_pool_run(pool, j.blocks, narrow_task, &j);
}

const conv_kernel ISA(narrow) = {narrow_bytes, narrow_pack, narrow_scratch,
                                 narrow_run};
