/*
 * seven.c - linear layers over the pixels of an image by seven products of
 * halves in place of eight (Strassen, Gaussian elimination is not optimal,
 * 1969, in Winograd's form with 15 additions).
 *
 * Halved are the pixels, the channels and the columns: pixels x and x + 1 of a
 * row, x even, are a pair; channel k goes with k + K/2, column n with n + N/2.
 *
 *   [C11 C12]   [A11 A12] [B11 B12]   A1 the even pixels, A2 the odd ones
 *   [C21 C22] = [A21 A22] [B21 B22]   B1 the first channels, B2 the others
 *
 * What is made of A lies in scratch for a block of pairs; what is made of B is
 * made again for each block, a chunk at a time, from weights as direct.c packs
 * them: of any type, and no second copy. Cuts lie at even columns, so a pair is
 * a pair on any rank. An odd last column has zeros beside it.
 */
#include "core/device/cpu/fast/kernel.h"

enum {
    PRODUCTS = 7,
    SUMS = 4,            /* of A: S1 .. S4 */
    MAX_PAIRS = 96,      /* of a block */
    SUM_BYTES = 3 << 20, /* most for what is made of A */
    FETCH_AHEAD = 8,     /* pairs */
    LEAST_PAIRS = 12     /* of a block for the sake of threads */
};

typedef struct job {
    const weft_conv_args *a;
    weft_variant v;
    weft_pool *pool;
    int columns;       /* pairs in a row of one sample */
    ptrdiff_t first;   /* pair */
    int pairs, blocks; /* blocks of pairs ... */
    int panels, parts; /* ... times parts of half the panels */
} job;

/* A worker's scratch. */
typedef struct room {
    float *zero;                 /* [channels] */
    float *made;                 /* [SUMS][pair][step] */
    float *weights[PRODUCTS];    /* [channel of a chunk][NR] */
    float *sums;                 /* [PRODUCTS][MAX_PAIRS][NR] */
    const float **row[2 + SUMS]; /* [MAX_PAIRS]: even, odd, S1 .. S4 */
    ptrdiff_t *pixel;            /* [MAX_PAIRS]: the even one */
    bool *single;                /* [MAX_PAIRS]: is there no odd one? */
} room;

/* Which rows each product takes, and from which half of the channels on. */
enum { EVEN, ODD, S1, S2, S3, S4 };
static const struct {
    int row;
    bool upper;
} factor[PRODUCTS] = {{EVEN, false}, {EVEN, true}, {S4, false}, {ODD, true},
                      {S1, false},   {S2, false},  {S3, false}};

static int half(const weft_conv *c) { return c->cin[0] / 2; }

static int most_pairs(const weft_conv *c)
{
    const size_t pair = SUMS * off_4k(half(c)) * sizeof(float);
    return min_int(MAX_PAIRS, max_int(LEAST_PAIRS, (int)(SUM_BYTES / pair)));
}

static char *take(char *base, size_t *at, size_t bytes)
{
    char *p = base + *at;
    *at += (bytes + 63) / 64 * 64;
    return p;
}

static size_t lay(const weft_conv *c, char *base, room *r)
{
    const size_t made = SUMS * off_4k(half(c)) * most_pairs(c);
    size_t at = 0;
    r->zero = (void *)take(base, &at, c->cin[0] * sizeof(float));
    r->made = (void *)take(base, &at, made * sizeof(float));
    for (int i = 0; i < PRODUCTS; i++)
        r->weights[i] = (void *)take(base, &at, KC * NR * sizeof(float));
    r->sums = (void *)take(base, &at,
                           (size_t)PRODUCTS * MAX_PAIRS * NR * sizeof(float));
    for (int i = 0; i < 2 + SUMS; i++)
        r->row[i] = (void *)take(base, &at, MAX_PAIRS * sizeof(float *));
    r->pixel = (void *)take(base, &at, MAX_PAIRS * sizeof *r->pixel);
    r->single = (void *)take(base, &at, MAX_PAIRS * sizeof *r->single);
    return at;
}

static size_t seven_scratch(const weft_conv *c, weft_variant v, int n, int w)
{
    room r;
    (void)v, (void)n, (void)w;
    return lay(c, NULL, &r);
}

/* ---- what is made of pixels ---------------------------------------------- */

