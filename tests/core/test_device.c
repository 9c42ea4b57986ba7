/*
 * Convolutions of the fast devices against plain loops in double, and against
 * themselves: any cut of the rows, any batch, any number of threads and any
 * instruction set must give the same bytes. Inputs are allocated to the byte,
 * outputs are preset to NaN.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "tests/core/device_tools.h"

/* ---- convolution --------------------------------------------------------- */

enum { BIAS = 1, BIAS_N = 2, RES = 4, STACKED = 8, NO_PAD = 16 };
enum { MOST_RANK = 208 };

typedef struct conv_case {
    const char *name;
    weft_conv c;
    int what, n, rows, w;
} conv_case;

typedef struct conv_data {
    const conv_case *k;
    int wout, above, in_rows; /* spare rows above; rows held in all */
    float *in[2];             /* with spare rows */
    float *bias, *bias_n, *res;
    float *weight;   /* as floats */
    void *source[2]; /* as in the file */
    weft_source src[2];
    int nsrc;
    float *down, *up; /* [rank][cin], [cout][rank] */
    size_t outputs;
} conv_data;

static int channels(const weft_conv *c) { return c->cin[0] + c->cin[1]; }

static int floor_half(int y, int up) { return up == 2 ? y >> 1 : y; }

/* Weights exactly representable in the type that the file has. */
static void make_weights(conv_data *d)
{
    const weft_conv *c = &d->k->c;
    const size_t each = (size_t)channels(c) * c->kh * c->kw, n = each * c->cout;
    d->weight = array(n, 1 / sqrtf((float)each / 3));
    d->nsrc = d->k->what & STACKED ? 2 : 1;
    const int cut = d->nsrc == 2 ? c->cout / 3 + 1 : c->cout;
    const size_t size = weft_dtype_size(c->wtype);
    for (int s = 0; s < d->nsrc; s++) {
        const size_t from = s ? each * cut : 0,
                     to = s || d->nsrc == 1 ? n : each * cut;
        /* an odd address, as a file may have it */
        char *p = malloc((to - from) * size + 1);
        assert_non_null(p);
        d->source[s] = p++;
        for (size_t i = from; i < to; i++) {
            uint32_t u;
            memcpy(&u, &d->weight[i], 4);
            uint16_t h = (uint16_t)(u >> 16);
            char *to_place = p + (i - from) * size;
            if (c->wtype == WEFT_F16) {
                const uint32_t e = (u >> 23 & 255);
                h = (uint16_t)((u >> 16 & 0x8000) |
                               (e > 112 ? (e - 112) << 10 | (u >> 13 & 0x3ff)
                                        : (u >> 14 & 0x3ff)));
            }
            memcpy(to_place, size == 2 ? (const void *)&h : &u, size);
            d->weight[i] = weft_dtype_load(c->wtype, to_place, 0);
        }
        d->src[s] = (weft_source){p, c->wtype, s ? c->cout - cut : cut};
    }
}

static conv_data make_conv(const conv_case *k)
{
    const weft_conv *c = &k->c;
    conv_data d = {.k = k};
    d.wout = k->w * c->up / c->stride;
    d.above = -floor_half(-c->pad_top, c->up);
    const int last =
        floor_half((k->rows - 1) * c->stride + c->kh - 1 - c->pad_top, c->up);
    d.in_rows = d.above + last + 1;
    for (int i = 0; i < 2; i++)
        d.in[i] =
            array((size_t)d.in_rows * k->n * k->w * c->cin[i] + !c->cin[i], 1);
    make_weights(&d);
    d.down =
        array((size_t)c->rank * channels(c) + 1, 1 / sqrtf((float)channels(c)));
    d.up = array((size_t)c->rank * c->cout + 1, .3f);
    d.outputs = (size_t)k->rows * k->n * d.wout * c->cout;
    d.bias = array(c->cout, 1);
    d.bias_n = array((size_t)k->n * c->cout, 1);
    d.res = array(d.outputs, 1);
    return d;
}

static void free_conv(conv_data *d)
{
    free(d->in[0]), free(d->in[1]), free(d->weight), free(d->bias);
    free(d->bias_n), free(d->res), free(d->source[0]), free(d->source[1]);
    free(d->down), free(d->up);
}

