/*
 * strided.c - convolutions 3x3 of stride 2, minimal along the width.
 *
 * In a tile of four outputs the kernel's outer columns meet the inputs 0, 2, 4,
 * 6, 8, its middle one the inputs 1, 3, 5, 7. The former is a filter of two
 * taps: F(4, 2), with the points of minimal.h but zero, takes five products for
 * four outputs instead of eight. The latter are read where they lie. Kernel
 * rows are taps of the products: 27 in all for four outputs instead of 36.
 * Weights lie as direct.c packs them; what products take of them is made for
 * each group of tiles, a part of the channels and a panel at a time.
 */
#include "core/device/cpu/fast/minimal.h"

enum {
    EVEN = 5, /* positions of the even inputs; the odd ones' weights follow */
    INPUTS = 9,
    TAPS = 3,
    MADE_STEP = TAPS * KC * NMAX + 16, /* floats from position to position */
    MOST_TILES = MAX_M / MW,
    LEAST_TILES = 24,
    V_BYTES = 3 << 18,
    M_BYTES = 1 << 20
};

typedef struct sizes {
    int group;    /* tiles */
    size_t vchan; /* floats from tile to tile of V */
    int panels;   /* of a range: their sums are in M together */
    size_t wide;  /* columns of a range */
} sizes;

/* A worker's scratch. */
typedef struct room {
    float *zero;
    float *v;          /* [EVEN][TAPS][tile][vchan] */
    float *m;          /* [EVEN, then MW][panel][tile][column] */
    const float **odd; /* [TAPS][tile][MW] */
    float *made;       /* [EVEN, then 1][TAPS][channel][column] */
} room;

typedef struct job {
    const weft_conv_args *a;
    weft_dtype dtype;
    weft_pool *pool;
    sizes z;
    int left;          /* tile column */
    int columns, line; /* tiles: of a row of one sample; of all samples */
    int begin, end;    /* tiles of the call */
    int groups, parts; /* parts of the panels */
} job;

static sizes size_up(const weft_conv *c)
{
    sizes z = {.vchan = off_4k((size_t)round_up(c->cin[0], VL))};
    const size_t tile = EVEN * TAPS * z.vchan * sizeof(float);
    z.group = max_int(LEAST_TILES, min_int(MOST_TILES, (int)(V_BYTES / tile)));
    const int panel = (EVEN + MW) * z.group * NR * (int)sizeof(float);
    z.panels = min_int(max_int(1, M_BYTES / panel), panel_count(c->cout));
    z.wide = (size_t)z.panels * NR + VL;
    return z;
}

static size_t room_lay(const weft_conv *c, const sizes *z, char *base, room *r)
{
    const size_t tiles = (size_t)z->group;
    size_t at = 0;
    r->zero = (float *)(void *)(base + at);
    at += zero_line(c) * sizeof(float);
    r->v = (float *)(void *)(base + at);
    at += EVEN * TAPS * tiles * z->vchan * sizeof(float);
    r->m = (float *)(void *)(base + at);
    at += (EVEN + MW) * tiles * z->wide * sizeof(float);
    r->made = (float *)(void *)(base + at);
    at += (EVEN + 1) * (size_t)MADE_STEP * sizeof(float);
    r->odd = (const float **)(void *)(base + at);
    return at + TAPS * tiles * MW * sizeof *r->odd;
}

static size_t strided_scratch(const weft_conv *c, weft_variant v, int n, int w)
{
    const sizes z = size_up(c);
    room r;
    (void)v, (void)n, (void)w;
    return room_lay(c, &z, NULL, &r);
}

/* ---- input --------------------------------------------------------------- */

