/*
 * Choosing a device; attention, norms and resampling of the fast devices
 * against plain loops in double, and against themselves: any cut of the rows,
 * any batch, any number of threads and any instruction set must give the same
 * bytes. Inputs are allocated to the byte, outputs are preset to NaN.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/core/device_tools.h"

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
    float *q, *kv; /* keys and values as one patch: [rows][n][w][2 c] */
    const float **strips;
    size_t outputs;
} attend_data;

static attend_data make_attend(const attend_case *k)
{
    attend_data d = {.k = k, .c = k->heads * k->dim};
    const size_t line = (size_t)k->n * k->w * d.c;
    d.outputs = line * k->rows;
    d.q = array(d.outputs, 2);
    d.kv = array(2 * line * k->key_rows, 1);
    d.strips = malloc((size_t)k->key_rows * k->n * k->w * sizeof *d.strips);
    assert_non_null(d.strips);
    return d;
}

static void free_attend(attend_data *d)
{
    free(d->q), free(d->kv), free(d->strips);
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
        const size_t line = (size_t)(t / k->w) * k->n + s;
        const float *key =
            d->kv + (line * k->w + t % k->w) * 2 * d->c + (size_t)h * k->dim;
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

/* Keys a few blocks at a time. */
static void attend_in_calls(const weft_device *dev, weft_attend_args a,
                            weft_pool *pool, int blocks)
{
    const int keys = a.key_rows * a.key_w, some = blocks * dev->attend_block;
    const size_t queries = (size_t)a.rows * a.n * a.w * a.heads;
    a.state = malloc(queries * WEFT_ATTEND_STATE(a.dim));
    assert_non_null(a.state);
    memset(a.state, 0xff, queries * WEFT_ATTEND_STATE(a.dim));
    for (; a.key0 < keys; a.key0 = a.key1) {
        a.key1 = a.key0 + some < keys ? a.key0 + some : keys;
        dev->attend(&a, pool);
    }
    free(a.state);
}

/* Pixels of c floats into ones of c + gap, or back; nothing lies between. */
static void spread(const attend_data *d, float *wide, int gap, float *dense,
                   bool back)
{
    for (size_t i = 0; i < d->outputs / d->c; i++) {
        float *at = wide + i * (d->c + gap), *from = dense + i * d->c;
        memcpy(back ? from : at, back ? at : from, d->c * sizeof *at);
        for (int g = 0; g < gap; g++) {
            if (back) assert_true(at[d->c + g] == 7);
            at[d->c + g] = 7;
        }
    }
}

/* A few rows of queries at a time, in place, with a gap of step - 1 floats
 * between pixels; keys in strips of step columns. */
static void call_attend(const weft_device *dev, const attend_data *d,
                        weft_pool *pool, int step, float *out)
{
    const attend_case *k = d->k;
    const int gap = step - 1;
    float *wide = malloc((d->outputs + d->outputs / d->c * gap) * sizeof *wide);
    const float **strip = d->strips;
    for (int y = 0; y < k->key_rows * k->n; y++)
        for (int x = 0; x < k->w; x += step)
            *strip++ = d->kv + ((size_t)y * k->w + x) * 2 * d->c;
    const size_t line = (size_t)k->n * k->w * (d->c + gap);
    const size_t scratch = dev->attend_scratch(k->w, k->heads, k->dim);
    assert_int_equal(weft_pool_reserve(pool, scratch), 0);
    assert_non_null(wide);
    spread(d, wide, gap, d->q, false);
    for (int y = 0; y < k->rows; y += step) {
        const weft_attend_args a = {.n = k->n,
                                    .w = k->w,
                                    .heads = k->heads,
                                    .dim = k->dim,
                                    .rows =
                                        y + step < k->rows ? step : k->rows - y,
                                    .key_rows = k->key_rows,
                                    .key_w = k->w,
                                    .strip = step,
                                    .scale = attend_scale(k),
                                    .q = wide + y * line,
                                    .kv = d->strips,
                                    .out = wide + y * line,
                                    .step = d->c + gap};
        if (step < k->rows)
            attend_in_calls(dev, a, pool, step);
        else
            dev->attend(&a, pool);
    }
    spread(d, wide, gap, out, true);
    free(wide);
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

/* Two passes over the pixels of one cell, sample and group. */
static void cell_moments(const weft_moments_args *a, int y0, int s, int x0,
                         int g, double want[2])
{
    const int per = (a->c[0] + a->c[1]) / a->groups;
    double sum = 0, square = 0, count = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int y = y0; y < y0 + a->cell_rows; y++)
            for (int x = x0; x < x0 + a->cell_columns && x < a->w; x++)
                for (int c = g * per; c < (g + 1) * per; c++) {
                    const int src = c >= a->c[0];
                    const size_t at = ((size_t)y * a->n + s) * a->w + x;
                    const double v =
                        a->in[src][at * a->c[src] + (src ? c - a->c[0] : c)];
                    if (!pass)
                        sum += v, count++;
                    else
                        square += (v - sum / count) * (v - sum / count);
                }
    want[0] = sum;
    want[1] = square;
}

static void check_moments(const weft_moments_args *a, const double *m)
{
    for (int y = 0; y < a->rows; y += a->cell_rows)
        for (int s = 0; s < a->n; s++)
            for (int x = 0; x < a->w; x += a->cell_columns)
                for (int g = 0; g < a->groups; g++, m += 2) {
                    double want[2];
                    cell_moments(a, y, s, x, g, want);
                    assert_true(fabs(m[0] - want[0]) <=
                                1e-10 * (1 + fabs(want[0])));
                    assert_true(fabs(m[1] - want[1]) <=
                                1e-9 * (1e-3 + want[1]));
                }
}

/* c, c of the second input, groups, w, n, rows, rows and columns of a cell */
static void test_moments(void **unused)
{
    (void)unused;
    static const int shapes[][8] = {
        {32, 0, 8, 5, 2, 3, 1, 5},     {20, 52, 8, 7, 3, 4, 2, 3},
        {7, 0, 7, 1, 1, 3, 3, 1},      {320, 0, 32, 16, 1, 2, 1, 4},
        {300, 276, 32, 6, 2, 4, 4, 4}, {16, 0, 1, 9, 1, 6, 3, 8},
        {100, 44, 36, 4, 1, 3, 1, 4}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int *s = shapes[i];
        const size_t n = (size_t)s[5] * s[4] * s[3];
        float *a = array(n * s[0], 1), *b = array(n * s[1] + 1, 3);
        for (size_t k = 0; k < n * s[0]; k++) a[k] += 1000; /* far off zero */
        a[0] = 1e6f;                                        /* and from that */
        weft_moments_args args = {.n = s[4],
                                  .w = s[3],
                                  .rows = s[5],
                                  .groups = s[2],
                                  .cell_rows = s[6],
                                  .cell_columns = s[7],
                                  .c = {s[0], s[1]},
                                  .in = {a, b}};
        const size_t strips = ((size_t)s[3] + s[7] - 1) / s[7];
        const size_t out = (size_t)s[5] / s[6] * s[4] * strips * s[2] * 2;
        double *want = calloc(out, sizeof *want), *m = calloc(out, sizeof *m);
        assert_true(want && m);
        const weft_device **dev = devices("fast");
        args.moments = want;
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
    for (int f = WEFT_LINEAR; f <= WEFT_GELU_TANH; f++) {
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
    for (int f = WEFT_LINEAR; f <= WEFT_GELU_TANH; f++) {
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
    const weft_conv c = {
        .kh = 3, .kw = 3, .stride = 1, .up = 1, .cin = {3, 4}, .cout = 5};
    assert_true(weft_conv_flops(&c, 10) == 2. * 9 * 7 * 5 * 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attend),       cmocka_unit_test(test_attend_nan),
        cmocka_unit_test(test_moments),      cmocka_unit_test(test_affine),
        cmocka_unit_test(test_act_accuracy), cmocka_unit_test(test_resample),
        cmocka_unit_test(test_find),         cmocka_unit_test(test_flops),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
