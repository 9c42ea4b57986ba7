/*
 * A net over the ranks of this job gives each rank the bytes that one rank
 * would have there, and sends just the messages that the plan predicts.
 * Displaced, it gives the same bytes every time, slow ranks or not, and other
 * ones than in step.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mpi/exchange_mpi.h"
#include "partition/plan.h"
#include "partition/split.h"
#include "tests/mpi/world.h"
#include "tests/woven.h"
#include "tests/wrong.h"

enum { REPEATS = 20 };

static void expect_planned(const weft_graph *g, const weft_cut *cut,
                           weft_schedule sched, const weft_traffic *t)
{
    const weft_volume f =
        weft_plan_graph_volume(g, WOVEN_SAMPLES, cut, sched, true);
    const weft_volume v =
        weft_plan_graph_volume(g, WOVEN_SAMPLES, cut, sched, false);
    const weft_volume d =
        weft_plan_graph_displaced(g, WOVEN_SAMPLES, cut, sched);
    const uint64_t displaced =
        (uint64_t)weft_plan_displaced(sched, WOVEN_EVALUATIONS);
    const uint64_t in_step =
        WOVEN_EVALUATIONS - displaced - 1; /* but the first */
    double sum[2 * WEFT_CLASSES];

    for (int c = 0; c < WEFT_CLASSES; c++) {
        sum[c] = (double)t->bytes[c];
        sum[WEFT_CLASSES + c] = (double)t->messages[c];
    }
    assert_int_equal(weft_comm_sum(world, sum, 2 * WEFT_CLASSES), WEFT_OK);
    for (int c = 0; c < WEFT_CLASSES; c++) {
        assert_true(sum[c] == (double)(f.bytes[c] + v.bytes[c] * in_step +
                                       d.bytes[c] * displaced));
        assert_true(sum[WEFT_CLASSES + c] ==
                    (double)(f.messages[c] + v.messages[c] * in_step +
                             d.messages[c] * displaced));
    }
}

static size_t floats_of(const weft_cut *cut)
{
    const weft_rect r = weft_woven_rect(cut, cut->me);

    return weft_rect_pixels(&r) * WOVEN_SAMPLES * WOVEN_CHANNELS;
}

static void same_bytes_with(const char *kernels, int threads)
{
    float *mine = calloc(WOVEN_FLOATS, sizeof *mine);
    float *whole = calloc(WOVEN_FLOATS, sizeof *whole);
    const int alone[] = {0, WOVEN_UNITS};
    const weft_cut one = {.n = 1, .me = 0, .first = alone};
    const weft_device *dev;
    int first[WOVEN_UNITS + 1];
    weft_cut cut = {.n = weft_comm_size(world),
                    .me = weft_comm_rank(world),
                    .first = first};
    weft_traffic traffic;
    weft_exchange *x, solo;
    weft_graph g;

    weft_woven_net(&g);
    assert_int_equal(weft_device_find(kernels, NULL, &dev), WEFT_OK);
    assert_int_equal(weft_split_rows(WOVEN_UNIT * WOVEN_UNITS, WOVEN_UNIT,
                                     cut.n, NULL, first),
                     WEFT_OK);
    assert_int_equal(weft_exchange_mpi_create(world, &cut, WEFT_IN_STEP, &x),
                     WEFT_OK);
    traffic = weft_woven_run(&g, dev, threads, x, mine);
    assert_int_equal(weft_exchange_init(&solo, &weft_solo, &one, WEFT_IN_STEP),
                     WEFT_OK);
    weft_woven_run(&g, dev, 1, &solo, whole);
    assert_memory_equal(
        mine, whole + first[cut.me] * (WOVEN_FLOATS / (size_t)WOVEN_UNITS),
        floats_of(&cut) * sizeof *mine);
    expect_planned(&g, &cut, WEFT_IN_STEP, &traffic);
    weft_exchange_release(&solo);
    weft_exchange_mpi_destroy(x);
    weft_graph_release(&g);
    free(mine);
    free(whole);
}

/* Root mean square of the difference, against the second. */
static double distance(const float *a, const float *b, size_t n)
{
    double difference = 0, all = 0;

    for (size_t i = 0; i < n; i++) {
        difference += pow((double)a[i] - b[i], 2);
        all += pow(b[i], 2);
    }
    return sqrt(difference / all);
}