static const float *input_at(const conv_data *d, int src, int y, int s, int x)
{
    const conv_case *k = d->k;
    const int up = k->c.up;
    if (x < 0 || floor_half(x, up) >= k->w) return NULL;
    const int row = floor_half(y, up) + d->above;
    assert_in_range(row, 0, d->in_rows - 1);
    return d->in[src] + (((size_t)row * k->n + s) * k->w + floor_half(x, up)) *
                            k->c.cin[src];
}

static double sum_at(const conv_data *d, int y, int s, int x, int o)
{
    const weft_conv *c = &d->k->c;
    double sum = 0;
    for (int ky = 0; ky < c->kh; ky++)
        for (int kx = 0; kx < c->kw; kx++)
            for (int src = 0, from = 0; src < 2; from += c->cin[src++]) {
                if (!c->cin[src]) continue;
                const float *p =
                    input_at(d, src, y * c->stride + ky - c->pad_top, s,
                             x * c->stride + kx - c->pad_left);
                for (int i = 0; p && i < c->cin[src]; i++)
                    sum += (double)p[i] *
                           d->weight[(((size_t)o * channels(c) + from + i) *
                                          c->kh +
                                      ky) *
                                         c->kw +
                                     kx];
            }
    return sum;
}

/* What the first of the thin matrices makes of a pixel. */
static void make_low(const conv_data *d, int y, int s, int x, double *low)
{
    const weft_conv *c = &d->k->c;
    for (int r = 0; r < c->rank; r++) {
        const float *down = d->down + (size_t)r * channels(c);
        low[r] = 0;
        for (int src = 0; src < 2; down += c->cin[src++])
            for (int i = 0; i < c->cin[src]; i++)
                low[r] += (double)input_at(d, src, y, s, x)[i] * down[i];
    }
}

static double *conv_answer(const conv_data *d)
{
    const conv_case *k = d->k;
    const weft_conv *c = &k->c;
    double *out = malloc(d->outputs * sizeof *out);
    assert_non_null(out);
    size_t at = 0;
    for (int y = 0; y < k->rows; y++)
        for (int s = 0; s < k->n; s++)
            for (int x = 0; x < d->wout; x++) {
                double low[MOST_RANK];
                make_low(d, y, s, x, low);
                for (int o = 0; o < c->cout; o++, at++) {
                    double v = sum_at(d, y, s, x, o);
                    for (int r = 0; r < c->rank; r++)
                        v += low[r] * d->up[o * c->rank + r];
                    if (k->what & BIAS) v += d->bias[o];
                    if (k->what & BIAS_N) v += d->bias_n[s * c->cout + o];
                    v = act(c->act, v);
                    if (k->what & RES) v += d->res[at];
                    out[at] = act(c->post, v) * c->scale;
                }
            }
    return out;
}

static void *pack_as(const weft_device *dev, const weft_conv *c,
                     const weft_source *src, int nsrc, int parts)
{
    const size_t bytes = dev->weight_bytes(c);
    void *p = aligned_alloc(64, bytes);
    assert_non_null(p);
    assert_int_equal(bytes % 64, 0);
    memset(p, 0xff, bytes);
    for (int i = parts; i--;) dev->weight_pack(c, src, nsrc, p, i, parts);
    return p;
}

static void *pack(const weft_device *dev, const conv_data *d, int parts)
{
    return pack_as(dev, &d->k->c, d->src, d->nsrc, parts);
}

static void *pack_thin(const weft_device *dev, const weft_conv *c,
                       const float *matrix)
{
    const weft_source s = {matrix, WEFT_F32, c->cout};
    return pack_as(dev, c, &s, 1, 2);
}

/* Rows row0 .. row1 of samples s0 .. s0 + n into out, which holds only these
 * samples. The input is copied so that it holds only what may be read. */
