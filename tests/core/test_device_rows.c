/*
 * What transformers ask of a device, against plain loops in double and against
 * itself: layer norm, attention that looks back alone or is tilted, gated
 * linear layers, CLIP's gelu. Any number of threads and any instruction set
 * must give the same bytes. Inputs are allocated to the byte, outputs are
 * preset to NaN.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/core/device_tools.h"

/* ---- layer norm ---------------------------------------------------------- */

static double *norm_answer(const weft_layer_norm_args *a)
{
    double *out = malloc((size_t)a->pixels * a->c * sizeof *out);

    assert_non_null(out);
    for (int p = 0; p < a->pixels; p++) {
        const float *in = a->in + (size_t)p * a->c;
        double mean = 0, var = 0;

        for (int k = 0; k < a->c && !a->rms; k++) mean += in[k] / (double)a->c;
        for (int k = 0; k < a->c; k++)
            var += (in[k] - mean) * (in[k] - mean) / a->c;
        for (int k = 0; k < a->c; k++)
            out[(size_t)p * a->c + k] =
                (in[k] - mean) / sqrt(var + a->eps) * a->gamma[k] +
                (a->beta ? a->beta[k] : 0);
    }
    return out;
}

static void check_layer_norm(int pixels, int c, float offset, bool rms)
{
    const size_t count = (size_t)pixels * c;
    float *in = array(count, 2), *gamma = array(c, 1), *beta = array(c, 1);
    float *want = nans(count), *out = nans(count);
    const weft_device *reference;
    weft_layer_norm_args a = {pixels, c,  1e-5f, in, gamma, rms ? NULL : beta,
                              out,    rms};
    double *answer;
    char what[60];

    for (size_t i = 0; i < count; i++) in[i] += offset;
    answer = norm_answer(&a);
    assert_int_equal(weft_device_find("reference", NULL, &reference), WEFT_OK);
    reference->layer_norm(&a, pools[1]);
    assert_close(out, answer, count, 1e-7, "reference");
    for (const weft_device **dev = devices("fast"); *dev; dev++) {
        snprintf(what, sizeof what, "%d channels, %s", c, (*dev)->isa);
        for (int t = 0; t < THREADS; t++) {
            memset(out, 0xff, count * sizeof *out);
            (*dev)->layer_norm(&a, pools[t]);
            if (want[0] != want[0]) memcpy(want, out, count * sizeof *out);
            assert_same(want, out, count, "threads and ISA", what);
        }
        assert_close(out, answer, count, 4e-7 * (1 + fabs(offset)), what);
    }
    memcpy(out, in, count * sizeof *out); /* in place */
    a.in = out;
    devices("lean")[0]->layer_norm(&a, pools[0]);
    assert_same(want, out, count, "in place", what);
    free(in), free(gamma), free(beta), free(want), free(out), free(answer);
}

static void test_layer_norm(void **unused)
{
    static const int channels[] = {1, 3, 8, 16, 17, 40, 320, 1280, 2051};

    (void)unused;
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++) {
        state = i + 1;
        check_layer_norm(i % 2 ? 37 : 1, channels[i], 0, false);
        check_layer_norm(5, channels[i], channels[i] > 1 ? 3 : 0, false);
        check_layer_norm(4, channels[i], 0, true);
    }
}

static void test_layer_norm_nan(void **unused)
{
    float in[2][20] = {{0}}, one[20], zero[20] = {0}, out[2][20];
    const weft_layer_norm_args a = {2,   20,   1e-5f,  in[0],
                                    one, zero, out[0], false};
    const weft_device *dev;

    (void)unused;
    for (int i = 0; i < 20; i++) one[i] = 1;
    in[0][17] = NAN;
    assert_int_equal(weft_device_find("fast", NULL, &dev), WEFT_OK);
    dev->layer_norm(&a, pools[0]);
    for (int i = 0; i < 20; i++) {
        assert_true(isnan(out[0][i]));
        assert_true(out[1][i] == 0);
    }
}

/* ---- attention within a sequence ----------------------------------------- */

/* It looks back alone, or, tilted, at all. */
typedef struct causal {
    int n, tokens, heads, dim, c;
    float *tilt, *q, *kv;
    const float *sample[4];
} causal;

