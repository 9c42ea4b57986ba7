/* Classifier-free guidance over one inner denoiser, and over two. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/guide/guidance.h"
#include "core/guide/halves.h"

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
    return weft_predict(g, &(weft_input){.x = x, .time = time}, out);
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

static void pair_open_as(pair *p, weft_guidance g)
{
    p->both = linear_create(2 * N, both);
    p->cond = linear_create(N, cond);
    p->uncond = linear_create(N, uncond);
    assert_int_equal(weft_cfg_create(p->both, NULL, &g, &p->joint), WEFT_OK);
    assert_int_equal(weft_cfg_create(p->cond, p->uncond, &g, &p->apart),
                     WEFT_OK);
}

static void pair_open(pair *p, double w)
{
    pair_open_as(p, (weft_guidance){.scale = w});
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

/* What a joint batch says of each condition is what each net says alone. */
static void test_halves(void **state)
{
    weft_denoiser *joint = linear_create(2 * N, both), *half[2];
    weft_denoiser *alone[] = {linear_create(N, cond), linear_create(N, uncond)};
    float x[ALL], out[ALL], want[ALL];

    (void)state;
    fill(x);
    assert_int_equal(weft_halves_create(joint, &half[0]), WEFT_OK);
    assert_int_equal(weft_halves_other(half[0], &half[1]), WEFT_OK);
    for (int pass = 1; pass <= 2; pass++) {
        const weft_input in = {.x = x, .time = pass};

        for (int k = 0; k < 2; k++)
            assert_int_equal(weft_ask(half[k], &in), WEFT_OK);
        for (int k = 0; k < 2; k++)
            assert_int_equal(weft_work(half[k]), WEFT_OK);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(half[k]->batch.n, N);
            assert_int_equal(weft_answer(half[k], out), WEFT_OK);
            assert_int_equal(predict(alone[k], x, pass, want), WEFT_OK);
            assert_memory_equal(out, want, sizeof out);
        }
        assert_int_equal(half[0]->evaluations + half[1]->evaluations,
                         2 * N * pass);
    }
    ((linear *)joint)->status = WEFT_ENAN;
    assert_int_equal(predict(half[0], x, 1, out), WEFT_ENAN);
    for (int k = 0; k < 2; k++) {
        weft_denoiser_destroy(half[k]);
        weft_denoiser_destroy(alone[k]);
    }
    weft_denoiser_destroy(joint);
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
    assert_int_equal(weft_cfg_create(p.joint, p.uncond,
                                     &(weft_guidance){.scale = .5}, &outer),
                     WEFT_OK);
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
    assert_int_equal(weft_ask(p.apart, &(weft_input){.x = x, .time = 1}),
                     WEFT_OK);
    assert_ptr_equal(((linear *)p.cond)->in.x, x);
    assert_ptr_equal(((linear *)p.uncond)->in.x, x);
    assert_int_equal(p.cond->evaluations + p.uncond->evaluations, 0);
    assert_int_equal(weft_work(p.apart), WEFT_OK);
    assert_int_equal(p.cond->evaluations, N);
    assert_int_equal(p.uncond->evaluations, N);
    pair_close(&p);
}

/* As diffusers' guiders count: floor(start n) <= i < floor(stop n). */
static void test_weights_by_step(void **state)
{
    const weft_guidance plain = {.scale = 7};
    const weft_guidance line = {
        .scale = 7, .linear = true, .end = 1, .steps = 4};
    const weft_guidance inside = {
        .scale = 7, .limited = true, .start = .3, .stop = .75, .steps = 10};
    const weft_guidance latter = {.scale = 3,
                                  .linear = true,
                                  .end = 5,
                                  .limited = true,
                                  .start = .5,
                                  .stop = 1,
                                  .steps = 3};

    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_true(weft_guidance_at(&plain, i) == 7);
        assert_true(weft_guidance_at(&inside, i) == (i >= 3 && i < 7 ? 7 : 1));
    }
    for (int i = 0; i < 4; i++)
        assert_float_equal(weft_guidance_at(&line, i), 7 - 2 * i, 1e-12);
    assert_float_equal(weft_guidance_at(&latter, 0), 1, 0);
    assert_float_equal(weft_guidance_at(&latter, 1), 4, 1e-12);
    assert_float_equal(weft_guidance_at(&latter, 2), 5, 1e-12);
}