static void call_conv(const weft_device *dev, const conv_data *d, const void *w,
                      weft_pool *pool, int s0, int n, int row0, int row1,
                      float *out)
{
    const conv_case *k = d->k;
    const weft_conv *c = &k->c;
    weft_conv_args a = {.conv = c,
                        .weight = w,
                        .n = n,
                        .w = k->w,
                        .wout = d->wout,
                        .col1 = d->wout};
    const int first = floor_half(row0 * c->stride - c->pad_top, c->up);
    const int last =
        floor_half((row1 - 1) * c->stride + c->kh - 1 - c->pad_top, c->up);
    float *copy[2] = {0};
    void *thin[2] = {0};
    if (c->rank) {
        const weft_conv down = weft_conv_down(c), up = weft_conv_up(c);
        a.down = thin[0] = pack_thin(dev, &down, d->down);
        a.up = thin[1] = pack_thin(dev, &up, d->up);
    }
    for (int i = 0; i < 2 && c->cin[i]; i++) {
        const size_t line = (size_t)k->w * c->cin[i], rows = last - first + 1;
        copy[i] = malloc(rows * n * line * sizeof(float));
        assert_non_null(copy[i]);
        for (size_t y = 0; y < rows; y++)
            memcpy(copy[i] + y * n * line,
                   d->in[i] + ((y + first + d->above) * k->n + s0) * line,
                   n * line * sizeof(float));
        a.in[i] = copy[i] - (ptrdiff_t)first * n * (ptrdiff_t)line;
    }
    float *res = malloc(d->outputs * sizeof *res);
    assert_non_null(res);
    const size_t line = (size_t)d->wout * c->cout;
    for (int y = 0; y < k->rows; y++)
        memcpy(res + (size_t)y * n * line,
               d->res + ((size_t)y * k->n + s0) * line,
               n * line * sizeof(float));
    a.out = out;
    if (k->what & BIAS) a.bias = d->bias;
    if (k->what & BIAS_N) a.bias_n = d->bias_n + (size_t)s0 * c->cout;
    if (k->what & RES) a.res = res;
    a.row0 = row0, a.row1 = row1;
    assert_int_equal(weft_pool_reserve(pool, dev->conv_scratch(c, n, k->w)), 0);
    dev->conv(&a, pool);
    free(copy[0]), free(copy[1]), free(res), free(thin[0]), free(thin[1]);
}

/* Every cut at multiples of `step` rows. */
static void check_cut(const weft_device *dev, const conv_data *d, const void *w,
                      weft_pool *pool, int step, const float *want,
                      const char *what)
{
    float *out = nans(d->outputs);
    for (int y = 0; y < d->k->rows; y += step) {
        const int end = y + step < d->k->rows ? y + step : d->k->rows;
        call_conv(dev, d, w, pool, 0, d->k->n, y, end, out);
    }
    assert_same(want, out, d->outputs, what, d->k->name);
    free(out);
}

static void check_one_sample(const weft_device *dev, const conv_data *d,
                             const void *w, const float *want)
{
    const size_t line = (size_t)d->wout * d->k->c.cout;
    const int s = d->k->n - 1;
    float *out = nans(line * d->k->rows);
    call_conv(dev, d, w, pools[1], s, 1, 0, d->k->rows, out);
    for (int y = 0; y < d->k->rows; y++)
        assert_same(want + ((size_t)y * d->k->n + s) * line,
                    out + (size_t)y * line, line, "a sample alone", d->k->name);
    free(out);
}

/* Whatever `fast` makes of weights, it holds what `lean` holds. */
static void check_packing(const weft_device *dev, const conv_data *d,
                          const void *w)
{
    const size_t bytes = dev->weight_bytes(&d->k->c);
    const weft_device *lean; /* of the same instruction set */
    if (strcmp(dev->name, "fast")) return;
    if (weft_device_find("lean", dev->isa, &lean) != WEFT_OK) return;
    assert_int_equal(bytes, lean->weight_bytes(&d->k->c));
    void *same = pack(lean, d, 2);
    assert_memory_equal(w, same, bytes);
    free(same);
}