/* Channels c .. c + lanes of the even inputs to v[position * step]. */
INLINE void positions(const float *const *d, int c, int lanes, float *v,
                      size_t step)
{
    const vf a = vset(POINT_A), b = vset(POINT_B);
    const vf aa = vset(POINT_A * POINT_A), bb = vset(POINT_B * POINT_B);
    const vf sum = vset(POINT_A * POINT_A + POINT_B * POINT_B);
    const vf prod = vset(POINT_A * POINT_A * POINT_B * POINT_B);
    vf e[EVEN];
    UNROLL for (int i = 0; i < EVEN; i++) e[i] = vload(d[2 * i] + c, lanes);
    const vf o1 = vfnma(bb, e[1], e[3]), e1 = vfnma(bb, e[0], e[2]);
    const vf o2 = vfnma(aa, e[1], e[3]), e2 = vfnma(aa, e[0], e[2]);
    vst(v, vfma(a, e1, o1));
    vst(v + step, vfnma(a, e1, o1));
    vst(v + 2 * step, vfma(b, e2, o2));
    vst(v + 3 * step, vfnma(b, e2, o2));
    vst(v + 4 * step, vfma(prod, e[0], vfnma(sum, e[2], e[4])));
}

/* One kernel row of one tile; the next tile's pixels are fetched. */
static void row_in(const float *const *d, int cin, float *v, size_t step)
{
    const ptrdiff_t ahead = (ptrdiff_t)(INPUTS - 1) * cin;
    int c = 0;
    for (; c + VL <= cin; c += VL) {
        if (c % 16 == 0)
            UNROLL for (int i = 1; i < INPUTS; i++) vprefetch(d[i] + ahead + c);
        positions(d, c, VL, v + c, step);
    }
    if (c < cin) positions(d, c, cin - c, v + c, step);
}

static void group_in(const job *j, const room *r, int t0, int m)
{
    const weft_conv_args *a = j->a;
    const weft_conv *c = a->conv;
    const size_t step = (size_t)TAPS * m * j->z.vchan;
    for (int i = 0; i < m; i++) {
        const int t = t0 + i, top = t / j->line * 2 - c->pad_top;
        const int s = t % j->line / j->columns;
        const int left = (j->left + t % j->columns) * MW * 2 - c->pad_left;
        for (int ky = 0; ky < TAPS; ky++) {
            const float *d[INPUTS];
            for (int x = 0; x < INPUTS; x++)
                d[x] = pixel(a, 0, top + ky, s, left + x, r->zero);
            for (int q = 0; q < MW; q++)
                r->odd[((size_t)ky * m + i) * MW + q] = d[2 * q + 1];
            row_in(d, c->cin[0], r->v + ((size_t)ky * m + i) * j->z.vchan,
                   step);
        }
    }
}

/* ---- weights ------------------------------------------------------------- */

/* A part of the channels of a panel, as it lies packed. */
typedef struct piece {
    const char *from; /* channel, column: of the first kernel tap */
    size_t tap;       /* bytes to the next */
    int k, floats;    /* channels; channels times columns */
} piece;

static piece piece_at(const weft_conv_args *a, weft_dtype t, int p, int q)
{
    const int k = a->conv->cin[0];
    const int cols = panel_vectors(a->conv->cout, p * NR) * VL;
    const size_t size = weft_dtype_size(t);
    const size_t at = (size_t)p * NR * 9 * k + (size_t)q * cols;
    const int n = min_int(part_length(k), k - q);
    return (piece){(const char *)a->weight + at * size, (size_t)k * cols * size,
                   n, n * cols};
}

/* Of the even inputs: 1, p over the product of differences of the points; the
 * last is infinity. */
INLINE void make_all(weft_dtype t, const piece *p, float *to)
{
    const float ab = POINT_A * POINT_A - POINT_B * POINT_B;
    const vf a = vset(.5f / POINT_A / ab), b = vset(-.5f / POINT_B / ab);
    const vf aa = vset(.5f / ab), bb = vset(-.5f / ab);
    for (int y = 0; y < TAPS; y++)
        for (int i = 0; i < p->floats; i += VL, to += VL) {
            const char *from = p->from + (size_t)y * TAPS * p->tap;
            const vf g0 = vweights(from, i, t);
            const vf g2 = vweights(from + 2 * p->tap, i, t);
            vst(to, vfma(a, g0, aa * g2));
            vst(to + MADE_STEP, vfnma(a, g0, aa * g2));
            vst(to + 2 * MADE_STEP, vfma(b, g0, bb * g2));
            vst(to + 3 * MADE_STEP, vfnma(b, g0, bb * g2));
            vst(to + 4 * MADE_STEP, g2);
            vst(to + 5 * MADE_STEP, vweights(from + p->tap, i, t));
        }
}