static void find_pairs(const job *j, ptrdiff_t q0, int m, const room *r)
{
    const weft_conv_args *a = j->a;
    const int k = a->conv->cin[0];
    for (int i = 0; i < m; i++) {
        const ptrdiff_t line = (q0 + i) / j->columns;
        const int x = a->col0 + 2 * (int)((q0 + i) % j->columns);
        r->pixel[i] = line * a->w + x;
        r->single[i] = x + 1 == a->w;
        r->row[EVEN][i] = a->in[0] + r->pixel[i] * k;
        r->row[ODD][i] = r->single[i] ? r->zero : r->row[EVEN][i] + k;
    }
}

/* S1 = A21 + A22, S2 = S1 - A11, S3 = A11 - A21, S4 = A12 - S2 */
static void add_pixels(const weft_conv *c, int m, const room *r)
{
    const int h = half(c);
    const size_t step = off_4k(h), apart = step * m;
    for (int i = 0; i < m; i++) {
        const float *even = r->row[EVEN][i], *odd = r->row[ODD][i];
        float *to = r->made + i * step;
        for (int s = 0; s < SUMS; s++) r->row[S1 + s][i] = to + s * apart;
        for (int k = 0; k < h; k += VL, to += VL) {
            const vf a11 = vld(even + k), a12 = vld(even + h + k);
            const vf a21 = vld(odd + k), a22 = vld(odd + h + k);
            const vf s1 = a21 + a22, s2 = s1 - a11;
            vst(to, s1);
            vst(to + apart, s2);
            vst(to + 2 * apart, a11 - a21);
            vst(to + 3 * apart, a12 - s2);
        }
    }
}

/* ---- what is made of weights --------------------------------------------- */

/* A chunk of two panels: the quarters of B as they are packed, then what the
 * products take of them. */
typedef struct quarters {
    const void *b[4]; /* B11 B21 B22 B12 */
    int k;
} quarters;

/* T1 = B12 - B11, T2 = B22 - T1, T3 = B22 - B12, T4 = T2 - B21 */
INLINE void add_weights(weft_dtype t, const quarters *q, float *const *to)
{
    for (int i = 0; i < q->k * NR; i += VL) {
        const vf b11 = vweights(q->b[0], i, t), b21 = vweights(q->b[1], i, t);
        const vf b22 = vweights(q->b[2], i, t), b12 = vweights(q->b[3], i, t);
        const vf t1 = b12 - b11, t2 = b22 - t1;
        if (t != WEFT_F32) {
            vst(to[0] + i, b11);
            vst(to[1] + i, b21);
            vst(to[2] + i, b22);
        }
        vst(to[3] + i, t2 - b21);
        vst(to[4] + i, t1);
        vst(to[5] + i, t2);
        vst(to[6] + i, b22 - b12);
    }
}

static void weights_of(weft_dtype t, const quarters *q, const room *r,
                       const float **factors)
{
    for (int i = 0; i < PRODUCTS; i++)
        factors[i] = t == WEFT_F32 && i < 3 ? q->b[i] : r->weights[i];
    if (t == WEFT_F16)
        add_weights(WEFT_F16, q, r->weights);
    else if (t == WEFT_BF16)
        add_weights(WEFT_BF16, q, r->weights);
    else
        add_weights(WEFT_F32, q, r->weights);
}

/* Channels k0 on of panel p and of the one half the columns further. */
static quarters quarters_at(const job *j, int p, int k0)
{
    const weft_conv *c = j->a->conv;
    const size_t size = weft_dtype_size(j->v.dtype) * NR;
    const size_t right = size * c->cin[0] * (j->panels), down = size * half(c);
    const char *b =
        (const char *)j->a->weight + size * ((size_t)p * c->cin[0] + k0);
    return (quarters){{b, b + down, b + right + down, b + right},
                      min_int(part_length(half(c)), half(c) - k0)};
}

/* ---- product ------------------------------------------------------------- */

/* All seven, of one chunk, join the sums. The quarters of the chunk to come are
 * fetched meanwhile. */
static void products(const job *j, const room *r, int m, int k0,
                     const quarters *now, const quarters *then)
{
    const float *b[PRODUCTS];
    weights_of(j->v.dtype, now, r, b);
    for (int i = 0; i < PRODUCTS; i++) {
        const int off = factor[i].upper ? half(j->a->conv) : 0;
        const segment s = {r->row[factor[i].row], off + k0, now->k};
        const target to =
            sums_at(r->sums + (size_t)i * MAX_PAIRS * NR, NR, k0 > 0);
        ISA(chunk)(m, &s, 1, b[i], WEFT_F32, NV, &to, then->b[i % 4]);
    }
}

/* The outputs of a pair in a panel and in the one half the columns further, and
 * what is added to them, which lie far apart. */