static void check_conv(const weft_device *dev, const conv_data *d, float *want,
                       const double *answer)
{
    const conv_case *k = d->k;
    const int tile = k->c.tile_rows;
    void *w = pack(dev, d, 1), *parts = pack(dev, d, 3);
    assert_memory_equal(w, parts, dev->weight_bytes(&k->c));
    check_packing(dev, d, w);
    float *out = nans(d->outputs);
    char what[100];
    call_conv(dev, d, w, pools[0], 0, k->n, 0, k->rows, out);
    snprintf(what, sizeof what, "%s, %s %s", k->name, dev->name, dev->isa);
    assert_close(out, answer, d->outputs, 2e-6, what);
    if (want[0] != want[0]) memcpy(want, out, d->outputs * sizeof *want);
    assert_same(want, out, d->outputs, what, "another instruction set");
    for (int t = 1; t < THREADS; t++)
        check_cut(dev, d, w, pools[t], k->rows, want, "threads");
    check_cut(dev, d, w, pools[0], tile, want, "smallest cuts");
    check_cut(dev, d, w, pools[1], 2 * tile, want, "cuts, two threads");
    check_one_sample(dev, d, w, want);
    free(w), free(parts), free(out);
}

/* Zero stands for the usual: stride 1, no upsampling, same size, scale 1. */
#define CONV3(tile, ...)                                                       \
    {                                                                          \
        .kh = 3, .kw = 3, .tile_rows = tile, __VA_ARGS__                       \
    }
#define LINEAR(...)                                                            \
    {                                                                          \
        .kh = 1, .kw = 1, .tile_rows = 1, __VA_ARGS__                          \
    }
