/* Weights of a superposition against other ways to the same numbers. */
#include "core/solve/weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_or_is_a_softmax(void **state)
{
    static const double ll[] = {-1e5, -1e5 + 1, -1e5 - 2}, bias[] = {0, -1, 3};
    double kappa[3];

    (void)state;
    weft_weights_or(3, 2, ll, bias, kappa);
    for (int i = 0; i < 3; i++) {
        const double over[] = {0, 1, -1};
        const double sum = 1 + exp(1) + exp(-1);

        assert_float_equal(kappa[i], exp(over[i]) / sum, 1e-12);
    }
}

/* One unknown, k_1 = 1 - k_0: the form for two models that SuperDiff gives. */
static void test_weights_of_two_have_a_closed_form(void **state)
{
    static const double gram[] = {5, 1.5, 1.5, 2}, rhs[] = {.3, -.8};
    double kappa[2];

    (void)state;
    weft_weights_and(2, gram, rhs, kappa);
    assert_float_equal(kappa[0],
                       (rhs[0] - rhs[1] - gram[1] + gram[3]) /
                           (gram[0] - gram[1] - gram[2] + gram[3]),
                       1e-14);
    assert_float_equal(kappa[0] + kappa[1], 1, 1e-14);
}

/* The bordered system by elimination with pivoting; a: [m + 1][m + 2]. */
static void eliminate(int m, double *a)
{
    const int n = m + 1, w = m + 2;

    for (int p = 0; p < n; p++) {
        int best = p;

        for (int i = p; i < n; i++)
            if (fabs(a[i * w + p]) > fabs(a[best * w + p])) best = i;
        for (int j = 0; j < w; j++) {
            const double t = a[p * w + j];

            a[p * w + j] = a[best * w + j];
            a[best * w + j] = t;
        }
        for (int i = 0; i < n; i++)
            for (int j = w - 1; j >= p && i != p; j--)
                a[i * w + j] -= a[i * w + p] / a[p * w + p] * a[p * w + j];
    }
    for (int p = 0; p < n; p++) a[p * w + m + 1] /= a[p * w + p];
}

static void test_weights_solve_the_bordered_system(void **state)
{
    enum { M = 7 };
    double gram[M * M], rhs[M], kappa[M], a[(M + 1) * (M + 2)] = {0};

    (void)state;
    for (int i = 0; i < M; i++) {
        rhs[i] = cos(3. * i + 1);
        for (int j = 0; j < M; j++) {
            gram[i * M + j] = sin(1.3 * (i + 1) * (j + 2)) + (i == j);
            a[i * (M + 2) + j] = gram[i * M + j];
        }
        a[i * (M + 2) + M] = -1;
        a[i * (M + 2) + M + 1] = rhs[i];
        a[M * (M + 2) + i] = 1;
    }
    a[M * (M + 2) + M + 1] = 1;
    eliminate(M, a);
    weft_weights_and(M, gram, rhs, kappa);
    for (int i = 0; i < M; i++)
        assert_float_equal(kappa[i], a[i * (M + 2) + M + 1],
                           1e-10 * (1 + fabs(kappa[i])));
}

static void test_weights_of_dependent_predictions(void **state)
{
    static const double zero[9] = {0}, rhs[] = {1, -2, 5};
    double gram[9], alike[] = {.4, -.1, .4}, kappa[3];
    static const double v[3][2] = {{1, 2}, {-1, .5}, {1, 2}};

    (void)state;
    weft_weights_and(3, zero, rhs, kappa);
    for (int i = 0; i < 3; i++) assert_float_equal(kappa[i], 1. / 3, 1e-15);
    for (int k = 0; k < 9; k++)
        gram[k] = v[k / 3][0] * v[k % 3][0] + v[k / 3][1] * v[k % 3][1];
    weft_weights_and(3, gram, alike, kappa);
    assert_float_equal(kappa[0], kappa[2], 1e-14);
    assert_float_equal(kappa[0] + kappa[1] + kappa[2], 1, 1e-14);
    assert_float_equal(
        gram[0] * kappa[0] + gram[1] * kappa[1] + gram[2] * kappa[2] - alike[0],
        gram[3] * kappa[0] + gram[4] * kappa[1] + gram[5] * kappa[2] - alike[1],
        1e-13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_or_is_a_softmax),
        cmocka_unit_test(test_weights_of_two_have_a_closed_form),
        cmocka_unit_test(test_weights_solve_the_bordered_system),
        cmocka_unit_test(test_weights_of_dependent_predictions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