static void make(weft_dtype t, const piece *p, float *to)
{
    if (t == WEFT_F16)
        make_all(WEFT_F16, p, to);
    else if (t == WEFT_BF16)
        make_all(WEFT_BF16, p, to);
    else
        make_all(WEFT_F32, p, to);
}

/* ---- product ------------------------------------------------------------- */

/* Sums of `m` rows, one panel of columns and the part of the channels from q
 * on; kernel rows are put together while they stay below KMERGE. */
static void part_product(const float *const *const *row, int m, int q,
                         const piece *p, const float *b, int nv, float *out,
                         const piece *next)
{
    const int merged = TAPS * p->k <= KMERGE ? TAPS : 1;
    for (int t = 0; t < TAPS; t += merged) {
        const segment s[TAPS] = {
            {row[t], q, p->k}, {row[1], q, p->k}, {row[2], q, p->k}};
        const target to = sums_at(out, nv * VL, q + t > 0);
        ISA(chunk)
        (m, s, merged, b + (size_t)t * p->floats, WEFT_F32, nv, &to,
         next->from + t * TAPS * next->tap);
    }
}

/* M of position x: where the sums of panel p of a range of them lie. */
static float *sums_of(const job *j, const room *r, int x, int m, int p)
{
    const size_t rows = (size_t)m * (x < EVEN ? 1 : MW);
    return r->m + (size_t)x * m * j->z.wide + (size_t)p * rows * NR;
}

static void product(const job *j, const room *r, int m, int p0, int p1)
{
    const weft_conv_args *a = j->a;
    const int k = a->conv->cin[0], part = part_length(k);
    const float *place[EVEN][TAPS][MOST_TILES];
    const float *const *row[EVEN + 1][TAPS];
    for (int t = 0; t < TAPS; t++) {
        for (int x = 0; x < EVEN; x++) {
            for (int i = 0; i < m; i++)
                place[x][t][i] =
                    r->v + ((size_t)(x * TAPS + t) * m + i) * j->z.vchan;
            row[x][t] = place[x][t];
        }
        row[EVEN][t] = r->odd + (size_t)t * m * MW;
    }
    for (int p = p0; p < p1; p++)
        for (int q = 0; q < k; q += part) {
            const piece now = piece_at(a, j->dtype, p, q);
            const piece next =
                q + part < k ? piece_at(a, j->dtype, p, q + part)
                             : piece_at(a, j->dtype, min_int(p + 1, p1 - 1), 0);
            make(j->dtype, &now, r->made);
            for (int x = 0; x <= EVEN; x++)
                part_product(row[x], x < EVEN ? m : m * MW, q, &now,
                             r->made + (size_t)x * MADE_STEP,
                             panel_vectors(a->conv->cout, p * NR),
                             sums_of(j, r, x, m, p - p0), &next);
        }
}

/* ---- output -------------------------------------------------------------- */

/* Of one vector of columns; `step` floats from position to position. */
INLINE void outputs(const float *even, size_t step, const float *odd, int cols,
                    vf *y)
{
    const vf a = vset(POINT_A), b = vset(POINT_B);
    const vf aa = vset(POINT_A * POINT_A), bb = vset(POINT_B * POINT_B);
    const vf aaa = vset(POINT_A * POINT_A * POINT_A);
    const vf bbb = vset(POINT_B * POINT_B * POINT_B);
    const vf d0 = vld(even), d1 = vld(even + step), d2 = vld(even + 2 * step);
    const vf d3 = vld(even + 3 * step), d4 = vld(even + 4 * step);
    const vf s1 = d0 + d1, t1 = d0 - d1, s2 = d2 + d3, t2 = d2 - d3;
    y[0] = s1 + s2;
    y[1] = vfma(a, t1, b * t2);
    y[2] = vfma(aa, s1, bb * s2);
    y[3] = vfma(aaa, t1, vfma(bbb, t2, d4));
    UNROLL for (int q = 0; q < MW; q++) y[q] += vld(odd + q * cols);
}

