/*
 * The fast devices against plain loops in double, and against themselves: any
 * cut of the rows, any batch, any number of threads and any instruction set
 * must give the same bytes. Inputs are allocated to the byte, outputs are
 * preset to NaN.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/device/device.h"
#include "core/device/dtype.h"

#ifdef WEFT_TEST_WIDE
#include "core/device/cpu/fast/fast.h"
#endif

enum { THREADS = 4 };
static const int threads_of[THREADS] = {1, 2, 3, 5};
static weft_pool *pools[THREADS];

/* ---- things -------------------------------------------------------------- */

static uint64_t state;

static float uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(state >> 40) / (float)(1 << 24);
}

/* About normal. */
static float draw(void)
{
    return uniform() + uniform() + uniform() + uniform() - 2;
}

static float *array(size_t n, float scale)
{
    float *p = malloc(n * sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) p[i] = draw() * scale;
    return p;
}

static float *nans(size_t n)
{
    float *p = malloc(n * sizeof *p);
    assert_non_null(p);
    memset(p, 0xff, n * sizeof *p);
    return p;
}

/* The devices of a kind, best first; NULL at the end. */
static const weft_device **devices(const char *name)
{
    static const weft_device *found[8];
    static const char *const isa[] = {"avx512", "avx2", "generic"};
    int n = 0;
    for (int i = 0; i < 3; i++)
        if (weft_device_find(name, isa[i], &found[n]) == WEFT_OK) n++;
#ifdef WEFT_TEST_WIDE
    if (n > 1) /* there is AVX2 */
        found[n++] = name[0] == 'f' ? &weft_wide_fast : &weft_wide_lean;
#endif
    found[n] = NULL;
    return found;
}

static double act(weft_act a, double x)
{
    switch (a) {
    case WEFT_SILU:
        return x / (1 + exp(-x));
    case WEFT_RELU:
        return x > 0 ? x : 0;
    case WEFT_GELU:
        return x / 2 * erfc(-x / sqrt(2));
    case WEFT_MISH:
        return x * tanh(log1p(exp(x)));
    case WEFT_TANH3:
        return 3 * tanh(x / 3);
    default:
        return x;
    }
}

static void assert_close(const float *got, const double *want, size_t n,
                         double rms_bound, const char *what)
{
    double err = 0, all = 0, most = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs(got[i] - want[i]);
        err += d * d;
        all += want[i] * want[i];
        if (!(d <= most)) most = d;
    }
    const double rms = sqrt(all / (double)n);
    if (!(sqrt(err / (double)n) <= rms_bound * rms) ||
        !(most <= 40 * rms_bound * rms))
        fail_msg("%s: rms error %.2e, largest %.2e", what,
                 sqrt(err / (double)n) / rms, most / rms);
}

static void assert_same(const float *a, const float *b, size_t n,
                        const char *what, const char *case_name)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a))
            fail_msg("%s: %s: element %zu of %zu is %.9g, not %.9g", case_name,
                     what, i, n, (double)b[i], (double)a[i]);
}

/* ---- convolution --------------------------------------------------------- */

enum { BIAS = 1, BIAS_N = 2, RES = 4, STACKED = 8, NO_PAD = 16 };

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
            if (c->wtype == WEFT_F16) {
                const uint32_t e = (u >> 23 & 255);
                h = (uint16_t)((u >> 16 & 0x8000) |
                               (e > 112 ? (e - 112) << 10 | (u >> 13 & 0x3ff)
                                        : (u >> 14 & 0x3ff)));
            }
            if (size == 2) {
                memcpy(p + (i - from) * 2, &h, 2);
                d->weight[i] = weft_dtype_load(c->wtype, &h, 0);
            } else
                memcpy(p + (i - from) * 4, &u, 4);
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

static double *conv_answer(const conv_data *d)
{
    const conv_case *k = d->k;
    const weft_conv *c = &k->c;
    double *out = malloc(d->outputs * sizeof *out);
    assert_non_null(out);
    size_t at = 0;
    for (int y = 0; y < k->rows; y++)
        for (int s = 0; s < k->n; s++)
            for (int x = 0; x < d->wout; x++)
                for (int o = 0; o < c->cout; o++, at++) {
                    double v = sum_at(d, y, s, x, o);
                    if (k->what & BIAS) v += d->bias[o];
                    if (k->what & BIAS_N) v += d->bias_n[s * c->cout + o];
                    v = act(c->act, v);
                    if (k->what & RES) v += d->res[at];
                    out[at] = act(c->post, v) * c->scale;
                }
    return out;
}