/* Outside of its interval guidance is the conditional prediction, exactly. */
static void test_weight_follows_the_node(void **state)
{
    const weft_guidance g = {
        .scale = 3, .limited = true, .start = .5, .stop = 1, .steps = 4};
    float x[ALL], out[ALL], want[ALL];
    pair p;

    (void)state;
    fill(x);
    pair_open_as(&p, g);
    for (int node = 0; node < 4; node++)
        for (int way = 0; way < 2; way++) {
            weft_denoiser *d = way ? p.apart : p.joint;
            const weft_input in = {.x = x, .time = .3, .node = node};

            assert_int_equal(weft_predict(d, &in, out), WEFT_OK);
            if (node >= 2) {
                compare(x, .3, 3, out);
                continue;
            }
            assert_int_equal(weft_predict(p.cond, &in, want), WEFT_OK);
            assert_memory_equal(out, want, sizeof want);
        }
    pair_close(&p);
}

/* Deviation over the sample n of [ROWS][N][W][C], from two passes. */
static double deviation(const float *v, int n)
{
    const int count = ROWS * W * C;
    double mean = 0, square = 0;

    for (int k = 0; k < ALL; k++)
        if (k / (W * C) % N == n) mean += v[k] / (double)count;
    for (int k = 0; k < ALL; k++)
        if (k / (W * C) % N == n) square += (v[k] - mean) * (v[k] - mean);
    return sqrt(square / (count - 1));
}

/* rescale_noise_cfg of diffusers, from its formula. */
static void test_rescale(void **state)
{
    static const double phi[] = {0, .7, 1};
    float x[ALL], plain[ALL], ec[ALL], out[ALL];
    pair p, r;

    (void)state;
    fill(x);
    pair_open(&p, 4);
    assert_int_equal(predict(p.apart, x, 2, plain), WEFT_OK);
    assert_int_equal(predict(p.cond, x, 2, ec), WEFT_OK);
    for (int i = 0; i < 3; i++) {
        pair_open_as(&r, (weft_guidance){.scale = 4, .rescale = phi[i]});
        for (int way = 0; way < 2; way++) {
            assert_int_equal(predict(way ? r.apart : r.joint, x, 2, out),
                             WEFT_OK);
            for (int k = 0; k < ALL; k++) {
                const int n = k / (W * C) % N;
                const double ratio = deviation(ec, n) / deviation(plain, n);

                assert_float_equal(
                    out[k], plain[k] * (phi[i] * ratio + 1 - phi[i]), 3e-6);
            }
        }
        pair_close(&r);
    }
    pair_close(&p);
}

static void test_failures_pass_through(void **state)
{
    weft_denoiser *inner = linear_create(2 * N, both), *g = NULL;
    float x[ALL], out[ALL];

    (void)state;
    fill(x);
    assert_int_equal(
        weft_cfg_create(inner, NULL, &(weft_guidance){.scale = NAN}, &g),
        WEFT_EINPUT);
    assert_int_equal(
        weft_cfg_create(inner, NULL, &(weft_guidance){.scale = 1e300}, &g),
        WEFT_EINPUT);
    assert_int_equal(
        weft_cfg_create(inner, NULL,
                        &(weft_guidance){.scale = 2, .rescale = 1.5}, &g),
        WEFT_EINPUT);
    assert_null(g);
    assert_int_equal(
        weft_cfg_create(inner, NULL, &(weft_guidance){.scale = 2}, &g),
        WEFT_OK);
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
        cmocka_unit_test(test_weights_by_step),
        cmocka_unit_test(test_weight_follows_the_node),
        cmocka_unit_test(test_rescale),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_failures_pass_through),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
