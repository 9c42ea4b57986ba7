/* Noise: published vectors, torch's own numbers, and the partition. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"

#define SQRT5 2.23606797749978969641

/* Random123's known answers for Philox 4x32-10. */
static void test_philox_known_answers(void **state)
{
    static const uint32_t counter[3][4] = {
        {0, 0, 0, 0},
        {~0u, ~0u, ~0u, ~0u},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}};
    static const uint32_t key[3][2] = {
        {0, 0}, {~0u, ~0u}, {0xa4093822, 0x299f31d0}};
    static const uint32_t want[3][4] = {
        {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};
    uint32_t out[4];

    (void)state;
    for (int i = 0; i < 3; i++) {
        weft_philox(counter[i], key[i], out);
        assert_memory_equal(out, want[i], sizeof out);
    }
}

/* The 10000th word that the C++ standard demands of mt19937. */
static void test_mt19937_known_answer(void **state)
{
    weft_mt19937 g;
    uint32_t last = 0;

    (void)state;
    weft_mt19937_seed(&g, 5489);
    for (int i = 0; i < 10000; i++) last = weft_mt19937_next(&g);
    assert_int_equal(last, 4123659995u);
}

static float *fill(weft_noise *s, const weft_field *f)
{
    const size_t row = (size_t)f->columns * (size_t)f->c;
    float *out = malloc(row * (size_t)f->rows * sizeof *out);

    assert_non_null(out);
    weft_noise_fill(s, f, out, row);
    return out;
}

/* Element e of torch's order in a whole image as weft lays it out. */
static float element(const weft_field *f, const float *x, int e)
{
    const int plane = f->h * f->w;

    return x[(size_t)(e % plane) * (size_t)f->c + (size_t)(e / plane)];
}

/* One record of noise.txt against a stream that is at its draw. */
static void compare_torch(FILE *in, weft_noise *s, const weft_field *f)
{
    const int n = f->c * f->h * f->w, shown = n < 40 ? n : 40;
    float *x = fill(s, f);

    assert_int_equal(fscanf(in, " x"), 0);
    for (int j = 0; j < shown; j++) {
        float want;

        assert_int_equal(fscanf(in, "%f", &want), 1);
        assert_float_equal(element(f, x, n < 40 || j < 20 ? j : n - 40 + j),
                           want, 1e-6);
    }
    free(x);
}

static void test_torch_cpu_is_torch(void **state)
{
    FILE *in = fopen(WEFT_SOURCE_DIR "/tests/golden/noise.txt", "r");
    weft_noise s = {0}, ahead;
    weft_field f = {0};
    unsigned long long seed;
    int draw, records = 0;

    (void)state;
    assert_non_null(in);
    while (fscanf(in, " noise %llu %d %d %d %d", &seed, &f.c, &f.h, &f.w,
                  &draw) == 5) {
        f.rows = f.h;
        f.columns = f.w;
        if (draw == 0) weft_noise_init(&s, WEFT_RNG_TORCH_CPU, seed);
        assert_int_equal(s.draw, draw);
        ahead = s;
        compare_torch(in, &s, &f);
        weft_noise_skip(&ahead, &f, 1);
        assert_memory_equal(&ahead.mt, &s.mt, sizeof s.mt);
        records++;
    }
    assert_true(feof(in));
    assert_int_equal(records, 4 * 9 * 3);
    fclose(in);
}

/* Printed by torch itself, in public files. */
static void test_torch_cpu_published(void **state)
{
    static const float want[4] = {1.5410f, -0.2934f, -2.1788f, 0.5684f};
    const weft_field f = {1, 1, 4, 0, 1, 0, 4};
    weft_noise s;
    float out[4];

    (void)state;
    weft_noise_init(&s, WEFT_RNG_TORCH_CPU, 0);
    weft_noise_fill(&s, &f, out, 4);
    for (int i = 0; i < 4; i++) assert_float_equal(out[i], want[i], 5.1e-5);
}

/* Printed by torch itself on several GPUs, in public files: `many` elements of
 * a field of n, from `at` on. Those beyond a GPU's threads show where the four
 * normals of a thread go, those of a field of millions how its counter moves on
 * within a draw. */
