/* The Brownian path behind the SDE solvers: its seeds against numpy's, and what
 * any Brownian motion has. That it is torchsde's is for the goldens to say. */
#include "core/solve/brownian.h"
#include "tests/core/solver_run.h"

enum { C = 4, H = 32, W = 32, FLOATS = C * H * W };

static const weft_field whole = {C, H, W, 0, H, 0, W};

/* numpy.random.SeedSequence(entropy, spawn_key, pool_size=24) */
static void test_seeds_are_numpy_s(void **state)
{
    static const struct {
        uint64_t entropy;
        bool spawned;
        uint64_t spawn[2];
        uint32_t word[2];
    } all[] = {
        {UINT64_C(0), false, {UINT64_C(0), 0}, {0xeff41bd6u, 0xa030bacbu}},
        {UINT64_C(11), false, {UINT64_C(0), 0}, {0x2e3c2984u, 0xdd373dadu}},
        {UINT64_C(11), true, {UINT64_C(0), 0}, {0x6175ac97u, 0x36683a54u}},
        {UINT64_C(9223372036854775813),
         true,
         {UINT64_C(5), 3},
         {0xf63e469du, 0xf01a86dcu}},
        {UINT64_C(4294967295),
         true,
         {UINT64_C(8589934593), 34},
         {0x51cfc343u, 0x0217a89eu}},
    };
    uint32_t word[2];

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        weft_seed_sequence(all[i].entropy, all[i].spawned ? all[i].spawn : NULL,
                           word, 2);
        assert_int_equal(word[0], all[i].word[0]);
        assert_int_equal(word[1], all[i].word[1]);
    }
}

/* From .03 to 14.6, whichever stream; rows of the whole. */
static void increment(weft_rng_kind kind, uint64_t seed, weft_field f,
                      double from, double to, float *out)
{
    static float half[FLOATS], field[FLOATS];
    weft_noise noise;
    const weft_brownian b = {&noise, &f, .03, 14.6};

    weft_noise_init(&noise, kind, seed);
    weft_brownian_increment(&b, from, to, (float *const[]){out, half, field},
                            (size_t)(f.columns * f.c));
    assert_int_equal(noise.draw, 0);
}

static double mean_product(const float *a, const float *b)
{
    double sum = 0;

    for (int k = 0; k < FLOATS; k++) sum += (double)a[k] * b[k];
    return sum / FLOATS;
}

/* W(c) - W(a) is the sum of what lies on both sides of b. */
static void test_increments_add_up(void **state)
{
    static float first[FLOATS], second[FLOATS], both[FLOATS];
    static const double at[][3] = {{.03, 7.315, 14.6},
                                   {.03, .5, 14.6},
                                   {.1, .100001, .2},
                                   {7.3, 7.4, 7.5},
                                   {1, 2, 12.345678}};

    (void)state;
    for (int kind = 0; kind < WEFT_RNGS; kind++)
        for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
            increment((weft_rng_kind)kind, 7, whole, at[i][0], at[i][1], first);
            increment((weft_rng_kind)kind, 7, whole, at[i][1], at[i][2],
                      second);
            increment((weft_rng_kind)kind, 7, whole, at[i][0], at[i][2], both);
            for (int k = 0; k < FLOATS; k++)
                assert_float_equal(first[k] + second[k], both[k], 1e-5);
        }
}

/* Variances are lengths, increments side by side independent, and so are
 * paths of two seeds: within five deviations. */
static void test_increments_are_brownian(void **state)
{
    static float a[FLOATS], b[FLOATS], other[FLOATS];
    const double slack = 5 * sqrt(2. / FLOATS);

    (void)state;
    for (int kind = 0; kind < WEFT_RNGS; kind++) {
        increment((weft_rng_kind)kind, 7, whole, 1.25, 3.5, a);
        increment((weft_rng_kind)kind, 7, whole, 3.5, 3.6, b);
        increment((weft_rng_kind)kind, 8, whole, 1.25, 3.5, other);
        assert_float_equal(mean_product(a, a) / 2.25, 1, slack);
        assert_float_equal(mean_product(b, b) / .1, 1, slack);
        assert_float_equal(mean_product(a, b) / sqrt(.225), 0, slack);
        assert_float_equal(mean_product(a, other) / 2.25, 0, slack);
    }
}

/* Rows of the whole alone are the same bytes. */
static void test_rows_are_those_of_the_whole(void **state)
{
    static float all[FLOATS], part[FLOATS];

    (void)state;
    for (int kind = 0; kind < WEFT_RNGS; kind++) {
        increment((weft_rng_kind)kind, 7, whole, .7, 2.9, all);
        for (int row0 = 0; row0 < H; row0 += 13) {
            const int rows = row0 + 13 > H ? H - row0 : 13;

            increment((weft_rng_kind)kind, 7,
                      (weft_field){C, H, W, row0, rows, 0, W}, .7, 2.9, part);
            assert_memory_equal(part, all + (size_t)row0 * W * C,
                                (size_t)rows * W * C * sizeof(float));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds_are_numpy_s),
        cmocka_unit_test(test_increments_add_up),
        cmocka_unit_test(test_increments_are_brownian),
        cmocka_unit_test(test_rows_are_those_of_the_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
