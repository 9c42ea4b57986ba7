/* Convolutions of an image that is cut along its columns: each part with the
 * neighbours' columns at its sides gives the bytes of the whole. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/core/device_tools.h"

enum { N = 2, ROWS = 8, SPARE = 2, W = 44 };

static const struct {
    int k, stride, up, pad; /* pad: above and left */
    int cin[2], cout;
} convs[] = {
    {3, 1, 1, 1, {5, 0}, 7},       {3, 1, 1, 1, {16, 0}, 33},
    {3, 1, 1, 1, {24, 40}, 48},    {3, 1, 2, 1, {32, 0}, 40},
    {3, 2, 1, 1, {20, 0}, 36},     {3, 2, 1, 0, {32, 8}, 32},
    {3, 1, 1, 1, {64, 0}, 3},      {3, 1, 2, 1, {3, 0}, 4},
    {3, 2, 1, 0, {4, 0}, 16},      {1, 1, 1, 0, {12, 4}, 20},
    {3, 1, 1, 1, {168, 0}, 40},    {3, 1, 1, 1, {6, 9}, 2},
    {1, 1, 1, 0, {256, 0}, 256},   {1, 1, 1, 0, {512, 0}, 256},
    {1, 1, 1, 0, {256, 256}, 256},
};

/* The image: [SPARE + ROWS + SPARE][N][W][c] of each input. */
typedef struct image {
    weft_conv conv;
    float *in[2], *res, *bias_n;
    void *packed;
    int wout, rows;
} image;

static size_t floats(int rows, int w, int c)
{
    return (size_t)rows * N * (size_t)w * (size_t)c;
}

static image make_image(const weft_device *dev, int i)
{
    image m = {.conv = {.kh = convs[i].k,
                        .kw = convs[i].k,
                        .stride = convs[i].stride,
                        .up = convs[i].up,
                        .pad_top = convs[i].pad,
                        .pad_left = convs[i].pad,
                        .paired = convs[i].k == 1 ? 4 : 0,
                        .cin = {convs[i].cin[0], convs[i].cin[1]},
                        .cout = convs[i].cout}};
    weft_conv *c = &m.conv;
    state = (uint64_t)i + 7;
    c->act = i % 2 ? WEFT_SILU : WEFT_LINEAR;
    c->scale = 1;
    m.wout = W * c->up / c->stride;
    m.rows = ROWS * c->up / c->stride;
    c->tile_rows = 1 << i % 3;
    for (int k = 0; k < 2; k++)
        m.in[k] = array(floats(ROWS + 2 * SPARE, W, c->cin[k]) + 1, 1);
    m.res = array(floats(m.rows, m.wout, c->cout), 1);
    m.bias_n = array((size_t)(N * c->cout), 1);
    float *w = array(
        (size_t)(c->kh * c->kw * (c->cin[0] + c->cin[1]) * c->cout), 0.2f);
    const weft_source src = {w, WEFT_F32, c->cout};
    m.packed = aligned_alloc(64, dev->weight_bytes(c));
    assert_non_null(m.packed);
    dev->weight_pack(c, &src, 1, m.packed, 0, 1);
    free(w);
    return m;
}

static void free_image(image *m)
{
    free(m->in[0]), free(m->in[1]), free(m->res), free(m->bias_n);
    free(m->packed);
}

/* Columns x0 .. x1 of an array of `rows` rows as one of their own. */
static float *columns(const float *from, int rows, int w, int c, int x0, int x1)
{
    const size_t run = (size_t)((x1 - x0) * c);
    float *out = malloc((floats(rows, x1 - x0, c) + 1) * sizeof *out);
    assert_non_null(out);
    for (int y = 0; y < rows * N; y++)
        memcpy(out + (size_t)y * run, from + ((size_t)y * w + x0) * c,
               run * sizeof *out);
    return out;
}

static void put_columns(const float *part, int rows, int w, int c, int x0,
                        int x1, float *whole)
{
    const size_t run = (size_t)((x1 - x0) * c);
    for (int y = 0; y < rows * N; y++)
        memcpy(whole + ((size_t)y * w + x0) * c, part + (size_t)y * run,
               run * sizeof *part);
}

