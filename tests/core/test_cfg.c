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

/* slope[k] x + time for sample k of its batch. */
typedef struct linear {
    weft_denoiser base;
    weft_input in;
    const float *slope;
    weft_status status;
} linear;

static weft_status linear_ask(weft_denoiser *d, const weft_input *in)
{
    ((linear *)d)->in = *in;
    return WEFT_OK;
}

static weft_status linear_work(weft_denoiser *d)
{
    d->evaluations += (uint64_t)d->batch.n;
    return ((const linear *)d)->status;
}

static weft_status linear_answer(weft_denoiser *d, float *out)
{
    const linear *l = (const linear *)d;
    const int sample = W * C, n = d->batch.n;

    for (int k = 0; k < d->batch.rows * n * sample; k++)
        out[k] = l->slope[k / sample % n] * l->in.x[k] + (float)l->in.time;
    return WEFT_OK;
}

static void linear_destroy(weft_denoiser *d) { free(d); }

static const weft_denoiser_ops linear_ops = {"linear", linear_ask, linear_work,
                                             linear_answer, linear_destroy};

static weft_denoiser *linear_create(int n, const float *slope)
{
    linear *l = calloc(1, sizeof *l);

    assert_non_null(l);
    l->base.ops = &linear_ops;
    l->base.batch = (weft_batch){ROWS, n, W, C};
    l->slope = slope;
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

static weft_status predict(weft_denoiser *g, const float *x, double time,
                           float *out)
{
    return weft_predict(g, &(weft_input){x, time, 0}, out);
}

static void check(weft_denoiser *g, double w)
{
    float x[ALL], kept[ALL], out[ALL];

    fill(x);
    memcpy(kept, x, sizeof x);
    assert_int_equal(g->batch.n, N);
    for (int pass = 1; pass <= 2; pass++) {
        assert_int_equal(predict(g, x, .5 * pass, out), WEFT_OK);
        assert_memory_equal(x, kept, sizeof x);
        compare(x, .5 * pass, w, out);
        assert_int_equal(g->evaluations, 2 * N * pass);
    }
}

/* One inner denoiser of both conditions, and one for each. */
typedef struct pair {
    weft_denoiser *both, *cond, *uncond, *joint, *apart;
} pair;

static void pair_open(pair *p, double w)
{
    p->both = linear_create(2 * N, both);
    p->cond = linear_create(N, cond);
    p->uncond = linear_create(N, uncond);
    assert_int_equal(weft_cfg_create(p->both, NULL, w, &p->joint), WEFT_OK);
    assert_int_equal(weft_cfg_create(p->cond, p->uncond, w, &p->apart),
                     WEFT_OK);
}

static void pair_close(pair *p)
{
    weft_denoiser_destroy(p->joint);
    weft_denoiser_destroy(p->apart);
    weft_denoiser_destroy(p->both);
    weft_denoiser_destroy(p->cond);
    weft_denoiser_destroy(p->uncond);
}

static void test_one_batch_and_two(void **state)
{
    static const double scales[] = {0, 1, 2, 7.5, -1};

    (void)state;
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        pair p;

        pair_open(&p, scales[i]);
        check(p.joint, scales[i]);
        check(p.apart, scales[i]);
        pair_close(&p);
    }
}

/* Both ways are the same bytes: which is faster may be chosen freely. */
static void test_both_ways_are_the_same_bytes(void **state)
{
    float x[ALL], a[ALL], b[ALL];
    pair p;

    (void)state;
    fill(x);
    pair_open(&p, 3.3);
    assert_int_equal(predict(p.joint, x, 9, a), WEFT_OK);
    assert_int_equal(predict(p.apart, x, 9, b), WEFT_OK);
    assert_memory_equal(a, b, sizeof a);
    pair_close(&p);
}

/* Guidance of guidance: its evaluations are the nets'. */
static void test_stacks(void **state)
{
    weft_denoiser *outer;
    float x[ALL], out[ALL];
    pair p;

    (void)state;
    fill(x);
    pair_open(&p, 2);
    assert_int_equal(weft_cfg_create(p.joint, p.uncond, .5, &outer), WEFT_OK);
    assert_int_equal(predict(outer, x, 1, out), WEFT_OK);
    compare(x, 1, 1, out); /* half of twice the way */
    assert_int_equal(outer->evaluations, 3 * N);
    weft_denoiser_destroy(outer);
    pair_close(&p);
}

/* Both conditions are asked before either works: ranks work side by side. */
static void test_asks_before_it_works(void **state)
{
    float x[ALL];
    pair p;

    (void)state;
    fill(x);
    pair_open(&p, 2);
    assert_int_equal(weft_ask(p.apart, &(weft_input){x, 1, 0}), WEFT_OK);
    assert_ptr_equal(((linear *)p.cond)->in.x, x);
    assert_ptr_equal(((linear *)p.uncond)->in.x, x);
    assert_int_equal(p.cond->evaluations + p.uncond->evaluations, 0);
    assert_int_equal(weft_work(p.apart), WEFT_OK);
    assert_int_equal(p.cond->evaluations, N);
    assert_int_equal(p.uncond->evaluations, N);
    pair_close(&p);
}

static void test_failures_pass_through(void **state)
{
    weft_denoiser *inner = linear_create(2 * N, both), *g = NULL;
    float x[ALL], out[ALL];

    (void)state;
    fill(x);
    assert_int_equal(weft_cfg_create(inner, NULL, NAN, &g), WEFT_EINPUT);
    assert_int_equal(weft_cfg_create(inner, NULL, 1e300, &g), WEFT_EINPUT);
    assert_null(g);
    assert_int_equal(weft_cfg_create(inner, NULL, 2, &g), WEFT_OK);
    ((linear *)inner)->status = WEFT_ECOMM;
    assert_int_equal(predict(g, x, 0, out), WEFT_ECOMM);
    weft_denoiser_destroy(g);
    weft_denoiser_destroy(inner);
    weft_denoiser_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_batch_and_two),
        cmocka_unit_test(test_both_ways_are_the_same_bytes),
        cmocka_unit_test(test_stacks),
        cmocka_unit_test(test_asks_before_it_works),
        cmocka_unit_test(test_failures_pass_through),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
