/*
 * Codecs against numpy and torch (tests/golden/wire.py), and what must hold for
 * any signal: both ends agree, errors are bounded and do not add up.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <cmocka.h>

#include "core/device/dtype.h"
#include "core/device/processor.h"
#include "core/wire.h"

enum { ROWS = 3, WIDTH = 300, N = ROWS * WIDTH, RUNS = 3 };

/* A sender and a receiver of one slot. */
typedef struct ends {
    float held[N], seen[N];
    char wire[N * 4];
    bool began;
} ends;

static void send(ends *e, const float *in)
{
    weft_wire_encode(WEFT_WIRE_INT8, !e->began, ROWS, WIDTH, in, e->held,
                     e->wire);
    weft_wire_decode(WEFT_WIRE_INT8, !e->began, ROWS, WIDTH, e->wire, e->seen);
    e->began = true;
}

/* Like a normal variable, and the same every time. */
static float noise(uint32_t *state)
{
    float sum = 0;

    for (int i = 0; i < 12; i++) {
        *state = *state * 1664525u + 1013904223u;
        sum += (float)(*state >> 8) * 0x1p-24f;
    }
    return sum - 6;
}

static void fill(float *x, uint32_t seed, float scale)
{
    for (int i = 0; i < N; i++) x[i] = scale * noise(&seed);
}

static int run_of(int i) { return i % WIDTH / WEFT_WIRE_RUN; }

/* ---- against numpy and torch --------------------------------------------- */

static uint16_t encode_one(weft_wire w, uint32_t bits)
{
    const float f = weft_float_of_bits(bits);
    uint16_t out;

    weft_wire_encode(w, false, 1, 1, &f, NULL, &out);
    return out;
}

static FILE *open_answers(void)
{
    FILE *f = fopen(WEFT_SOURCE_DIR "/tests/golden/wire.txt", "r");

    assert_non_null(f);
    return f;
}

static void halves_are_those_of_numpy_and_torch(void **state)
{
    FILE *f = open_answers();
    char name[8];
    unsigned bits, want;
    int n = 0;

    (void)state;
    while (fscanf(f, "%7s %x %x", name, &bits, &want) == 3 &&
           strcmp(name, "int8") != 0) {
        const bool half = strcmp(name, "f16") == 0;

        assert_int_equal(
            encode_one(half ? WEFT_WIRE_F16 : WEFT_WIRE_BF16, bits), want);
        n++;
    }
    assert_true(n > 1500);
    fclose(f);
}

/* The next line's floats, or nothing. */
static bool read_floats(FILE *f, float *x, int n)
{
    char name[8];
    unsigned bits;

    if (fscanf(f, "%7s", name) != 1) return false;
    assert_string_equal(name, "in");
    for (int i = 0; i < n; i++) {
        assert_int_equal(fscanf(f, "%x", &bits), 1);
        x[i] = weft_float_of_bits(bits);
    }
    return true;
}

static void expect_wire(FILE *f, const char *wire, size_t bytes)
{
    unsigned want;

    assert_int_equal(fscanf(f, " wire"), 0);
    for (size_t i = 0; i < bytes; i++) {
        assert_int_equal(fscanf(f, "%2x", &want), 1);
        assert_int_equal((unsigned char)wire[i], want);
    }
}

static void residuals_are_those_of_numpy(void **state)
{
    FILE *f = open_answers();
    char name[8];
    int rows = 0, width = 0, messages = 0;
    float in[N], held[N];
    char wire[N * 4];

    (void)state;
    while (fscanf(f, "%7s", name) == 1 && strcmp(name, "int8") != 0) {
    }
    assert_int_equal(fscanf(f, "%d %d", &rows, &width), 2);
    assert_true(rows * width <= N && read_floats(f, held, rows * width));
    while (read_floats(f, in, rows * width)) {
        weft_wire_encode(WEFT_WIRE_INT8, false, (size_t)rows, (size_t)width, in,
                         held, wire);
        expect_wire(f, wire,
                    weft_wire_bytes(WEFT_WIRE_INT8, false, (size_t)rows,
                                    (size_t)width));
        messages++;
    }
    assert_int_equal(messages, 4);
    fclose(f);
}