/* One part, in memory that holds nothing else, rows row0 .. of all its own. */
static void one_part(const weft_device *dev, const image *m, weft_pool *pool,
                     int x0, int x1, float *whole)
{
    enum { BESIDE = 2, ALL = ROWS + 2 * SPARE };
    const weft_conv *c = &m->conv;
    const int y0 = x0 * c->up / c->stride, y1 = x1 * c->up / c->stride;
    const int left = x0 ? BESIDE : 0, right = x1 < W ? BESIDE : 0;
    float *own[2][3] = {{NULL}};
    weft_conv_args a = {.conv = c,
                        .weight = m->packed,
                        .n = N,
                        .w = x1 - x0,
                        .wout = y1 - y0,
                        .col1 = y1 - y0,
                        .bias_n = m->bias_n,
                        .row1 = m->rows,
                        .beside = {left, right}};
    for (int k = 0; k < 2; k++) {
        const ptrdiff_t n = c->cin[k];
        if (!n) continue;
        own[k][0] = columns(m->in[k], ALL, W, (int)n, x0, x1);
        own[k][1] = columns(m->in[k], ALL, W, (int)n, x0 - left, x0);
        own[k][2] = columns(m->in[k], ALL, W, (int)n, x1, x1 + right);
        a.in[k] = own[k][0] + SPARE * N * a.w * n;
        a.side[k][0] = left ? own[k][1] + SPARE * N * left * n : NULL;
        a.side[k][1] = right ? own[k][2] + SPARE * N * right * n : NULL;
    }
    float *res = columns(m->res, m->rows, m->wout, c->cout, y0, y1);
    a.res = res;
    a.out = nans(floats(m->rows, a.wout, c->cout));
    assert_int_equal(weft_pool_reserve(pool, dev->conv_scratch(c, N, a.w)), 0);
    dev->conv(&a, pool);
    put_columns(a.out, m->rows, m->wout, c->cout, y0, y1, whole);
    free(res), free(a.out);
    for (int k = 0; k < 6; k++) free(own[k / 3][k % 3]);
}

static void check(const weft_device *dev, int i)
{
    static const int cuts[][5] = {
        {0, W}, {0, 24, W}, {0, 8, W}, {0, 8, 16, W}, {0, 8, 24, 40, W}};
    image m = make_image(dev, i);
    const size_t n = floats(m.rows, m.wout, m.conv.cout);
    float *want = nans(n), *got = nans(n);
    char what[80];
    for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++) {
        for (const int *x = cuts[k]; *x < W; x++)
            one_part(dev, &m, pools[k % THREADS], x[0], x[1], got);
        if (k == 0) memcpy(want, got, n * sizeof *want);
        snprintf(what, sizeof what, "conv %d, cut %d, %s", i, (int)k, dev->isa);
        assert_same(want, got, n, dev->name, what);
        for (size_t at = 0; at < n; at++) assert_true(got[at] == got[at]);
        memset(got, 0xff, n * sizeof *got);
    }
    free(want), free(got), free_image(&m);
}

#ifdef __SANITIZE_THREAD__ /* the reference's threads are the same in all */
enum { EVERY = 5 };
#else
enum { EVERY = 1 };
#endif

static void parts_with_sides_are_the_whole(void **unused)
{
    static const char *const kinds[] = {"fast", "lean"};
    const weft_device *dev;
    (void)unused;
    assert_int_equal(weft_device_find("reference", NULL, &dev), WEFT_OK);
    for (int i = 0; i < (int)(sizeof convs / sizeof *convs); i++) {
        for (int k = 0; k < 2; k++)
            for (const weft_device **d = devices(kinds[k]); *d; d++)
                check(*d, i);
        if (i % EVERY == 0) check(dev, i);
    }
}

/* A part without its neighbours' columns is something else: what the cut above
 * compares is not blind to the sides. */
static void sides_count(void **unused)
{
    const weft_device *dev;
    (void)unused;
    assert_int_equal(weft_device_find("fast", NULL, &dev), WEFT_OK);
    image m = make_image(dev, 1);
    const size_t n = floats(m.rows, m.wout, m.conv.cout);
    float *whole = nans(n), *cut = nans(n);
    one_part(dev, &m, pools[0], 0, W, whole);
    for (size_t i = 0; i < floats(ROWS + 2 * SPARE, W, m.conv.cin[0]); i++)
        if (i / (size_t)m.conv.cin[0] % W == 20) m.in[0][i] = 0;
    one_part(dev, &m, pools[0], 0, 20, cut);
    const size_t pixel = (size_t)m.conv.cout;
    assert_memory_equal(whole, cut, 19 * pixel * sizeof *cut);
    assert_memory_not_equal(whole + 19 * pixel, cut + 19 * pixel,
                            pixel * sizeof *cut);
    free(whole), free(cut), free_image(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_with_sides_are_the_whole),
        cmocka_unit_test(sides_count),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
