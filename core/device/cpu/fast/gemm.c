/* gemm.c - the register tile. */
#include "core/device/cpu/fast/kernel.h"

/* One step of k: mr broadcasts times nv vectors of weights. */
INLINE void step(int mr, int nv, weft_dtype t, vf s[][3], const float *const *r,
                 int p, const void *b, int q)
{
    vf w[3];
    UNROLL for (int j = 0; j < nv; j++) w[j] =
        vweights(b, (size_t)(q * nv + j) * VL, t);
    UNROLL for (int i = 0; i < mr; i++)
    {
        const vf x = vset(r[i][p + q]);
        UNROLL for (int j = 0; j < nv; j++) vacc(&s[i][j], x, w[j]);
    }
}

typedef struct fetch {
    const char *at;
    int lines; /* per 4 steps */
} fetch;

/* s[i] += row i at `p`. */
INLINE void add_rows(int mr, int nv, vf s[][3], const float *p, ptrdiff_t step)
{
    UNROLL for (int i = 0; i < mr; i++)
    {
        UNROLL for (int j = 0; j < nv; j++) s[i][j] +=
            vld(p + i * step + j * VL);
    }
}

INLINE void put_sums(int mr, int nv, vf s[][3], int m0, const target *to)
{
    const ptrdiff_t step = to->to_step;
    float *d = to->to + m0 * step;
    if (to->from)
        add_rows(mr, nv, s, to->from + m0 * to->from_step, to->from_step);
    if (to->bias) add_rows(mr, nv, s, to->bias, 0);
    UNROLL for (int i = 0; i < mr; i++)
    {
        UNROLL for (int j = 0; j < nv; j++) vst(d + i * step + j * VL, s[i][j]);
    }
}

/* Rows of the output itself are not in the cache: they come while the sums are
 * made, rather than hold up the stores. */
INLINE void fetch_rows(int mr, int nv, float *p, ptrdiff_t step)
{
    UNROLL for (int i = 0; i < mr; i++)
    {
        UNROLL for (int j = 0; j < nv * VL; j += 16)
            __builtin_prefetch(p + i * step + j, 1);
    }
}

INLINE void tile(int mr, int nv, weft_dtype t, int m0, const segment *seg,
                 int ns, const void *b, const target *to, fetch f)
{
    vf s[MR][3];
    const float *r[MR];
    const size_t line = (size_t)nv * VL * weft_dtype_size(t);
    if (to->bias) fetch_rows(mr, nv, to->to + m0 * to->to_step, to->to_step);
    UNROLL for (int i = 0; i < mr; i++)
    {
        UNROLL for (int j = 0; j < nv; j++) s[i][j] = vset(0);
    }
    for (int g = 0; g < ns; g++) {
        const int k = seg[g].k;
        int p = 0;
        UNROLL for (int i = 0; i < mr; i++) r[i] =
            seg[g].row[m0 + i] + seg[g].off;
        for (; p + 4 <= k; p += 4, b = (const char *)b + 4 * line) {
            for (int q = 0; q < f.lines; q++, f.at += 64) vprefetch(f.at);
            step(mr, nv, t, s, r, p, b, 0);
            step(mr, nv, t, s, r, p, b, 1);
            step(mr, nv, t, s, r, p, b, 2);
            step(mr, nv, t, s, r, p, b, 3);
        }
        for (; p < k; p++, b = (const char *)b + line)
            step(mr, nv, t, s, r, p, b, 0);
    }
    put_sums(mr, nv, s, m0, to);
}

/* One or two rows times `np` panels, whose weights are `apart` bytes from each
 * other: with a single panel every sum would wait for the one before. */
INLINE void thin(int mr, int np, weft_dtype t, const segment *seg, int ns,
                 const char *b, size_t apart, const target *to)
{
    vf s[2][THIN * NV];
    const size_t line = (size_t)NR * weft_dtype_size(t);
    UNROLL for (int i = 0; i < mr * np * NV; i++)
        s[i / (np * NV)][i % (np * NV)] = vset(0);
    for (int g = 0; g < ns; g++)
        for (int p = seg[g].off; p < seg[g].off + seg[g].k; p++, b += line) {
            vf x[2];
            UNROLL for (int i = 0; i < mr; i++) x[i] = vset(seg[g].row[i][p]);
            UNROLL for (int j = 0; j < np * NV; j++)
            {
                const vf w =
                    vweights(b + j / NV * apart, (size_t)(j % NV) * VL, t);
                UNROLL for (int i = 0; i < mr; i++) vacc(&s[i][j], x[i], w);
            }
        }
    UNROLL for (int j = 0; j < np; j++)
    {
        vf part[2][3];
        target at = *to;
        UNROLL for (int i = 0; i < mr * NV; i++) part[i / NV][i % NV] =
            s[i / NV][j * NV + i % NV];
        at.to += j * NR;
        if (at.from) at.from += j * NR;
        if (at.bias) at.bias += j * NR;
        put_sums(mr, NV, part, 0, &at);
    }
}

