/*
 * device_tools.h - what the tests of the fast devices share: random arrays, the
 * devices of a kind, pools of several sizes, comparisons. After cmocka.h.
 */
#ifndef WEFT_TESTS_DEVICE_TOOLS_H
#define WEFT_TESTS_DEVICE_TOOLS_H

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

static inline float uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(state >> 40) / (float)(1 << 24);
}

/* About normal. */
static inline float draw(void)
{
    return uniform() + uniform() + uniform() + uniform() - 2;
}

static inline float *array(size_t n, float scale)
{
    float *p = malloc(n * sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) p[i] = draw() * scale;
    return p;
}

static inline float *nans(size_t n)
{
    float *p = malloc(n * sizeof *p);
    assert_non_null(p);
    memset(p, 0xff, n * sizeof *p);
    return p;
}

#ifdef __SANITIZE_THREAD__ /* the threads are the same on every device */
enum { MOST_DEVICES = 1 };
#else
enum { MOST_DEVICES = 4 };
#endif

/* The devices of a kind, best first; NULL at the end. */
static inline const weft_device **devices(const char *name)
{
    static const weft_device *found[8];
    static const char *const isa[] = {"avx512", "avx2", "generic"};
    int n = 0;
    for (int i = 0; i < 3 && n < MOST_DEVICES; i++)
        if (weft_device_find(name, isa[i], &found[n]) == WEFT_OK) n++;
#ifdef WEFT_TEST_WIDE
    if (n > 1) /* there is AVX2 */
        found[n++] = name[0] == 'f' ? &weft_wide_fast : &weft_wide_lean;
#endif
    found[n] = NULL;
    return found;
}

static inline double act(weft_act a, double x)
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
    case WEFT_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case WEFT_GELU_TANH:
        return x / 2 * (1 + tanh(sqrt(2 / M_PI) * (x + .044715 * pow(x, 3))));
    default:
        return x;
    }
}

static inline void assert_close(const float *got, const double *want, size_t n,
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

static inline void assert_same(const float *a, const float *b, size_t n,
                               const char *what, const char *case_name)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a))
            fail_msg("%s: %s: element %zu of %zu is %.9g, not %.9g", case_name,
                     what, i, n, (double)b[i], (double)a[i]);
}

static inline int set_up(void **unused)
{
    (void)unused;
    for (int t = 0; t < THREADS; t++)
        if (weft_pool_create(threads_of[t], NULL, &pools[t]) != WEFT_OK)
            return -1;
    return 0;
}

static inline int tear_down(void **unused)
{
    (void)unused;
    for (int t = 0; t < THREADS; t++) weft_pool_destroy(pools[t]);
    return 0;
}

#endif