static void fetch_pair(const weft_conv_args *a, const room *r, int i, int n)
{
    const int cout = a->conv->cout;
    for (int odd = 0; odd < 2; odd++)
        for (int u = 0; u < 2 * NR; u += 16) {
            const ptrdiff_t at =
                (r->pixel[i] + odd) * cout + n + u % NR + u / NR * (cout / 2);
            __builtin_prefetch(a->out + at, 1);
            if (a->res) vprefetch(a->res + at);
        }
}

/* One vector of columns, n on, of a pair, and those half the columns further:
 *
 *   C11 = P1 + P2, U2 = P1 + P6, U3 = U2 + P7, C12 = U2 + P5 + P3,
 *   C21 = U3 - P4, C22 = U3 + P5
 */
INLINE void finish_pair(const weft_conv_args *a, const room *r, int i, int n,
                        const float *sums)
{
    const int cout = a->conv->cout, right = n + cout / 2;
    const ptrdiff_t at = r->pixel[i] * cout;
    const int s = a->bias_n ? (int)(r->pixel[i] / a->w % a->n) : 0;
    const vf low = bias_lanes(a, s, n, VL), high = bias_lanes(a, s, right, VL);
    vf p[PRODUCTS];
    UNROLL for (int q = 0; q < PRODUCTS; q++) p[q] =
        vld(sums + (size_t)q * MAX_PAIRS * NR);
    const vf u2 = p[0] + p[5], u3 = u2 + p[6];
    put_lanes(a, p[0] + p[1] + low, at + n, VL);
    put_lanes(a, u2 + p[4] + p[2] + high, at + right, VL);
    if (r->single[i]) return;
    put_lanes(a, u3 - p[3] + low, at + cout + n, VL);
    put_lanes(a, u3 + p[4] + high, at + cout + right, VL);
}

static void finish(const weft_conv_args *a, const room *r, int m, int n)
{
    for (int i = 0; i < min_int(m, FETCH_AHEAD); i++) fetch_pair(a, r, i, n);
    for (int i = 0; i < m; i++) {
        if (i + FETCH_AHEAD < m) fetch_pair(a, r, i + FETCH_AHEAD, n);
        for (int u = 0; u < NR; u += VL)
            finish_pair(a, r, i, n + u, r->sums + i * NR + u);
    }
}

static void seven_task(void *arg, int i, int worker)
{
    const job *j = arg;
    const weft_conv *c = j->a->conv;
    const int block = i / j->parts, part = i % j->parts;
    const int q0 = part_begin(j->pairs, block, j->blocks);
    const int m = part_begin(j->pairs, block + 1, j->blocks) - q0;
    const int end = part_begin(j->panels, part + 1, j->parts);
    room r;
    lay(c, weft_pool_scratch(j->pool, worker), &r);
    memset(r.zero, 0, c->cin[0] * sizeof *r.zero);
    find_pairs(j, j->first + q0, m, &r);
    add_pixels(c, m, &r);
    for (int p = part_begin(j->panels, part, j->parts); p < end; p++) {
        quarters now = quarters_at(j, p, 0);
        for (int k0 = 0, k; k0 < half(c); k0 += k) {
            k = now.k;
            const bool last = k0 + k == half(c);
            const quarters then =
                quarters_at(j, last ? p + 1 : p, last ? 0 : k0 + k);
            products(j, &r, m, k0, &now, &then);
            now = then;
        }
        finish(j->a, &r, m, p * NR);
    }
}

static void seven_run(const weft_conv_args *a, weft_variant v, weft_pool *pool)
{
    const int threads = weft_pool_size(pool);
    job j = {.a = a, .v = v, .pool = pool};
    const int columns = ceil_div(a->col1 - a->col0, 2), line = a->n * columns;
    j.columns = columns;
    j.first = (ptrdiff_t)a->row0 * line;
    j.pairs = (a->row1 - a->row0) * line;
    j.panels = a->conv->cout / 2 / NR;
    j.parts = 1;
    if (j.pairs <= 0 || columns <= 0) return;
    j.blocks = ceil_div(j.pairs, most_pairs(a->conv));
    if (threads > 1 && j.blocks < 8 * threads) {
        j.blocks = round_up(j.blocks, threads);
        j.blocks = min_int(j.blocks, ceil_div(j.pairs, LEAST_PAIRS));
        j.parts = min_int(j.panels, ceil_div(2 * threads, j.blocks));
    }
    weft_pool_run(pool, j.blocks * j.parts, seven_task, &j);
}

const conv_kernel ISA(seven) = {ISA(panels_bytes), ISA(panels_pack),
                                seven_scratch, seven_run};