static void *pack(const weft_device *dev, const conv_data *d, int parts)
{
    const size_t bytes = dev->weight_bytes(&d->k->c);
    void *p = aligned_alloc(64, bytes);
    assert_non_null(p);
    assert_int_equal(bytes % 64, 0);
    memset(p, 0xff, bytes);
    for (int i = parts; i--;)
        dev->weight_pack(&d->k->c, d->src, d->nsrc, p, i, parts);
    return p;
}

/* Rows row0 .. row1 of samples s0 .. s0 + n into out, which holds only these
 * samples. The input is copied so that it holds only what may be read. */
static void call_conv(const weft_device *dev, const conv_data *d, const void *w,
                      weft_pool *pool, int s0, int n, int row0, int row1,
                      float *out)
{
    const conv_case *k = d->k;
    const weft_conv *c = &k->c;
    weft_conv_args a = {
        .conv = c, .weight = w, .n = n, .w = k->w, .wout = d->wout};
    const int first = floor_half(row0 * c->stride - c->pad_top, c->up);
    const int last =
        floor_half((row1 - 1) * c->stride + c->kh - 1 - c->pad_top, c->up);
    float *copy[2] = {0};
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
    free(copy[0]), free(copy[1]), free(res);
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

static void check_conv(const weft_device *dev, const conv_data *d, float *want,
                       const double *answer)
{
    const conv_case *k = d->k;
    const int tile = k->c.tile_rows;
    void *w = pack(dev, d, 1), *parts = pack(dev, d, 3);
    assert_memory_equal(w, parts, dev->weight_bytes(&k->c));
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
    {"many channels, tile 2", CONV3(2, .cin = {340, 330}, .cout = 48), BIAS, 1,
     4, 9},
    {"many channels, tile 1", CONV3(1, .cin = {650}, .cout = 300), BIAS, 1, 3,
     4},
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
    {"stride 2, pad 0", CONV3(2, .cin = {20}, .cout = 20, .stride = 2),
     BIAS | NO_PAD, 2, 5, 12},
    {"stride 2, many",
     CONV3(1, .cin = {200, 7}, .cout = 72, .stride = 2, .wtype = WEFT_BF16),
     BIAS, 1, 3, 8},
    {"linear 72-100", LINEAR(.cin = {72}, .cout = 100, .act = WEFT_SILU), BIAS,
     2, 3, 7},
    {"linear 700-20 half", LINEAR(.cin = {700}, .cout = 20, .wtype = WEFT_F16),
     RES, 1, 5, 50},
    {"linear, vectors", LINEAR(.cin = {128}, .cout = 300, .act = WEFT_GELU),
     BIAS, 3, 1, 1},
    {"linear, two inputs", LINEAR(.cin = {36, 21}, .cout = 64),
     BIAS | RES | STACKED, 2, 4, 9},
    {"linear 4-4", LINEAR(.cin = {4}, .cout = 4), BIAS, 1, 4, 5},
    {"linear 3-3 mish", LINEAR(.cin = {3}, .cout = 3, .act = WEFT_MISH), BIAS,
     1, 4, 5},
    {"linear 100-3", LINEAR(.cin = {100}, .cout = 3), BIAS, 2, 4, 5},
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

static void test_conv_fast(void **s) { (void)s, test_conv("fast"); }
static void test_conv_lean(void **s) { (void)s, test_conv("lean"); }

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

/* ---- attention ----------------------------------------------------------- */

typedef struct attend_case {
    int n, w, heads, dim, rows, key_rows;
} attend_case;

static const attend_case attend_cases[] = {
    {2, 5, 3, 24, 4, 9},   {1, 16, 2, 32, 3, 40}, {2, 7, 1, 40, 5, 5},
    {1, 33, 2, 64, 2, 25}, {1, 9, 1, 160, 4, 31}, {1, 6, 1, 512, 5, 50},
    {3, 1, 2, 4, 1, 1},    {1, 3, 2, 20, 7, 86},  {1, 100, 1, 7, 5, 6},
};

typedef struct attend_data {
    const attend_case *k;
    int c;
    float *q, *kv;
    const float **rows;
    size_t outputs;
} attend_data;

static attend_data make_attend(const attend_case *k)
{
    attend_data d = {.k = k, .c = k->heads * k->dim};
    const size_t line = (size_t)k->n * k->w * d.c;
    d.outputs = line * k->rows;
    d.q = array(d.outputs, 2);
    d.kv = array(2 * line * k->key_rows, 1);
    d.rows = malloc((size_t)k->key_rows * sizeof *d.rows);
    assert_non_null(d.rows);
    for (int y = 0; y < k->key_rows; y++) d.rows[y] = d.kv + 2 * line * y;
    return d;
}

static void free_attend(attend_data *d)
{
    free(d->q), free(d->kv), free(d->rows);
}

static float attend_scale(const attend_case *k)
{
    return 1 / sqrtf((float)k->dim);
}

static void attend_one(const attend_data *d, int s, int h, size_t query,
                       double *out)
{
    const attend_case *k = d->k;
    const float *q = d->q + query;
    double sum = 0;
    memset(out, 0, (size_t)k->dim * sizeof *out);
    for (int t = 0; t < k->key_rows * k->w; t++) {
        const float *key = d->rows[t / k->w] +
                           ((size_t)s * k->w + t % k->w) * 2 * d->c +
                           (size_t)h * k->dim;
        double x = 0;
        for (int i = 0; i < k->dim; i++) x += (double)q[i] * key[i];
        x = exp(x * attend_scale(k));
        sum += x;
        for (int i = 0; i < k->dim; i++) out[i] += x * key[d->c + i];
    }
    for (int i = 0; i < k->dim; i++) out[i] /= sum;
}

static double *attend_answer(const attend_data *d)
{
    const attend_case *k = d->k;
    double *out = malloc(d->outputs * sizeof *out);
    assert_non_null(out);
    for (int y = 0; y < k->rows; y++)
        for (int s = 0; s < k->n; s++)
            for (int x = 0; x < k->w; x++)
                for (int h = 0; h < k->heads; h++) {
                    const size_t at =
                        ((((size_t)y * k->n + s) * k->w + x) * k->heads + h) *
                        k->dim;
                    attend_one(d, s, h, at, out + at);
                }
    return out;
}

/* A few rows of queries at a time, in place. */
static void call_attend(const weft_device *dev, const attend_data *d,
                        weft_pool *pool, int step, float *out)
{
    const attend_case *k = d->k;
    const size_t line = (size_t)k->n * k->w * d->c;
    const size_t scratch = dev->attend_scratch(k->w, k->heads, k->dim);
    assert_int_equal(weft_pool_reserve(pool, scratch), 0);
    memcpy(out, d->q, d->outputs * sizeof *out);
    for (int y = 0; y < k->rows; y += step) {
        const weft_attend_args a = {k->n,
                                    k->w,
                                    k->heads,
                                    k->dim,
                                    y + step < k->rows ? step : k->rows - y,
                                    k->key_rows,
                                    attend_scale(k),
                                    out + y * line,
                                    d->rows,
                                    out + y * line};
        dev->attend(&a, pool);
    }
}

static void test_attend(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof attend_cases / sizeof *attend_cases; i++) {
        state = i + 1;
        attend_data d = make_attend(&attend_cases[i]);
        char what[60];
        float *want = nans(d.outputs), *out = nans(d.outputs);
        double *answer = attend_answer(&d);
        for (const weft_device **dev = devices("fast"); *dev; dev++) {
            snprintf(what, sizeof what, "dim %d, %s", d.k->dim, (*dev)->isa);
            call_attend(*dev, &d, pools[0], d.k->rows, out);
            assert_close(out, answer, d.outputs, 2e-6, what);
            if (want[0] != want[0]) memcpy(want, out, d.outputs * sizeof *out);
            assert_same(want, out, d.outputs, "instruction set", what);
            for (int t = 1; t < THREADS; t++) {
                call_attend(*dev, &d, pools[t], t, out);
                assert_same(want, out, d.outputs, "cut and threads", what);
            }
        }
        free(want), free(out), free(answer), free_attend(&d);
    }
}

static void test_attend_nan(void **unused)
{
    (void)unused;
    attend_data d = make_attend(&attend_cases[0]);
    const weft_device *dev;
    assert_int_equal(weft_device_find("fast", NULL, &dev), WEFT_OK);
    float *out = nans(d.outputs);
    d.q[3] = NAN; /* first query of the first head */
    call_attend(dev, &d, pools[0], d.k->rows, out);
    for (int i = 0; i < d.c; i++) assert_int_equal(isnan(out[i]), i < d.k->dim);
    d.kv[2 * d.c - 1] = NAN; /* a value of the first sample's last head */
    call_attend(dev, &d, pools[0], d.k->rows, out);
    assert_true(isnan(out[d.c - 1]));
    assert_true(isnan(out[2 * d.c - 1]));
    assert_false(isnan(out[2 * d.c - 2]));
    free(out), free_attend(&d);
}

/* ---- norms and the rest -------------------------------------------------- */

static void check_moments(const weft_moments_args *a, const double *m)
{
    const int per = (a->c[0] + a->c[1]) / a->groups;
    for (int r = 0; r < a->rows * a->n; r++)
        for (int g = 0; g < a->groups; g++, m += 2) {
            double sum = 0, square = 0;
            for (int pass = 0; pass < 2; pass++)
                for (int x = 0; x < a->w; x++)
                    for (int c = g * per; c < (g + 1) * per; c++) {
                        const int src = c >= a->c[0];
                        const double v =
                            a->in[src][((size_t)r * a->w + x) * a->c[src] +
                                       (src ? c - a->c[0] : c)];
                        const double dv = v - sum / (per * a->w);
                        if (pass)
                            square += dv * dv;
                        else
                            sum += v;
                    }
            assert_true(fabs(m[0] - sum) <= 1e-10 * (1 + fabs(sum)));
            assert_true(fabs(m[1] - square) <= 1e-9 * (1e-3 + square));
        }
}

static void test_moments(void **unused)
{
    (void)unused;
    static const int shapes[][5] = {{32, 0, 8, 5, 2},
                                    {20, 52, 8, 7, 3},
                                    {7, 0, 7, 1, 1},
                                    {320, 0, 32, 16, 1}};
    for (int i = 0; i < 4; i++) {
        const int *s = shapes[i], rows = 3;
        const size_t n = (size_t)rows * s[4] * s[2 + 1];
        float *a = array(n * s[0], 1), *b = array(n * s[1] + 1, 3);
        for (size_t k = 0; k < n * s[0]; k++) a[k] += 1000; /* far off zero */
        const size_t out = (size_t)rows * s[4] * s[2] * 2;
        double *want = calloc(out, sizeof *want), *m = calloc(out, sizeof *m);
        assert_true(want && m);
        weft_moments_args args = {s[4],         s[3],   rows, s[2],
                                  {s[0], s[1]}, {a, b}, want};
        const weft_device **dev = devices("fast");
        (*dev)->moments(&args, pools[0]);
        check_moments(&args, want);
        args.moments = m;
        for (; *dev; dev++) {
            (*dev)->moments(&args, pools[2]);
            assert_memory_equal(want, m, out * sizeof *m);
        }
        free(a), free(b), free(want), free(m);
    }
}

static void check_affine(weft_act f, int c0, int c1, bool scaled)
{
    const int n = 2, w = 5, rows = 3, c = c0 + c1;
    const size_t pixels = (size_t)n * w * rows;
    float *a = array(pixels * c0, 4), *b = array(pixels * c1 + 1, 4);
    float *mul = array((size_t)n * c, 1), *add = array((size_t)n * c, 1);
    float *out = nans(pixels * c), *want = nans(pixels * c);
    double *answer = malloc(pixels * c * sizeof *answer);
    assert_non_null(answer);
    for (size_t p = 0, at = 0; p < pixels; p++)
        for (int k = 0; k < c; k++, at++) {
            const size_t v = p / w % n * c + k;
            const double x = k < c0 ? a[p * c0 + k] : b[p * c1 + k - c0];
            answer[at] = act(f, scaled ? x * mul[v] + add[v] : x);
        }
    weft_affine_args args = {n,    w, {c0, c1}, {a, b}, NULL,
                             NULL, f, out,      0,      rows};
    if (scaled) args.mul = mul, args.add = add;
    for (const weft_device **dev = devices("fast"); *dev; dev++) {
        args.row0 = 0, args.row1 = 1;
        (*dev)->affine(&args, pools[0]);
        args.row0 = 1, args.row1 = rows;
        (*dev)->affine(&args, pools[2]);
        assert_close(out, answer, pixels * c, 2e-6, (*dev)->isa);
        if (want[0] != want[0]) memcpy(want, out, pixels * c * sizeof *out);
        assert_same(want, out, pixels * c, "affine", (*dev)->isa);
    }
    a[0] = NAN;
    (*devices("fast"))->affine(&args, pools[0]);
    args.row0 = 0;
    (*devices("fast"))->affine(&args, pools[0]);
    assert_true(isnan(out[0]));
    assert_same(want + 1, out + 1, pixels * c - 1, "beside a NaN", "affine");
    free(a), free(b), free(mul), free(add), free(out), free(want), free(answer);
}

static void test_affine(void **unused)
{
    (void)unused;
    for (int f = WEFT_LINEAR; f <= WEFT_TANH3; f++) {
        check_affine((weft_act)f, 32, 0, true);
        check_affine((weft_act)f, 20, 17, true);
        check_affine((weft_act)f, 7, 0, false);
    }
}

/* The activations themselves: relative error where they are small. */
static void test_act_accuracy(void **unused)
{
    (void)unused;
    enum { N = 8000 };
    static float x[N], y[N];
    for (int i = 0; i < N; i++) x[i] = (float)(i - N / 2) * 0.0051f;
    for (int f = WEFT_LINEAR; f <= WEFT_TANH3; f++) {
        const weft_affine_args a = {1,    N,           {1, 0}, {x, NULL}, NULL,
                                    NULL, (weft_act)f, y,      0,         1};
        (*devices("fast"))->affine(&a, pools[0]);
        for (int i = 0; i < N; i++) {
            const double want = act((weft_act)f, x[i]);
            const double bound = 3e-6 * fabs(want) + 1e-7 * (x[i] < -5);
            if (!(fabs(y[i] - want) <= bound + 1e-12))
                fail_msg("activation %d of %g: %.9g, not %.9g", f, (double)x[i],
                         (double)y[i], want);
        }
    }
}

static void test_resample(void **unused)
{
    (void)unused;
    const int n = 2, w = 6, c = 13, rows = 4;
    float *in = array((size_t)n * w * c * rows, 1);
    float *up = nans((size_t)n * w * c * rows * 4),
          *down = nans((size_t)n * w * c * rows / 4);
    for (const weft_device **dev = devices("fast"); *dev; dev++) {
        for (int y = 0; y < 2 * rows; y += 2)
            (*dev)->resample(
                &(weft_resample_args){n, w, c, true, in, up, y, y + 2},
                pools[1]);
        (*dev)->resample(
            &(weft_resample_args){n, w, c, false, in, down, 0, rows / 2},
            pools[2]);
        for (int i = 0; i < 2 * rows * n * 2 * w * c; i++) {
            const int k = i % c, x = i / c % (2 * w), s = i / c / (2 * w) % n,
                      y = i / c / (2 * w) / n;
            assert_true(up[i] == in[((y / 2 * n + s) * w + x / 2) * c + k]);
        }
        for (int i = 0; i < rows / 2 * n * w / 2 * c; i++) {
            const int k = i % c, x = i / c % (w / 2), s = i / c / (w / 2) % n,
                      y = i / c / (w / 2) / n;
            double sum = 0;
            for (int q = 0; q < 4; q++)
                sum +=
                    in[(((2 * y + q / 2) * n + s) * w + 2 * x + q % 2) * c + k];
            assert_true(fabs(down[i] - sum / 4) < 1e-6);
        }
    }
    free(in), free(up), free(down);
}

/* ---- choosing ------------------------------------------------------------ */

static void test_find(void **unused)
{
    (void)unused;
    const weft_device *dev = NULL;
    assert_int_equal(weft_device_find("fast", NULL, &dev), WEFT_OK);
    assert_string_equal(dev->name, "fast");
    assert_int_equal(weft_device_find("lean", "generic", &dev), WEFT_OK);
    assert_string_equal(dev->name, "lean");
    assert_string_equal(dev->isa, "generic");
    assert_int_equal(weft_device_find("reference", NULL, &dev), WEFT_OK);
    const weft_device *before = dev;
    assert_int_equal(weft_device_find("fats", NULL, &dev), WEFT_EINPUT);
    assert_int_equal(weft_device_find("fast", "neon", &dev), WEFT_EINPUT);
    assert_ptr_equal(dev, before);
}

static void test_flops(void **unused)
{
    (void)unused;
    const weft_conv c = CONV3(4, .cin = {3, 4}, .cout = 5);
    assert_true(weft_conv_flops(&c, 10) == 2. * 9 * 7 * 5 * 10);
}

static int set_up(void **unused)
{
    (void)unused;
    for (int t = 0; t < THREADS; t++)
        if (weft_pool_create(threads_of[t], NULL, &pools[t]) != WEFT_OK)
            return -1;
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    for (int t = 0; t < THREADS; t++) weft_pool_destroy(pools[t]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv_fast),
        cmocka_unit_test(test_conv_lean),
        cmocka_unit_test(test_conv_nan),
        cmocka_unit_test(test_conv_in_place),
        cmocka_unit_test(test_attend),
        cmocka_unit_test(test_attend_nan),
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_affine),
        cmocka_unit_test(test_act_accuracy),
        cmocka_unit_test(test_resample),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_flops),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