static void test_torch_cuda_published(void **state)
{
    static const struct {
        uint64_t seed;
        int n, threads, at, many;
        double mean, std, want[3];
    } known[] = {
        {10, 3, 40 * 1024, 0, 3, 0, 1, {-.1029, 1.6810, -.2708}},
        {42, 1 << 17, 80 * 2048, 0, 3, 0, 1, {.1940, 2.1614, -.1721}},
        {42, 1 << 17, 80 * 2048, 2045, 3, 0, 1, {1.4540, -2.7733, -.8932}},
        /* RTX A6000 */
        {43, 49152, 84 * 1536, 0, 1, 0, 1, {1.9983}},
        {43, 49152, 84 * 1536, 16384, 1, 0, 1, {.8704}},
        {43, 49152, 84 * 1536, 32768, 1, 0, 1, {2.1127}},
        /* RTX A4000, normal_(5, 5**.5) */
        {14, 100000, 48 * 1536, 0, 3, 5, SQRT5, {2.8731, 5.2727, 2.9889}},
        {14, 100000, 48 * 1536, 97, 3, 5, SQRT5, {1.6853, 9.6331, 6.6319}},
        {14, 100000, 48 * 1536, 99700, 3, 5, SQRT5, {8.6297, 2.3137, 6.2596}},
        {14, 100000, 48 * 1536, 99797, 3, 5, SQRT5, {7.9358, 4.4697, 2.7475}},
        {14, 100000, 48 * 1536, 99800, 3, 5, SQRT5, {7.0551, 7.8583, 3.9990}},
        {14, 100000, 48 * 1536, 99897, 3, 5, SQRT5, {4.1139, 8.9315, 4.2042}},
        {14, 100000, 48 * 1536, 99900, 3, 5, SQRT5, {2.7337, 2.2106, 7.7815}},
        {14, 100000, 48 * 1536, 99997, 3, 5, SQRT5, {8.2207, 6.5395, 4.2604}},
        /* A100, H100 SXM */
        {1, 9483264, 108 * 2048, 0, 3, 0, 1, {-.2963, 2.6764, -.1408}},
        {1, 9483264, 108 * 2048, 9483261, 3, 0, 1, {.1549, -.6797, -.1656}},
        {1, 9483264, 132 * 2048, 9483261, 3, 0, 1, {-.6970, -.7780, .3267}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const weft_field f = {1, 1,           known[i].n,   0,
                              1, known[i].at, known[i].many};
        weft_noise s;
        float out[3];

        weft_noise_init(&s, WEFT_RNG_TORCH_CUDA, known[i].seed);
        s.threads = known[i].threads;
        weft_noise_fill(&s, &f, out, 3);
        for (int k = 0; k < known[i].many; k++)
            assert_float_equal(known[i].mean + known[i].std * out[k],
                               known[i].want[k], 5.1e-5);
    }
}

/* What the web UI of A1111 documents of torch's CUDA stream, and its way of
 * going on to the next draw: one counter further for fields that fit. */
static void test_torch_cuda_draws(void **state)
{
    static const float want[12] = {-.92466259f, -.42534415f,  -2.6438457f,
                                   .14518388f,  -.12086647f,  -.57972564f,
                                   -.62285122f, -.32838709f,  -1.07454231f,
                                   -.36314407f, -1.67105067f, 2.26550497f};
    const weft_field few = {1, 3, 4, 0, 3, 0, 4};
    const weft_field many = {1, 1, 9 * 4096, 0, 1, 0, 9 * 4096};
    weft_noise s;
    float out[12], *x;

    (void)state;
    weft_noise_init(&s, WEFT_RNG_TORCH_CUDA, 0);
    weft_noise_fill(&s, &few, out, 4);
    for (int i = 0; i < 12; i++) assert_float_equal(out[i], want[i], 1e-6);
    weft_noise_fill(&s, &few, out, 4);
    /* Counters 0, 1 and 2 of thread 0 in a field that needs three ... */
    weft_noise_init(&s, WEFT_RNG_TORCH_CUDA, 0);
    s.threads = 4096;
    x = fill(&s, &many);
    assert_float_equal(x[0], want[0], 1e-6);
    assert_true(x[16384] == out[0]);
    free(x);
    /* ... so that its second draw begins with the fourth. */
    x = fill(&s, &many);
    weft_noise_init(&s, WEFT_RNG_TORCH_CUDA, 0);
    weft_noise_skip(&s, &few, 3);
    weft_noise_fill(&s, &few, out, 4);
    assert_memory_equal(x, out, sizeof out);
    free(x);
}

/* Counter mode by its definition, with the C library's functions. */
static void test_counter_is_its_definition(void **state)
{
    const uint64_t seed = UINT64_C(0x0123456789abcdef);
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const weft_field f = {3, 33, 7, 0, 33, 0, 7};
    weft_noise s;
    float *x;

    (void)state;
    weft_noise_init(&s, WEFT_RNG_COUNTER, seed);
    weft_noise_skip(&s, &f, 5);
    x = fill(&s, &f);
    for (int e = 0; e < 3 * 33 * 7; e++) {
        const uint32_t counter[4] = {(uint32_t)e / 4, 0, 5, 0};
        uint32_t v[4];
        const int pair = e % 4 / 2 * 2;
        double r, turn;

        weft_philox(counter, key, v);
        r = sqrt(-2 * log((v[pair] + .5) / 4294967296.));
        turn = 2 * M_PI * (v[pair + 1] / 4294967296.);
        assert_float_equal(element(&f, x, e),
                           r * (e % 2 ? sin(turn) : cos(turn)), 1e-6);
    }
    free(x);
}

static void test_draws_and_seeds_differ(void **state)
{
    const weft_field f = {2, 4, 4, 0, 4, 0, 4};

    (void)state;
    for (int kind = 0; kind < WEFT_RNGS; kind++) {
        weft_noise a, b;
        float *first, *second, *other;

        weft_noise_init(&a, (weft_rng_kind)kind, 1);
        weft_noise_init(&b, (weft_rng_kind)kind, 2);
        first = fill(&a, &f);
        second = fill(&a, &f);
        other = fill(&b, &f);
        assert_memory_not_equal(first, second, 32 * sizeof *first);
        assert_memory_not_equal(first, other, 32 * sizeof *first);
        free(first);
        free(second);
        free(other);
    }
}

/* Any rectangle alone, side by side with another sample, is the whole's. */
static void check_part(weft_rng_kind kind, const weft_field *part)
{
    const size_t pixel = (size_t)part->c, row = pixel * (size_t)part->columns;
    weft_field whole = *part;
    weft_noise a, b;
    float *all, *mine = calloc((size_t)part->rows + 1, 2 * row * sizeof *mine);

    assert_non_null(mine);
    whole.row0 = whole.column0 = 0;
    whole.rows = whole.h;
    whole.columns = whole.w;
    weft_noise_init(&a, kind, 3);
    if (kind == WEFT_RNG_TORCH_CUDA) a.threads = WEFT_GPU_BLOCK;
    b = a;
    all = fill(&a, &whole);
    weft_noise_fill(&b, part, mine + row, 2 * row);
    assert_memory_equal(&a, &b, sizeof a);
    for (int y = 0; y < part->rows; y++) {
        const float *want = all + ((size_t)(part->row0 + y) * (size_t)part->w +
                                   (size_t)part->column0) *
                                      pixel;

        assert_memory_equal(mine + (size_t)y * 2 * row + row, want,
                            row * sizeof *mine);
        for (size_t k = 0; k < row; k++)
            assert_true(mine[(size_t)y * 2 * row + k] == 0);
    }
    free(all);
    free(mine);
}

static void check_columns(const weft_field *rows)
{
    weft_field f = *rows;

    for (f.column0 = 0; f.column0 < f.w; f.column0 += 2)
        for (f.columns = 1; f.column0 + f.columns <= f.w; f.columns++)
            for (int kind = 0; kind < WEFT_RNGS; kind++)
                check_part((weft_rng_kind)kind, &f);
}

static void test_parts_do_not_matter(void **state)
{
    static const int fields[][3] = {
        {1, 3, 5}, {4, 8, 8}, {3, 7, 5}, {2, 5, 9}, {5, 8, 12}};

    (void)state;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const int *s = fields[i];
        weft_field f = {s[0], s[1], s[2], 0, 0, 0, s[2]};

        for (f.row0 = 0; f.row0 < f.h; f.row0++)
            for (f.rows = 0; f.row0 + f.rows <= f.h; f.rows++)
                check_columns(&f);
    }
}