static void group_out(const job *j, const room *r, int t0, int m, int p0,
                      int p1)
{
    const weft_conv_args *a = j->a;
    const int cout = a->conv->cout;
    const size_t step = (size_t)m * j->z.wide;
    for (int i = 0; i < m; i++) {
        const int t = t0 + i, x = (j->left + t % j->columns) * MW;
        const int s = t % j->line / j->columns;
        const int count = min_int(MW, a->col1 - x);
        const ptrdiff_t at =
            ((ptrdiff_t)(t / j->line * a->n + s) * a->wout + x) * cout;
        for (int p = p0; p < p1; p++) {
            const int cols = panel_vectors(cout, p * NR) * VL;
            const float *even = sums_of(j, r, 0, m, p - p0) + i * cols;
            const float *odd =
                sums_of(j, r, EVEN, m, p - p0) + (ptrdiff_t)i * MW * cols;
            const int n1 = min_int(p * NR + cols, cout);
            for (int n = p * NR; n < n1; n += VL, even += VL, odd += VL) {
                const int lanes = min_int(VL, n1 - n);
                const vf bias = bias_lanes(a, s, n, lanes);
                vf y[MW];
                outputs(even, step, odd, cols, y);
                for (int q = 0; q < count; q++)
                    put_lanes(a, y[q] + bias, at + q * cout + n, lanes);
            }
        }
    }
}

/* ---- run ----------------------------------------------------------------- */

static void strided_task(void *arg, int i, int worker)
{
    const job *j = arg;
    const weft_conv *c = j->a->conv;
    const int group = i % j->groups, part = i / j->groups;
    const int np = panel_count(c->cout);
    const int t0 = j->begin + part_begin(j->end - j->begin, group, j->groups);
    const int m =
        j->begin + part_begin(j->end - j->begin, group + 1, j->groups) - t0;
    const int end = part_begin(np, part + 1, j->parts);
    room r;
    room_lay(c, &j->z, weft_pool_scratch(j->pool, worker), &r);
    memset(r.zero, 0, zero_line(c) * sizeof *r.zero);
    group_in(j, &r, t0, m);
    for (int p = part_begin(np, part, j->parts), p1; p < end; p = p1) {
        p1 = min_int(p + j->z.panels, end);
        product(j, &r, m, p, p1);
        group_out(j, &r, t0, m, p, p1);
    }
}

static void strided_run(const weft_conv_args *a, weft_variant v,
                        weft_pool *pool)
{
    const int threads = weft_pool_size(pool);
    job j = {.a = a, .dtype = v.dtype, .pool = pool, .parts = 1};
    j.z = size_up(a->conv);
    if (a->row1 <= a->row0 || a->col1 <= a->col0) return;
    j.left = a->col0 / MW;
    j.columns = ceil_div(call_columns(a), MW);
    j.line = a->n * j.columns;
    j.begin = a->row0 * j.line;
    j.end = a->row1 * j.line;
    j.groups = ceil_div(j.end - j.begin, j.z.group);
    if (threads > 1 && j.groups < 8 * threads) {
        j.groups = ceil_div(j.groups, threads) * threads;
        j.groups = min_int(j.groups, ceil_div(j.end - j.begin, MR));
        j.parts = min_int(panel_count(a->conv->cout),
                          ceil_div(4 * threads, j.groups));
    }
    weft_pool_run(pool, j.groups * j.parts, strided_task, &j);
}

const conv_kernel ISA(strided) = {ISA(panels_bytes), ISA(panels_pack),
                                  strided_scratch, strided_run};
