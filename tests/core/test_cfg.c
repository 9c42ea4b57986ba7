/* Classifier-free guidance over one inner denoiser, and over two. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/guide/denoiser.h"

enum { ROWS = 3, N = 2, W = 4, C = 5, ROW = N * W * C, ALL = ROWS * ROW };

/* slope[k] x + time for sample k of its batch; destroyed counts. */
typedef struct linear {
    weft_denoiser base;
    const float *slope;
    int *destroyed;
    weft_status status;
} linear;

static weft_status linear_predict(weft_denoiser *d, const float *x, double time,
                                  float *out)
{
    const linear *l = (const linear *)d;
    const int sample = W * C, n = d->batch.n;

    for (int k = 0; k < d->batch.rows * n * sample; k++)
        out[k] = l->slope[k / sample % n] * x[k] + (float)time;
    d->evaluations += (uint64_t)n;
    return l->status;
}

static void linear_destroy(weft_denoiser *d)
{
    ++*((linear *)d)->destroyed;
    free(d);
}

static const weft_denoiser_ops linear_ops = {"linear", linear_predict,
                                             linear_destroy};

static weft_denoiser *linear_create(int n, const float *slope, int *destroyed)
{
    linear *l = calloc(1, sizeof *l);

    assert_non_null(l);
    l->base.ops = &linear_ops;
    l->base.batch = (weft_batch){ROWS, n, W, C};
    l->slope = slope;
    l->destroyed = destroyed;
    return &l->base;
}

static void fill(float *x)
{
    for (int k = 0; k < ALL; k++) x[k] = (float)sin(k + 1.);
}

static const float cond[] = {1.5f, -2}, uncond[] = {.25f, 3};
static const float both[] = {1.5f, -2, .25f, 3};

/* What the formula says of the linear nets. */
static void compare(const float *x, double time, double w, const float *out)
{
    for (int k = 0; k < ALL; k++) {
        const int n = k / (W * C) % N;
        const double ec = cond[n] * x[k] + time, eu = uncond[n] * x[k] + time;

        assert_float_equal(out[k], eu + w * (ec - eu), 2e-6 * (1 + fabs(w)));
    }
}

static void check(weft_denoiser *g, double w)
{
    float x[ALL], kept[ALL], out[ALL];

    fill(x);
    memcpy(kept, x, sizeof x);
    assert_int_equal(g->batch.n, N);
    for (int pass = 1; pass <= 2; pass++) {
        assert_int_equal(weft_predict(g, x, .5 * pass, out), WEFT_OK);
        assert_memory_equal(x, kept, sizeof x);
        compare(x, .5 * pass, w, out);
        assert_int_equal(g->evaluations, 2 * N * pass);
    }
}

static void test_one_batch_and_two(void **state)
{
    static const double scales[] = {0, 1, 2, 7.5, -1};

    (void)state;
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        int destroyed = 0;
        weft_denoiser *joint, *apart;

        assert_int_equal(weft_cfg_create(linear_create(2 * N, both, &destroyed),
                                         NULL, scales[i], &joint),
                         WEFT_OK);
        assert_int_equal(weft_cfg_create(linear_create(N, cond, &destroyed),
                                         linear_create(N, uncond, &destroyed),
                                         scales[i], &apart),
                         WEFT_OK);
        check(joint, scales[i]);
        check(apart, scales[i]);
        weft_denoiser_destroy(joint);
        weft_denoiser_destroy(apart);
        assert_int_equal(destroyed, 3);
    }
}

/* Both ways are the same bytes: which is faster may be chosen freely. */
static void test_both_ways_are_the_same_bytes(void **state)
{
    int destroyed = 0;
    weft_denoiser *joint, *apart;
    float x[ALL], a[ALL], b[ALL];

    (void)state;
    fill(x);
    assert_int_equal(weft_cfg_create(linear_create(2 * N, both, &destroyed),
                                     NULL, 3.3, &joint),
                     WEFT_OK);
    assert_int_equal(weft_cfg_create(linear_create(N, cond, &destroyed),
                                     linear_create(N, uncond, &destroyed), 3.3,
                                     &apart),
                     WEFT_OK);
    assert_int_equal(weft_predict(joint, x, 9, a), WEFT_OK);
    assert_int_equal(weft_predict(apart, x, 9, b), WEFT_OK);
    assert_memory_equal(a, b, sizeof a);
    weft_denoiser_destroy(joint);
    weft_denoiser_destroy(apart);
}

/* Guidance of guidance: its evaluations are the nets'. */
static void test_stacks(void **state)
{
    int destroyed = 0;
    weft_denoiser *inner, *outer;
    float x[ALL], out[ALL];

    (void)state;
    fill(x);
    assert_int_equal(weft_cfg_create(linear_create(2 * N, both, &destroyed),
                                     NULL, 2, &inner),
                     WEFT_OK);
    assert_int_equal(weft_cfg_create(inner,
                                     linear_create(N, uncond, &destroyed), .5,
                                     &outer),
                     WEFT_OK);
    assert_int_equal(weft_predict(outer, x, 1, out), WEFT_OK);
    compare(x, 1, 1, out); /* half of twice the way */
    assert_int_equal(outer->evaluations, 3 * N);
    weft_denoiser_destroy(outer);
    assert_int_equal(destroyed, 2);
}

static void test_failures_pass_through(void **state)
{
    int destroyed = 0;
    weft_denoiser *inner = linear_create(2 * N, both, &destroyed), *g = NULL;
    float x[ALL], out[ALL];

    (void)state;
    fill(x);
    assert_int_equal(weft_cfg_create(inner, NULL, NAN, &g), WEFT_EINPUT);
    assert_int_equal(weft_cfg_create(inner, NULL, 1e300, &g), WEFT_EINPUT);
    assert_null(g);
    assert_int_equal(destroyed, 0); /* still the caller's */
    assert_int_equal(weft_cfg_create(inner, NULL, 2, &g), WEFT_OK);
    ((linear *)inner)->status = WEFT_ECOMM;
    assert_int_equal(weft_predict(g, x, 0, out), WEFT_ECOMM);
    weft_denoiser_destroy(g);
    weft_denoiser_destroy(NULL);
    assert_int_equal(destroyed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_batch_and_two),
        cmocka_unit_test(test_both_ways_are_the_same_bytes),
        cmocka_unit_test(test_stacks),
        cmocka_unit_test(test_failures_pass_through),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