#define GROUPED(p, t, n, ...)                                                  \
    LINEAR(.paired = p, .cin = {__VA_ARGS__}, .cout = n, .wtype = WEFT_##t)
static conv_case usual(const conv_case *from)
{
    conv_case k = *from;
    if (!k.c.stride) k.c.stride = 1;
    if (!k.c.up) k.c.up = 1;
    if (k.c.scale == 0) k.c.scale = 1;
    k.c.pad_top = k.c.pad_left = k.what & NO_PAD ? 0 : (k.c.kh - 1) / 2;
    return k;
}

static const conv_case conv_cases[] = {
    {"32-32", CONV3(4, .cin = {32}, .cout = 32), BIAS, 1, 9, 13},
    {"32-32, wide", CONV3(4, .cin = {32}, .cout = 32), BIAS, 3, 20, 36},
    {"72-100 relu", CONV3(4, .cin = {72}, .cout = 100, .act = WEFT_RELU),
     BIAS | RES, 2, 8, 6},
    {"20-24 tile 2", CONV3(2, .cin = {20}, .cout = 24), BIAS, 3, 7, 9},
    {"20-24 tile 1", CONV3(1, .cin = {20}, .cout = 24), BIAS, 3, 7, 9},
    {"24-20 tile 1, wide", CONV3(1, .cin = {24}, .cout = 20), BIAS_N, 2, 5,
     301},
    {"48-40 silu post gelu",
     CONV3(4, .cin = {48}, .cout = 40, .act = WEFT_SILU, .post = WEFT_GELU,
           .scale = .5f),
     BIAS | BIAS_N | RES, 2, 5, 10},
    {"two inputs", CONV3(4, .cin = {36, 20}, .cout = 33), BIAS, 2, 6, 7},
    {"two inputs, tile 2, up", CONV3(2, .cin = {20, 37}, .cout = 32, .up = 2),
     BIAS | STACKED, 1, 10, 5},
    {"up", CONV3(4, .cin = {32}, .cout = 48, .up = 2), BIAS, 2, 12, 7},
    {"up, tile 1", CONV3(1, .cin = {32}, .cout = 17, .up = 2), 0, 2, 6, 7},
    {"many channels", CONV3(4, .cin = {700}, .cout = 48), BIAS, 1, 8, 8},
    {"many channels, tile 2, half",
     CONV3(2, .cin = {340, 330}, .cout = 48, .wtype = WEFT_F16), BIAS, 1, 4, 9},
    {"many channels, tile 1, bfloat",
     CONV3(1, .cin = {650}, .cout = 300, .wtype = WEFT_BF16), BIAS, 1, 3, 4},
    {"many tiles and channels", CONV3(4, .cin = {330}, .cout = 17), BIAS, 1, 12,
     128},
    {"many tiles and columns", CONV3(4, .cin = {17}, .cout = 110), BIAS, 1, 12,
     128},
    {"half", CONV3(4, .cin = {64}, .cout = 64, .wtype = WEFT_F16), BIAS, 1, 8,
     8},
    {"bfloat", CONV3(4, .cin = {64}, .cout = 31, .wtype = WEFT_BF16), BIAS, 1,
     8, 8},
    {"4-48", CONV3(4, .cin = {4}, .cout = 48), BIAS, 2, 9, 11},
    {"3-32 up", CONV3(4, .cin = {3}, .cout = 32, .up = 2), BIAS, 1, 6, 5},
    {"7-20 half", CONV3(4, .cin = {7}, .cout = 20, .wtype = WEFT_F16), BIAS, 2,
     5, 6},
    {"32-3", CONV3(4, .cin = {32}, .cout = 3, .post = WEFT_TANH3), BIAS, 2, 9,
     11},
    {"100-4", CONV3(4, .cin = {100}, .cout = 4, .act = WEFT_MISH),
     BIAS | BIAS_N | RES, 2, 5, 7},
    {"16,20-2 up", CONV3(4, .cin = {16, 20}, .cout = 2, .up = 2), BIAS, 2, 6,
     5},
    {"31-1 bfloat", CONV3(4, .cin = {31}, .cout = 1, .wtype = WEFT_BF16), 0, 1,
     5, 6},
    {"33-3 half", CONV3(4, .cin = {33}, .cout = 3, .wtype = WEFT_F16), 0, 1, 5,
     6},
    {"stride 2", CONV3(1, .cin = {32}, .cout = 40, .stride = 2), BIAS | NO_PAD,
     2, 5, 12},
    {"stride 2, pad 0, half",
     CONV3(2, .cin = {20}, .cout = 20, .stride = 2, .wtype = WEFT_F16),
     BIAS | NO_PAD, 2, 5, 12},
    {"stride 2, many",
     CONV3(1, .cin = {200, 7}, .cout = 72, .stride = 2, .wtype = WEFT_BF16),
     BIAS, 1, 3, 8},
    {"stride 2, 200-72",
     CONV3(2, .cin = {200}, .cout = 72, .stride = 2, .act = WEFT_SILU),
     BIAS | BIAS_N | RES, 2, 4, 18},
    {"stride 2, wide, bfloat",
     CONV3(1, .cin = {17}, .cout = 16, .stride = 2, .wtype = WEFT_BF16), BIAS,
     1, 3, 420},
    {"stride 2, too many", CONV3(1, .cin = {1300}, .cout = 330, .stride = 2),
     BIAS, 1, 1, 4},
    {"4-20 stride 2", CONV3(1, .cin = {4}, .cout = 20, .stride = 2), BIAS, 2, 5,
     12},
    {"4-40, narrow", CONV3(4, .cin = {4}, .cout = 40), BIAS, 2, 5, 2},
    {"3-48, one column", CONV3(4, .cin = {3}, .cout = 48), BIAS, 1, 5, 1},
    {"linear 40-40 bfloat", LINEAR(.cin = {40}, .cout = 40, .wtype = WEFT_BF16),
     BIAS, 1, 5, 13},
    {"linear 40-40 half", LINEAR(.cin = {40}, .cout = 40, .wtype = WEFT_F16), 0,
     1, 5, 13},
    {"linear 72-100", LINEAR(.cin = {72}, .cout = 100, .act = WEFT_SILU), BIAS,
     2, 3, 7},
    {"linear 700-20 half", LINEAR(.cin = {700}, .cout = 20, .wtype = WEFT_F16),
     RES, 1, 5, 50},
    {"linear, vectors", LINEAR(.cin = {128}, .cout = 300, .act = WEFT_GELU),
     BIAS, 3, 1, 1},
    {"linear, few rows", LINEAR(.cin = {170}, .cout = 300), BIAS, 1, 5, 1},
    {"linear, few rows, bfloat",
     LINEAR(.cin = {90}, .cout = 270, .wtype = WEFT_BF16, .act = WEFT_SILU),
     BIAS | RES, 2, 3, 1},
    {"few rows, half", LINEAR(.cin = {33, 20}, .cout = 130, .wtype = WEFT_F16),
     BIAS_N | STACKED, 1, 4, 2},
    {"linear, two inputs", LINEAR(.cin = {36, 21}, .cout = 64),
     BIAS | RES | STACKED, 2, 4, 9},
    {"linear 4-4", LINEAR(.cin = {4}, .cout = 4), BIAS, 1, 4, 5},
    {"mish", LINEAR(.cin = {3}, .cout = 3, .act = WEFT_MISH), BIAS, 1, 4, 5},
    {"pairs, odd, half", GROUPED(2, F16, 320, 320), BIAS | RES, 2, 2, 13},
    {"fours, odd, half", GROUPED(4, F16, 256, 512), BIAS | RES, 2, 3, 5},
    {"pairs of two", GROUPED(2, BF16, 256, 512, 256), BIAS | RES, 1, 7, 9},
    {"fours of two", GROUPED(4, F16, 256, 512, 1024), BIAS | RES, 1, 4, 9},
    {"pairs, rank", LINEAR(.paired = 1, .cin = {256}, .cout = 256, .rank = 16),
     BIAS, 1, 2, 9},
    {"linear 100-3", LINEAR(.cin = {100}, .cout = 3), BIAS, 2, 4, 5},
    {"72-100, rank 16",
     LINEAR(.cin = {72}, .cout = 100, .act = WEFT_SILU, .rank = 16), BIAS | RES,
     2, 3, 7},
    {"two inputs, half, rank 48",
     LINEAR(.cin = {36, 21}, .cout = 64, .wtype = WEFT_F16, .rank = 48),
     BIAS | STACKED, 1, 4, 9},
    {"few rows, rank 32", LINEAR(.cin = {170}, .cout = 300, .rank = 32), BIAS,
     1, 5, 1},
    {"rank 208", LINEAR(.cin = {300}, .cout = 96, .rank = 208), BIAS, 1, 3, 70},
};

static void test_conv(const char *kind)
{
    for (size_t i = 0; i < sizeof conv_cases / sizeof *conv_cases; i++) {
        state = i + 1;
        const conv_case k = usual(&conv_cases[i]);
        conv_data d = make_conv(&k);
        double *answer = conv_answer(&d);
        float *want = nans(d.outputs);
        for (const weft_device **dev = devices(kind); *dev; dev++)
            check_conv(*dev, &d, want, answer);
        free(answer), free(want);
        free_conv(&d);
    }
}

static void test_rank_reference(void **unused)
{
    const weft_device *dev;
    (void)unused;
    assert_int_equal(weft_device_find("reference", NULL, &dev), WEFT_OK);
    for (size_t i = 0; i < sizeof conv_cases / sizeof *conv_cases; i++) {
        state = i + 1;
        const conv_case k = usual(&conv_cases[i]);
        if (!k.c.rank) continue;
        conv_data d = make_conv(&k);
        double *answer = conv_answer(&d);
        float *want = nans(d.outputs);
        check_conv(dev, &d, want, answer);
        free(answer), free(want);
        free_conv(&d);
        if (MOST_DEVICES == 1) break; /* its threads are the same in all */
    }
}

static void test_conv_fast(void **s) { (void)s, test_conv("fast"); }
static void test_conv_lean(void **s) { (void)s, test_conv("lean"); }

/* The same numbers in a file of floats, which d->weight are. */
static conv_data in_floats(const conv_data *d, conv_case *k)
{
    conv_data f = *d;
    float *from = d->weight;
    *k = *d->k;
    k->c.wtype = WEFT_F32;
    f.k = k;
    for (int s = 0; s < d->nsrc; s++) {
        const int cout = d->src[s].cout;
        f.src[s] = (weft_source){from, WEFT_F32, cout};
        from += (size_t)channels(&k->c) * k->c.kh * k->c.kw * cout;
    }
    return f;
}

static void check_types(const weft_device *dev, const conv_data *half)
{
    conv_case k;
    const conv_data single = in_floats(half, &k);
    const size_t bytes = dev->weight_bytes(&half->k->c);
    void *w[2] = {pack(dev, half, 2), pack(dev, &single, 3)};
    float *out[2] = {nans(half->outputs), nans(half->outputs)};
    assert_true(bytes <= dev->weight_bytes(&k.c) / 2 + 63);
    call_conv(dev, half, w[0], pools[1], 0, k.n, 0, k.rows, out[0]);
    call_conv(dev, &single, w[1], pools[0], 0, k.n, 0, k.rows, out[1]);
    assert_same(out[1], out[0], half->outputs, "half of the bytes", k.name);
    for (int i = 0; i < 2; i++) free(w[i]), free(out[i]);
}

/* Weights are held in the file's type, and converting them where they are used
 * gives the bytes of converting them first. */
static void test_types_stay(void **unused)
{
    int seen = 0;
    (void)unused;
    for (size_t i = 0; i < sizeof conv_cases / sizeof *conv_cases; i++) {
        state = i + 1;
        const conv_case k = usual(&conv_cases[i]);
        const weft_device *plain;
        if (k.c.wtype == WEFT_F32) continue;
        conv_data d = make_conv(&k);
        assert_int_equal(weft_device_find("reference", NULL, &plain), WEFT_OK);
        check_types(plain, &d);
        for (const weft_device **dev = devices("lean"); *dev; dev++, seen++)
            check_types(*dev, &d);
        for (const weft_device **dev = devices("fast"); *dev; dev++, seen++)
            check_types(*dev, &d);
        free_conv(&d);
    }
    assert_true(seen >= 30);
}

/* What is not a number stays so, and touches only what it must: a pixel of one
 * sample does not reach the others. */
static void test_conv_nan(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof conv_cases / sizeof *conv_cases; i++) {
        state = i + 1;
        const conv_case k = usual(&conv_cases[i]);
        conv_data d = make_conv(&k);
        const weft_device *dev;
        assert_int_equal(weft_device_find("fast", NULL, &dev), WEFT_OK);
        void *w = pack(dev, &d, 1);
        float *out = nans(d.outputs);
        d.in[0][((size_t)d.above * k.n * k.w) * k.c.cin[0]] = NAN;
        call_conv(dev, &d, w, pools[1], 0, k.n, 0, k.rows, out);
        for (int o = 0; o < k.c.cout; o++) {
            assert_true(isnan(out[o]));
            for (int s = 1; s < k.n; s++)
                assert_false(isnan(out[(size_t)s * d.wout * k.c.cout + o]));
        }
        free(w), free(out), free_conv(&d);
    }
}

