/*
 * Who and when (stamps.h), between ranks; and the same bytes every time, with
 * ranks that are slow at random.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "mpi/exchange_bench.h"
#include "mpi/exchange_mpi.h"
#include "tests/mpi/world.h"
#include "tests/stamps.h"
#include "tests/wrong.h"

/* The questions of those ranks whose patches `cut` is of. */
static int ask_cut(const weft_comm *ranks, const weft_cut *cut,
                   weft_bench_link link, weft_schedule sched, weft_stamps how,
                   weft_wrong how_wrong)
{
    weft_exchange *x;
    double wrong;

    assert_int_equal(weft_exchange_mpi_create(ranks, cut, sched, &x), WEFT_OK);
    assert_int_equal(weft_exchange_measure(x, link), WEFT_OK);
    if (how_wrong) weft_wrong_wrap(x, how_wrong);
    wrong = weft_stamps_ask(x, &how);
    weft_exchange_mpi_destroy(x);
    assert_int_equal(weft_comm_sum(ranks, &wrong, 1), WEFT_OK);
    return (int)wrong;
}

static int ask_over(weft_bench_link link, weft_schedule sched, weft_stamps how,
                    weft_wrong how_wrong)
{
    const int n = weft_comm_size(world);
    int *first = calloc((size_t)n + 1, sizeof *first), wrong;
    const weft_cut cut = {.n = n, .me = weft_comm_rank(world), .first = first};

    weft_stamps_cut(n, first);
    wrong = ask_cut(world, &cut, link, sched, how, how_wrong);
    free(first);
    return wrong;
}

static int ask(weft_schedule sched, weft_stamps how, weft_wrong how_wrong)
{
    return ask_over(WEFT_LINK_REAL, sched, how, how_wrong);
}

static const weft_stamps twice = {.images = 2, .evaluations = 15};

static const weft_schedule schedules[] = {
    {.lag = 0},
    {.warmup = 1, .lag = 1},
    {.warmup = 4, .lag = 1},
    {.warmup = 2, .lag = 2},
    {.warmup = 5, .lag = 3},
    {.warmup = 2, .lag = 1, .refresh = 3},
    {.warmup = 2, .lag = 1, .drift = .5},
    {.warmup = 2, .lag = 2, .drift = .5, .refresh = 4},
};
enum { SCHEDULES = sizeof schedules / sizeof *schedules };

static void everyone_is_seen_as_old_as_he_should_be(void **state)
{
    (void)state;
    for (int i = 0; i < SCHEDULES; i++) {
        assert_int_equal(ask(schedules[i], twice, WEFT_RIGHT), 0);
        assert_int_equal(ask(schedules[i], twice, WEFT_SLOW), 0);
    }
}

/* Halves hold the stamps; residuals are near enough to tell them apart. */
static void coded_messages_say_the_same(void **state)
{
    const weft_wire wire[] = {WEFT_WIRE_F16, WEFT_WIRE_INT8};

    (void)state;
    for (int i = 0; i < 2 * SCHEDULES; i++) {
        weft_schedule sched = schedules[i / 2];

        sched.wire = wire[i % 2];
        assert_int_equal(ask(sched, twice, WEFT_RIGHT), 0);
        assert_int_equal(ask(sched, twice, WEFT_SLOW), 0);
    }
}

static void whoever_does_wrong_is_found_out(void **state)
{
    (void)state;
    for (int i = 0; i < SCHEDULES && weft_comm_size(world) > 2; i++)
        for (int w = WEFT_RIGHT + 1; w < WEFT_WRONGS; w++)
            if (w != WEFT_WRONG_COLUMNS && w != WEFT_WRONG_CORNERS &&
                (schedules[i].lag || !weft_wrong_needs_lag(w)))
                assert_int_not_equal(ask(schedules[i], twice, w), 0);
}

/* Of five ranks four make 2 x 2 patches, and one an image of its own; fewer
 * stand side by side. */
static void columns_are_seen_as_old_as_they_should_be(void **state)
{
    const int n = weft_comm_size(world), alone = weft_comm_rank(world) == 4;
    const int ranks = alone ? 1 : n == 5 ? 4 : n;
    const int across = alone ? 1 : n == 5 ? 2 : n;
    int first[3], strip[WEFT_STAMP_STRIPS + 1];
    const weft_cut cut = {.n = ranks,
                          .me = alone ? 0 : weft_comm_rank(world),
                          .first = first,
                          .across = across,
                          .strip = strip};
    const weft_stamps once = {.images = 1, .evaluations = 10};
    weft_comm *some;

    (void)state;
    weft_stamps_cut(ranks / across, first);
    weft_stamps_strips(across, strip);
    assert_int_equal(weft_comm_split(world, alone, &some), WEFT_OK);
    for (int i = 0; i < SCHEDULES; i++) {
        const weft_wrong how = i % 2 ? WEFT_RIGHT : WEFT_SLOW;

        assert_int_equal(
            ask_cut(some, &cut, WEFT_LINK_REAL, schedules[i], once, how), 0);
        if (across > 2)
            assert_int_not_equal(ask_cut(some, &cut, WEFT_LINK_REAL,
                                         schedules[i], once,
                                         WEFT_WRONG_COLUMNS),
                                 0);
    }
    weft_comm_free(some);
}

/* What blocks brings everything; what is silent, nothing. */
static void links_for_measuring_do_as_they_say(void **state)
{
    (void)state;
    assert_int_equal(
        ask_over(WEFT_LINK_BLOCKING, schedules[0], twice, WEFT_RIGHT), 0);
    for (int i = 0; i < SCHEDULES && weft_comm_size(world) > 1; i++)
        assert_int_not_equal(
            ask_over(WEFT_LINK_NONE, schedules[i], twice, WEFT_RIGHT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everyone_is_seen_as_old_as_he_should_be),
        cmocka_unit_test(coded_messages_say_the_same),
        cmocka_unit_test(whoever_does_wrong_is_found_out),
        cmocka_unit_test(columns_are_seen_as_old_as_they_should_be),
        cmocka_unit_test(links_for_measuring_do_as_they_say),
    };

    if (weft_comm_open(&world) != WEFT_OK) return 1;
    return leave_world(cmocka_run_group_tests(tests, NULL, NULL));
}