INLINE void thin_rows(int m, weft_dtype t, const segment *s, int ns,
                      const char *b, size_t apart, const target *to)
{
    if (m == 1)
        thin(1, THIN, t, s, ns, b, apart, to);
    else
        thin(2, THIN / 2, t, s, ns, b, apart, to);
}

void ISA(chunk_thin)(int m, const segment *s, int ns, const void *b,
                     size_t apart, weft_dtype t, const target *to)
{
    if (t == WEFT_F16)
        thin_rows(m, WEFT_F16, s, ns, b, apart, to);
    else if (t == WEFT_BF16)
        thin_rows(m, WEFT_BF16, s, ns, b, apart, to);
    else
        thin_rows(m, WEFT_F32, s, ns, b, apart, to);
}

typedef void tile_fn(int m0, const segment *s, int ns, const void *b,
                     const target *to, fetch f);

#define NAME(mr, nv, t) tile_##mr##_##nv##_##t
#define TILE(mr, nv, t)                                                        \
    static void NAME(mr, nv, t)(int m0, const segment *s, int ns,              \
                                const void *b, const target *to, fetch f)      \
    {                                                                          \
        tile(mr, nv, WEFT_##t, m0, s, ns, b, to, f);                           \
    }
#define TILES4(nv, t)                                                          \
    TILE(1, nv, t) TILE(2, nv, t) TILE(3, nv, t) TILE(4, nv, t)
#define TILES6(nv, t) TILES4(nv, t) TILE(5, nv, t) TILE(6, nv, t)
#define NAMES4(nv, t)                                                          \
    NAME(1, nv, t), NAME(2, nv, t), NAME(3, nv, t), NAME(4, nv, t)
#define NAMES6(nv, t) NAMES4(nv, t), NAME(5, nv, t), NAME(6, nv, t)

/* Rows of a tile by its vectors of columns: sums, weights and one broadcast
 * must fit 16 registers, or 32. */
#if defined __AVX512F__ || defined WEFT_VEC_WIDE
#define TILES8(nv, t) TILES6(nv, t) TILE(7, nv, t) TILE(8, nv, t)
#define TILES12(nv, t)                                                         \
    TILES8(nv, t) TILE(9, nv, t) TILE(10, nv, t) TILE(11, nv, t) TILE(12, nv, t)
#define NAMES8(nv, t) NAMES6(nv, t), NAME(7, nv, t), NAME(8, nv, t)
#define NAMES12(nv, t)                                                         \
    NAMES8(nv, t), NAME(9, nv, t), NAME(10, nv, t), NAME(11, nv, t),           \
        NAME(12, nv, t)
/* clang-format off */
TILES12(1, F32) TILES12(2, F32) TILES8(3, F32)
TILES12(1, F16) TILES12(2, F16) TILES8(3, F16)
TILES12(1, BF16) TILES12(2, BF16) TILES8(3, BF16)
enum { ROWS3 = 8 };
/* clang-format on */
static tile_fn *const tiles[3][3][12] = {
    [WEFT_F32] = {{NAMES12(1, F32)}, {NAMES12(2, F32)}, {NAMES8(3, F32)}},
    [WEFT_F16] = {{NAMES12(1, F16)}, {NAMES12(2, F16)}, {NAMES8(3, F16)}},
    [WEFT_BF16] = {{NAMES12(1, BF16)}, {NAMES12(2, BF16)}, {NAMES8(3, BF16)}},
};
#else
/* clang-format off */
TILES6(1, F32) TILES6(2, F32) TILES4(3, F32)
TILES6(1, F16) TILES6(2, F16) TILES4(3, F16)
TILES6(1, BF16) TILES6(2, BF16) TILES4(3, BF16)
enum { ROWS3 = 4 };
/* clang-format on */
static tile_fn *const tiles[3][3][6] = {
    [WEFT_F32] = {{NAMES6(1, F32)}, {NAMES6(2, F32)}, {NAMES4(3, F32)}},
    [WEFT_F16] = {{NAMES6(1, F16)}, {NAMES6(2, F16)}, {NAMES4(3, F16)}},
    [WEFT_BF16] = {{NAMES6(1, BF16)}, {NAMES6(2, BF16)}, {NAMES4(3, BF16)}},
};
#endif

/* Fetch ahead if at most this many tiles share the chunk: more of them hide
 * the latency anyway. */
enum { FETCH_TILES = 64 };

/* Integer division costs as much as several steps. */
static int quotient(int a, int b) { return (int)((float)a / (float)b); }

/* Rows are cut evenly, 16 = 6 + 5 + 5 and not 6 + 6 + 4: a tile of few rows
 * cannot hide the latency of fma. */
void ISA(chunk)(int m, const segment *s, int ns, const void *b, weft_dtype t,
                int nv, const target *to, const void *next)
{
    int k = 0, rows = nv == 3 ? ROWS3 : MR;
    for (int g = 0; g < ns; g++) k += s[g].k;
    const int nt = nv == 3 ? ceil_div(m, ROWS3) : ceil_div(m, MR);
    int missing = nt * rows - m; /* spread over the last tiles */
    for (; missing >= nt; missing -= nt) rows--;
    const int all = (int)((size_t)k * nv * VL * weft_dtype_size(t) / 64);
    const int lines = quotient(all, nt);
    fetch f = {next,
               !next || nt > FETCH_TILES ? 0 : quotient(4 * lines + k - 1, k)};
    for (int i = 0, m0 = 0; i < nt; i++, f.at += (size_t)lines * 64) {
        const int m1 = m0 + rows - (i >= nt - missing);
        tiles[t][nv - 1][m1 - m0 - 1](m0, s, ns, b, to, f);
        m0 = m1;
    }
}

/* ---- weights that are made as they are used ------------------------------ */

/* Vector i of the weights that are made of n sources. */
INLINE vf make(int n, weft_dtype t, bool less, const mix *b, size_t i)
{
    vf x = vweights(b->of[0], i, t);
    if (n == 2) x -= vweights(b->of[1], i, t);
    if (n > 2) x -= vweights(b->of[1], i, t) - vweights(b->of[2], i, t);
    if (n > 3) x -= vweights(b->of[3], i, t);
    if (less) x -= vld(b->less + i);
    return x;
}

/* No rows: they are made and nothing else. */
INLINE void tile_made(int mr, int n, weft_dtype t, bool less,
                      const segment *seg, const mix *b, const target *to)
{
    vf s[MR][3];
    const float *r[MR];
    UNROLL for (int i = 0; i < mr; i++)
    {
        r[i] = seg->row[i] + seg->off;
        UNROLL for (int j = 0; j < NV; j++) s[i][j] = vset(0);
    }
    for (int p = 0; p < seg->k; p++) {
        vf w[NV];
        UNROLL for (int j = 0; j < NV; j++)
        {
            const size_t at = (size_t)(p * NV + j) * VL;
            w[j] = make(n, t, less, b, at);
            vst(b->to + at, w[j]);
        }
        UNROLL for (int i = 0; i < mr; i++)
        {
            const vf x = vset(r[i][p]);
            UNROLL for (int j = 0; j < NV; j++) vacc(&s[i][j], x, w[j]);
        }
    }
    put_sums(mr, NV, s, 0, to);
}

/* Of the first tile, whose sums hide what making costs. */
enum { ROWS_MADE = VL == 8 ? 4 : 8 };

typedef void made_fn(const segment *s, const mix *b, const target *to);
#define MADE_NAME(n, t, less, rows) made_##n##_##t##_##less##_##rows
#define MADE(n, t, less, rows)                                                 \
    static void MADE_NAME(n, t, less, rows)(const segment *s, const mix *b,    \
                                            const target *to)                  \
    {                                                                          \
        tile_made(rows *ROWS_MADE, n, WEFT_##t, less, s, b, to);               \
    }
#define MADE4(n, t)                                                            \
    MADE(n, t, 0, 0) MADE(n, t, 0, 1) MADE(n, t, 1, 0) MADE(n, t, 1, 1)
#define MADE_NAMES(n, t)                                                       \
    {                                                                          \
        {MADE_NAME(n, t, 0, 0), MADE_NAME(n, t, 0, 1)},                        \
        {                                                                      \
            MADE_NAME(n, t, 1, 0), MADE_NAME(n, t, 1, 1)                       \
        }                                                                      \
    }
#define MADE_ALL(t) MADE4(1, t) MADE4(2, t) MADE4(3, t) MADE4(4, t)
#define MADE_TABLE(t)                                                          \
    [WEFT_##t] = {MADE_NAMES(1, t), MADE_NAMES(2, t), MADE_NAMES(3, t),        \
                  MADE_NAMES(4, t)}
MADE_ALL(F32)
MADE_ALL(F16)
MADE_ALL(BF16)
static made_fn *const made_of[3][4][2][2] = {MADE_TABLE(F32), MADE_TABLE(F16),
                                             MADE_TABLE(BF16)};

void ISA(chunk_made)(int m, const segment *s, const mix *b, const target *to,
                     const void *next)
{
    const int rows = m < ROWS_MADE ? 0 : ROWS_MADE;
    made_of[b->t][b->n - 1][b->less != NULL][rows > 0](s, b, to);
    if (m == rows) return;
    const segment rest = {s->row + rows, s->off, s->k};
    target at = *to;
    at.to += rows * at.to_step;
    if (at.from) at.from += rows * at.from_step;
    ISA(chunk)(m - rows, &rest, 1, b->to, WEFT_F32, NV, &at, next);
}