/* My rows after the last evaluation. */
static void displaced(const weft_graph *g, weft_schedule sched, weft_wrong how,
                      float *out)
{
    int first[WOVEN_UNITS + 1];
    const weft_cut cut = {.n = weft_comm_size(world),
                          .me = weft_comm_rank(world),
                          .first = first};
    const weft_device *dev;
    weft_traffic traffic;
    size_t bytes;
    weft_exchange *x;

    assert_int_equal(weft_device_find("fast", NULL, &dev), WEFT_OK);
    assert_int_equal(weft_split_rows(WOVEN_UNIT * WOVEN_UNITS, WOVEN_UNIT,
                                     cut.n, NULL, first),
                     WEFT_OK);
    assert_int_equal(weft_exchange_mpi_create(world, &cut, sched, &x), WEFT_OK);
    if (how) weft_wrong_wrap(x, how);
    traffic = weft_woven_run(g, dev, 2, x, out);
    expect_planned(g, &cut, sched, &traffic);
    assert_int_equal(traffic.max_age,
                     cut.n > 1 && sched.warmup < WOVEN_EVALUATIONS ? sched.lag
                                                                   : 0);
    assert_int_equal(
        weft_plan_graph_past(g, WOVEN_SAMPLES, &cut, sched, &bytes), WEFT_OK);
    assert_true((bytes > 0) ==
                (cut.n > 1 && (sched.lag || sched.wire != WEFT_WIRE_F32)));
    weft_exchange_mpi_destroy(x);
}

static void displaced_gives_the_same_bytes_every_time(void **state)
{
    const size_t floats = WOVEN_FLOATS;
    const weft_old norm[] = {WEFT_OLD_PAIRED, WEFT_OLD_SHOWN, WEFT_OLD_REFUSED,
                             WEFT_OLD_ABSENT};
    float *a = calloc(floats, sizeof *a), *b = calloc(floats, sizeof *b);
    weft_graph g;

    (void)state;
    weft_woven_net(&g);
    for (int lag = 1; lag <= 2; lag++)
        for (int k = 0; k < 4; k++) {
            const weft_schedule sched = {
                .warmup = 2, .lag = lag, .moments = norm[k]};

            displaced(&g, sched, WEFT_RIGHT, a);
            for (int i = 0; i < (k ? 2 : REPEATS); i++) {
                displaced(&g, sched, WEFT_SLOW, b);
                assert_memory_equal(a, b, floats * sizeof *a);
            }
            displaced(&g, (weft_schedule){.warmup = 9, .lag = lag}, WEFT_RIGHT,
                      b);
            assert_true(weft_comm_size(world) == 1 ||
                        memcmp(a, b, floats * sizeof *a) != 0);
        }
    weft_graph_release(&g);
    free(a);
    free(b);
}

/* Coded messages: the same bytes every time, as many as planned, and a result
 * near that of f32. */
static void coded_gives_nearly_the_same(void **state)
{
    const size_t floats = WOVEN_FLOATS;
    float *plain = calloc(floats, sizeof *plain);
    float *a = calloc(floats, sizeof *a), *b = calloc(floats, sizeof *b);
    weft_graph g;

    (void)state;
    weft_woven_net(&g);
    for (int lag = 0; lag <= 2; lag++)
        for (int w = WEFT_WIRE_F16; w < WEFT_WIRES; w++) {
            weft_schedule sched = {
                .warmup = lag, .lag = lag, .moments = WEFT_OLD_PAIRED};

            displaced(&g, sched, WEFT_RIGHT, plain);
            sched.wire = (weft_wire)w;
            displaced(&g, sched, WEFT_RIGHT, a);
            displaced(&g, sched, WEFT_SLOW, b);
            assert_memory_equal(a, b, floats * sizeof *a);
            assert_true(distance(a, plain, floats) <
                        (w == WEFT_WIRE_BF16 ? 1e-2 : 1e-3));
            assert_true(weft_comm_size(world) == 1 ||
                        memcmp(a, plain, floats * sizeof *a) != 0);
        }
    weft_graph_release(&g);
    free(plain);
    free(a);
    free(b);
}

static void reference_gives_the_same_bytes(void **state)
{
    (void)state;
    same_bytes_with("reference", 1);
}

static void fast_gives_the_same_bytes(void **state)
{
    (void)state;
    same_bytes_with("fast", 1);
    same_bytes_with("fast", 2);
}

static void lean_gives_the_same_bytes(void **state)
{
    (void)state;
    same_bytes_with("lean", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_gives_the_same_bytes),
        cmocka_unit_test(fast_gives_the_same_bytes),
        cmocka_unit_test(lean_gives_the_same_bytes),
        cmocka_unit_test(displaced_gives_the_same_bytes_every_time),
        cmocka_unit_test(coded_gives_nearly_the_same),
    };

    if (weft_comm_open(&world) != WEFT_OK) return 1;
    return leave_world(cmocka_run_group_tests(tests, NULL, NULL));
}