/* ---- what is not a number ------------------------------------------------ */

static void every_half_comes_back(void **state)
{
    (void)state;
    for (uint32_t h = 0; h <= 0xffff; h++) {
        const uint16_t half = (uint16_t)h;
        const bool nan = (h & 0x7fff) > 0x7c00;
        uint32_t bits;
        float f;

        weft_wire_decode(WEFT_WIRE_F16, false, 1, 1, &half, &f);
        assert_int_equal(isnan(f), nan);
        if (nan) continue;
        assert_true(f == weft_float_of_half(half));
        assert_int_equal(signbit(f) != 0, h >> 15);
        memcpy(&bits, &f, sizeof bits);
        assert_int_equal(encode_one(WEFT_WIRE_F16, bits), h);
    }
}

static void halves_keep_what_is_not_a_number(void **state)
{
    static const uint32_t nan[] = {0x7f800001, 0xff800001, 0x7fc00000,
                                   0x7fffffff, 0xffa00000};

    (void)state;
    for (size_t i = 0; i < sizeof nan / sizeof *nan; i++) {
        const uint16_t half = encode_one(WEFT_WIRE_F16, nan[i]);
        const uint16_t bfloat = encode_one(WEFT_WIRE_BF16, nan[i]);

        assert_true((half & 0x7c00) == 0x7c00 && (half & 0x3ff));
        assert_true((bfloat & 0x7f80) == 0x7f80 && (bfloat & 0x7f));
    }
}

/* It spoils its own run and nothing else, until the next full message. */
static void a_residual_shows_what_is_not_a_number(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    float in[N];

    (void)state;
    for (int k = 0; k < 3; k++) {
        ends e = {0};

        fill(in, 1, 1);
        send(&e, in);
        in[WIDTH + 130] = bad[k];
        send(&e, in);
        fill(in, 2, 1);
        send(&e, in);
        for (int i = 0; i < N; i++)
            assert_int_equal(isnan(e.seen[i]),
                             i / WIDTH == 1 && run_of(i) == 1);
        e.began = false;
        send(&e, in);
        assert_memory_equal(e.seen, in, sizeof in);
    }
}

/* ---- residuals ----------------------------------------------------------- */

static void both_ends_hold_the_same_bytes(void **state)
{
    ends e = {0};
    float in[N];

    (void)state;
    for (uint32_t t = 0; t < 50; t++) {
        fill(in, t, t % 7 == 6 ? 1e-41f : t % 3 ? 1e-30f : 1e30f);
        if (t == 40) in[5] = NAN;
        send(&e, in);
        assert_memory_equal(e.held, e.seen, sizeof e.held);
    }
}

static void one_message_errs_by_half_a_step(void **state)
{
    float a[N], b[N], most[N] = {0};
    ends e = {0};

    (void)state;
    fill(a, 1, 2);
    fill(b, 2, 0.1f);
    for (int i = 0; i < N; i++) {
        float *m = &most[i / WIDTH * RUNS + run_of(i)];

        b[i] += a[i];
        *m = fmaxf(*m, fabsf(b[i] - a[i]));
    }
    send(&e, a);
    assert_memory_equal(e.seen, a, sizeof a);
    send(&e, b);
    for (int i = 0; i < N; i++)
        assert_true(fabsf(e.seen[i] - b[i]) <=
                    most[i / WIDTH * RUNS + run_of(i)] / 127 * 0.5001f + 1e-6f);
}

static void what_stands_still_is_reached(void **state)
{
    float in[N], start[N] = {0};
    ends e = {0};

    (void)state;
    fill(in, 3, 5);
    for (int i = 0; i < N; i += 17) in[i] *= 1e-6f;
    fill(start, 4, 1000);
    send(&e, start);
    for (int t = 0; t < 20; t++) send(&e, in);
    assert_memory_equal(e.seen, in, sizeof in);
    send(&e, in);
    for (int i = 0; i < ROWS * RUNS; i++) /* nothing to say: scales of zero */
        assert_int_equal(((float *)e.wire)[i] == 0, 1);
}