static void test_moments(void **state)
{
    const weft_field f = {4, 256, 256, 0, 256, 0, 256};
    const int n = 4 * 256 * 256;

    (void)state;
    for (int kind = 0; kind < WEFT_RNGS; kind++) {
        double sum[5] = {0};
        weft_noise s;
        float *x;

        weft_noise_init(&s, (weft_rng_kind)kind, 9);
        x = fill(&s, &f);
        for (int i = 0; i < n; i++)
            for (int p = 1; p < 5; p++) sum[p] += pow(x[i], p) / n;
        free(x);
        assert_float_equal(sum[1], 0, 5 * sqrt(1. / n));
        assert_float_equal(sum[2], 1, 5 * sqrt(2. / n));
        assert_float_equal(sum[3], 0, 5 * sqrt(15. / n));
        assert_float_equal(sum[4], 3, 5 * sqrt(96. / n));
    }
}

/* The very bytes: every compiler and machine must give these. */
static void test_counter_bytes(void **state)
{
    const weft_field f = {4, 64, 64, 0, 64, 0, 64};
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    weft_noise s;
    float *x;

    (void)state;
    weft_noise_init(&s, WEFT_RNG_COUNTER, 7);
    x = fill(&s, &f);
    for (int i = 0; i < 4 * 64 * 64; i++) {
        uint32_t bits;

        memcpy(&bits, &x[i], sizeof bits);
        hash = (hash ^ bits) * UINT64_C(0x100000001b3);
    }
    free(x);
    assert_int_equal(hash, UINT64_C(0xe2405ccc847fd435));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_known_answers),
        cmocka_unit_test(test_mt19937_known_answer),
        cmocka_unit_test(test_torch_cpu_is_torch),
        cmocka_unit_test(test_torch_cpu_published),
        cmocka_unit_test(test_torch_cuda_published),
        cmocka_unit_test(test_torch_cuda_draws),
        cmocka_unit_test(test_counter_is_its_definition),
        cmocka_unit_test(test_draws_and_seeds_differ),
        cmocka_unit_test(test_parts_do_not_matter),
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_counter_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