static void causal_one(const causal *d, int s, int h, int t, double *out)
{
    const float *q = d->q + ((size_t)s * d->tokens + t) * d->c + h * d->dim;
    const float *kv = d->sample[s] + h * d->dim;
    const size_t row = (size_t)h * (2 * d->tokens - 1);
    const float *tilt = d->tilt ? d->tilt + row + d->tokens - 1 - t : NULL;
    const int last = tilt ? d->tokens - 1 : t;
    double sum = 0;

    memset(out, 0, (size_t)d->dim * sizeof *out);
    for (int k = 0; k <= last; k++, kv += 2 * d->c) {
        double x = 0;

        for (int i = 0; i < d->dim; i++) x += (double)q[i] * kv[i];
        x = exp(x / sqrt(d->dim) + (tilt ? tilt[k] : 0));
        sum += x;
        for (int i = 0; i < d->dim; i++) out[i] += x * kv[d->c + i];
    }
    for (int i = 0; i < d->dim; i++) out[i] /= sum;
}

static double *causal_answer(const causal *d)
{
    double *out = malloc((size_t)d->n * d->tokens * d->c * sizeof *out);

    assert_non_null(out);
    for (int s = 0; s < d->n; s++)
        for (int t = 0; t < d->tokens; t++)
            for (int h = 0; h < d->heads; h++)
                causal_one(d, s, h, t,
                           out + ((size_t)s * d->tokens + t) * d->c +
                               h * d->dim);
    return out;
}

static void call_causal(const weft_device *dev, const causal *d,
                        weft_pool *pool, float *out)
{
    const weft_attend_args a = {.n = d->n,
                                .w = d->tokens,
                                .heads = d->heads,
                                .dim = d->dim,
                                .rows = 1,
                                .key_rows = 1,
                                .key_w = d->tokens,
                                .strip = d->tokens,
                                .scale = (float)(1 / sqrt(d->dim)),
                                .q = d->q,
                                .kv = d->sample,
                                .out = out,
                                .step = d->c,
                                .causal = !d->tilt,
                                .tilt = d->tilt};

    assert_int_equal(weft_pool_reserve(pool, dev->attend_scratch(
                                                 d->tokens, d->heads, d->dim)),
                     WEFT_OK);
    dev->attend(&a, pool);
}

static void check_causal(int n, int tokens, int heads, int dim, bool tilted)
{
    causal d = {n, tokens, heads, dim, heads * dim, NULL, NULL, NULL, {NULL}};
    const size_t count = (size_t)n * tokens * d.c;
    float *want = nans(count), *out = nans(count);
    const weft_device *reference;
    double *answer;
    char what[60];

    if (tilted) d.tilt = array((size_t)heads * (2 * tokens - 1), 3);
    d.q = array(count, 2);
    d.kv = array(2 * count, 1);
    for (int s = 0; s < n; s++)
        d.sample[s] = d.kv + (size_t)s * tokens * 2 * d.c;
    answer = causal_answer(&d);
    assert_int_equal(weft_device_find("reference", NULL, &reference), WEFT_OK);
    call_causal(reference, &d, pools[0], out);
    assert_close(out, answer, count, 1e-6, "reference");
    for (const weft_device **dev = devices("fast"); *dev; dev++) {
        snprintf(what, sizeof what, "%d tokens, %s", tokens, (*dev)->isa);
        for (int t = 0; t < THREADS; t++) {
            call_causal(*dev, &d, pools[t], out);
            if (want[0] != want[0]) memcpy(want, out, count * sizeof *out);
            assert_same(want, out, count, "threads and ISA", what);
        }
        assert_close(out, answer, count, 2e-6, what);
    }
    free(want), free(out), free(answer), free(d.tilt), free(d.q), free(d.kv);
}

static void test_causal(void **unused)
{
    (void)unused;
    state = 1;
    check_causal(2, 77, 3, 8, false);
    check_causal(1, 1, 1, 4, false);
    check_causal(1, 600, 2, 20, false); /* more keys than a block of them */
}

static void test_tilted(void **unused)
{
    (void)unused;
    state = 2;
    check_causal(2, 77, 3, 8, true);
    check_causal(1, 1, 1, 4, true);
    check_causal(1, 600, 2, 20, true);
}