/* The result may lie where the residual was. */
static void test_conv_in_place(void **unused)
{
    (void)unused;
    static const conv_case cases[] = {
        {"minimal", CONV3(4, .cin = {32}, .cout = 40), BIAS | RES, 1, 8, 9},
        {"direct", LINEAR(.cin = {32}, .cout = 40), BIAS | RES, 1, 8, 9},
    };
    for (int i = 0; i < 2; i++) {
        const conv_case k = usual(&cases[i]);
        conv_data d = make_conv(&k);
        const weft_device *dev;
        assert_int_equal(weft_device_find("fast", NULL, &dev), WEFT_OK);
        void *w = pack(dev, &d, 1);
        float *out = nans(d.outputs);
        call_conv(dev, &d, w, pools[0], 0, 1, 0, k.rows, out);
        const size_t above = (size_t)d.above * d.k->w * d.k->c.cin[0];
        const weft_conv_args a = {.conv = &d.k->c,
                                  .weight = w,
                                  .n = 1,
                                  .w = d.k->w,
                                  .wout = d.wout,
                                  .col1 = d.wout,
                                  .in = {d.in[0] + above},
                                  .out = d.res,
                                  .bias = d.bias,
                                  .res = d.res,
                                  .row1 = d.k->rows};
        dev->conv(&a, pools[0]);
        assert_same(out, d.res, d.outputs, "in place", d.k->name);
        free(w), free(out), free_conv(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv_fast),
        cmocka_unit_test(test_conv_lean),
        cmocka_unit_test(test_conv_nan),
        cmocka_unit_test(test_conv_in_place),
        cmocka_unit_test(test_types_stay),
        cmocka_unit_test(test_rank_reference),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