static void what_is_too_small_is_not_sent(void **state)
{
    float in[N] = {0};
    ends e = {0};

    (void)state;
    send(&e, in);
    in[3] = WEFT_WIRE_LEAST * 0.99f;
    send(&e, in);
    assert_true(e.seen[3] == 0);
    in[3] = WEFT_WIRE_LEAST;
    send(&e, in);
    assert_true(fabsf(e.seen[3] / WEFT_WIRE_LEAST - 1) < 1e-5f);
}

/* A thousand messages later the error is still that of one. */
static void errors_do_not_add_up(void **state)
{
    float in[N], worst = 0;
    ends e = {0};

    (void)state;
    fill(in, 5, 1);
    send(&e, in);
    for (uint32_t t = 0; t < 1000; t++) {
        uint32_t seed = t;

        for (int i = 0; i < N; i++) in[i] += 0.01f * noise(&seed);
        send(&e, in);
    }
    for (int i = 0; i < N; i++) worst = fmaxf(worst, fabsf(e.seen[i] - in[i]));
    assert_true(worst > 0 && worst < 0.01f * 6 / 127);
}

static void denormals_give_the_same_bytes_in_every_mode(void **state)
{
    static const weft_wire wires[] = {WEFT_WIRE_F16, WEFT_WIRE_BF16,
                                      WEFT_WIRE_INT8};
    float in[N];

    (void)state;
    fill(in, 6, 0); /* so that some of what is held becomes denormal */
    in[7] = 1e-39f;
    for (int k = 0; k < 3; k++) {
        float held[2][N];
        char wire[2][4 * N] = {{0}};

        for (int flush = 0; flush < 2; flush++) {
            const uint64_t old = flush ? weft_processor_flush_denormals() : 0;

            fill(held[flush], 9, 2e-35f);
            weft_wire_encode(wires[k], false, ROWS, WIDTH, in, held[flush],
                             wire[flush]);
            if (flush) weft_processor_restore_denormals(old);
        }
        assert_memory_equal(wire[0], wire[1], sizeof wire[0]);
        assert_memory_equal(held[0], held[1], sizeof held[0]);
    }
}

/* ---- sizes --------------------------------------------------------------- */

static void sizes_are_what_is_written(void **state)
{
    float in[N], held[N] = {0};
    unsigned char wire[N * 4 + 8];

    (void)state;
    fill(in, 8, 1);
    for (int w = 0; w < WEFT_WIRES; w++)
        for (int full = 0; full < 2; full++) {
            const size_t bytes =
                weft_wire_bytes((weft_wire)w, full, ROWS, WIDTH);

            memset(wire, 0xa5, sizeof wire);
            weft_wire_encode((weft_wire)w, full, ROWS, WIDTH, in, held, wire);
            assert_int_equal(wire[bytes], 0xa5);
            assert_true(wire[bytes - 1] != 0xa5 || wire[bytes - 2] != 0xa5);
        }
    assert_int_equal(weft_wire_bytes(WEFT_WIRE_F32, false, 2, 129), 1032);
    assert_int_equal(weft_wire_bytes(WEFT_WIRE_F16, false, 2, 129), 516);
    assert_int_equal(weft_wire_bytes(WEFT_WIRE_BF16, true, 2, 129), 516);
    assert_int_equal(weft_wire_bytes(WEFT_WIRE_INT8, true, 2, 129), 1032);
    assert_int_equal(weft_wire_bytes(WEFT_WIRE_INT8, false, 2, 129), 274);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_are_those_of_numpy_and_torch),
        cmocka_unit_test(residuals_are_those_of_numpy),
        cmocka_unit_test(every_half_comes_back),
        cmocka_unit_test(halves_keep_what_is_not_a_number),
        cmocka_unit_test(a_residual_shows_what_is_not_a_number),
        cmocka_unit_test(both_ends_hold_the_same_bytes),
        cmocka_unit_test(one_message_errs_by_half_a_step),
        cmocka_unit_test(what_stands_still_is_reached),
        cmocka_unit_test(what_is_too_small_is_not_sent),
        cmocka_unit_test(errors_do_not_add_up),
        cmocka_unit_test(denormals_give_the_same_bytes_in_every_mode),
        cmocka_unit_test(sizes_are_what_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