/* ---- linear layers ------------------------------------------------------- */

enum { PIXELS = 23 };

static double linear_answer(const weft_conv *v, const float *in,
                            const float *weight, const float *bias,
                            const float *res, int p, int o)
{
    const int cin = v->cin[0];
    double sum = bias[o];

    for (int k = 0; k < cin; k++)
        sum += (double)in[p * cin + k] * weight[o * cin + k];
    if (v->act == WEFT_QUICK_GELU) sum = sum / (1 + exp(-1.702 * sum));
    return v->gated ? sum * res[p * v->cout + o] : sum + res[p * v->cout + o];
}

static void call_linear(const weft_device *dev, const weft_conv *v,
                        const float *in, const float *weight, const float *bias,
                        const float *res, weft_pool *pool, float *out)
{
    const weft_source src = {weight, WEFT_F32, v->cout};
    void *packed = aligned_alloc(64, dev->weight_bytes(v));
    const weft_conv_args a = {.conv = v,
                              .weight = packed,
                              .n = 1,
                              .w = PIXELS,
                              .wout = PIXELS,
                              .col1 = PIXELS,
                              .in = {in},
                              .out = out,
                              .bias = bias,
                              .res = out,
                              .row1 = 1};

    assert_non_null(packed);
    dev->weight_pack(v, &src, 1, packed, 0, 1);
    assert_int_equal(weft_pool_reserve(pool, dev->conv_scratch(v, 1, PIXELS)),
                     WEFT_OK);
    memcpy(out, res, (size_t)PIXELS * v->cout * sizeof *out);
    dev->conv(&a, pool);
    free(packed);
}

/* In the place of what it is multiplied with, or added to. */
static void check_linear(int cin, int cout, int paired, bool gated)
{
    const weft_conv v = {.kh = 1,
                         .kw = 1,
                         .stride = 1,
                         .up = 1,
                         .cin = {cin},
                         .cout = cout,
                         .tile_rows = 1,
                         .act = WEFT_QUICK_GELU,
                         .gated = gated,
                         .paired = paired,
                         .scale = 1};
    const size_t count = (size_t)PIXELS * cout;
    float *in = array((size_t)PIXELS * cin, 1);
    float *weight = array((size_t)cout * cin, cin > 40 ? .1f : 1);
    float *bias = array(cout, 1), *res = array(count, 1);
    float *want = nans(count), *out = nans(count);
    const double bound = paired == 4 ? 3e-6 : 1e-6;
    double *answer = malloc(count * sizeof *answer);
    const weft_device *reference;

    assert_non_null(answer);
    for (int p = 0; p < PIXELS; p++)
        for (int o = 0; o < cout; o++)
            answer[p * cout + o] =
                linear_answer(&v, in, weight, bias, res, p, o);
    assert_int_equal(weft_device_find("reference", NULL, &reference), WEFT_OK);
    call_linear(reference, &v, in, weight, bias, res, pools[0], out);
    assert_close(out, answer, count, 1e-6, "reference");
    for (const weft_device **dev = devices("fast"); *dev; dev++)
        for (int t = 0; t < THREADS; t++) {
            call_linear(*dev, &v, in, weight, bias, res, pools[t], out);
            assert_close(out, answer, count, bound, (*dev)->isa);
            if (want[0] != want[0]) memcpy(want, out, count * sizeof *out);
            assert_same(want, out, count, "threads and ISA", (*dev)->isa);
        }
    free(in), free(weight), free(bias), free(res), free(want), free(out);
    free(answer);
}

static void test_linear(void **unused)
{
    (void)unused;
    state = 7;
    check_linear(672, 256, 2, false); /* three segments */
    check_linear(1344, 256, 4, true);
    for (int gated = 0; gated < 2; gated++) {
        check_linear(40, 3, 2, gated);
        check_linear(40, 16, 2, gated);
        check_linear(40, 77, 2, gated);
        check_linear(256, 320, 2, gated);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_norm),
        cmocka_unit_test(test_layer_norm_nan),
        cmocka_unit_test(test_causal),
        cmocka_unit_test(test_tilted),
        cmocka_unit_test(test_linear),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
