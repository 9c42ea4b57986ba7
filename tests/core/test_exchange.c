/*
 * Who and when (stamps.h), between threads; and that the questions are hard:
 * transports that do wrong are all found out.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/stamps.h"
#include "tests/team.h"
#include "tests/wrong.h"

/* cmocka's asserts may not jump out of another thread, so patches count. */
static _Atomic int wrong;

static void live(void *arg, int patch, weft_exchange *x)
{
    (void)patch;
    wrong += weft_stamps_ask(x, arg);
}

/* Lines of patches, `across` in each. */
static int ask_all(int lines, int across, weft_schedule sched, weft_stamps how,
                   weft_wrong how_wrong)
{
    weft_team *team = malloc(sizeof *team);
    int first[WEFT_TEAM_MOST + 1], strip[WEFT_STAMP_STRIPS + 1];
    const weft_cut cut = {
        .n = lines * across, .first = first, .across = across, .strip = strip};

    weft_stamps_cut(lines, first);
    weft_stamps_strips(across, strip);
    wrong = 0;
    weft_team_init(team, &cut, sched);
    for (int p = 0; p < cut.n && how_wrong; p++)
        weft_wrong_wrap(&team->member[p].base, how_wrong);
    weft_team_run(team, live, &how);
    weft_team_release(team);
    free(team);
    return wrong;
}

static int ask(int n, weft_schedule sched, weft_stamps how,
               weft_wrong how_wrong)
{
    return ask_all(n, 1, sched, how, how_wrong);
}

static const weft_stamps twice = {.images = 2, .evaluations = 15};

static void in_step_everyone_sees_every_stamp(void **state)
{
    (void)state;
    for (int n = 1; n <= 7; n++)
        assert_int_equal(ask(n, WEFT_IN_STEP, twice, WEFT_RIGHT), 0);
}

static void displaced_everyone_is_seen_as_old_as_he_should_be(void **state)
{
    const weft_schedule sched[] = {
        {.warmup = 1, .lag = 1},
        {.warmup = 4, .lag = 1},
        {.warmup = 2, .lag = 2},
        {.warmup = 5, .lag = 3},
        {.warmup = 100, .lag = 1},
        {.warmup = 2, .lag = 1, .refresh = 3},
        {.warmup = 2, .lag = 2, .refresh = 2},
        {.warmup = 1, .lag = 1, .refresh = 1},
        {.warmup = 2, .lag = 1, .drift = .5},
        {.warmup = 2, .lag = 2, .drift = .5, .refresh = 4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof sched / sizeof *sched; i++)
        for (int n = 1; n <= 5; n++)
            assert_int_equal(ask(n, sched[i], twice, WEFT_RIGHT), 0);
}

static void who_goes_on_is_in_step_as_long_as_the_lag(void **state)
{
    const weft_schedule sched[] = {
        {.lag = 0},
        {.warmup = 4, .lag = 1},
        {.warmup = 5, .lag = 3},
        {.warmup = 2, .lag = 2, .refresh = 3},
        {.warmup = 4, .lag = 1, .drift = .5},
        {.warmup = 4, .lag = 1, .wire = WEFT_WIRE_INT8},
    };
    weft_stamps how = twice;

    (void)state;
    for (size_t i = 0; i < sizeof sched / sizeof *sched; i++)
        for (int n = 1; n <= 5; n += 2)
            for (how.behind = 1; how.behind < 20;
                 how.behind = 5 * how.behind - 2)
                assert_int_equal(ask(n, sched[i], how, WEFT_RIGHT), 0);
}

/* Halves hold the stamps; residuals are near enough to tell them apart. */
static void coded_messages_say_the_same(void **state)
{
    const weft_wire wire[] = {WEFT_WIRE_F16, WEFT_WIRE_INT8};
    const weft_schedule sched[] = {
        {.lag = 0},
        {.warmup = 1, .lag = 1},
        {.warmup = 2, .lag = 2},
        {.warmup = 5, .lag = 3},
    };

    (void)state;
    for (int w = 0; w < 2; w++)
        for (int i = 0; i < 4; i++)
            for (int n = 1; n <= 5; n++) {
                weft_schedule s = sched[i];

                s.wire = wire[w];
                assert_int_equal(ask(n, s, twice, WEFT_RIGHT), 0);
                if (n == 3)
                    assert_int_not_equal(ask(n, s, twice, WEFT_WRONG_LATE), 0);
            }
}

/* The stamps' own evidence. */
static void whoever_does_wrong_is_found_out(void **state)
{
    const weft_schedule sched[] = {
        {.lag = 0}, {.warmup = 2, .lag = 1}, {.warmup = 2, .lag = 2}};

    (void)state;
    for (size_t i = 0; i < sizeof sched / sizeof *sched; i++)
        for (int w = WEFT_RIGHT + 1; w < WEFT_WRONGS; w++) {
            const bool seen = sched[i].lag || !weft_wrong_needs_lag(w);
            const bool rows =
                w != WEFT_WRONG_COLUMNS && w != WEFT_WRONG_CORNERS;

            if (seen && rows)
                assert_int_not_equal(ask(3, sched[i], twice, w), 0);
            if (seen && w != WEFT_WRONG_SWAPPED)
                assert_int_not_equal(ask_all(2, 3, sched[i], twice, w), 0);
        }
}

/* What they do wrong does not happen elsewhere. */
static void who_has_no_two_sides_cannot_mix_them_up(void **state)
{
    const weft_schedule sched = {.warmup = 2, .lag = 1};

    (void)state;
    assert_int_equal(ask(2, sched, twice, WEFT_WRONG_SWAPPED), 0);
    assert_int_equal(ask_all(2, 2, sched, twice, WEFT_WRONG_COLUMNS), 0);
    assert_int_equal(ask_all(1, 3, sched, twice, WEFT_WRONG_CORNERS), 0);
}

/* Columns and corners are as old as rows. */
static void patches_side_by_side_are_seen_as_old_as_they_should_be(void **state)
{
    const weft_schedule sched[] = {
        {.lag = 0},
        {.warmup = 1, .lag = 1},
        {.warmup = 2, .lag = 2},
        {.warmup = 2, .lag = 1, .refresh = 3},
        {.warmup = 2, .lag = 2, .drift = .5},
        {.warmup = 1, .lag = 1, .wire = WEFT_WIRE_F16},
        {.warmup = 2, .lag = 2, .wire = WEFT_WIRE_INT8},
    };

    (void)state;
    for (size_t i = 0; i < sizeof sched / sizeof *sched; i++)
        for (int lines = 1; lines <= 3; lines++)
            for (int across = 2; across <= WEFT_STAMP_STRIPS; across++) {
                assert_int_equal(
                    ask_all(lines, across, sched[i], twice, WEFT_RIGHT), 0);
            }
    assert_int_equal(ask_all(2, 2, sched[1], twice, WEFT_SLOW), 0);
}

static void two_lanes_on_one_exchange_are_found_out(void **state)
{
    const weft_stamps shared = {.images = 1, .evaluations = 12, .shared = true};

    (void)state;
    assert_int_not_equal(
        ask(3, (weft_schedule){.warmup = 2, .lag = 1}, shared, WEFT_RIGHT), 0);
}

static void alone_the_edges_are_zero(void **state)
{
    const int first[] = {0, WEFT_STAMP_ROWS};
    const weft_cut cut = {.n = 1, .me = 0, .first = first};
    weft_exchange x;

    (void)state;
    assert_int_equal(weft_exchange_init(&x, &weft_solo, &cut,
                                        (weft_schedule){.warmup = 2, .lag = 1}),
                     WEFT_OK);
    assert_int_equal(weft_stamps_ask(&x, &twice), 0);
    assert_int_equal(x.traffic.bytes[WEFT_BORDER], 0);
    assert_int_equal(x.traffic.max_age, 0);
    weft_exchange_release(&x);
}

/* ---- many threads code a message ----------------------------------------- */

enum { TALL = 61, WIDE = 1537, CODED = 5 }; /* pieces are uneven */

typedef struct coders {
    int threads;      /* 0: no pool */
    uint64_t seen[2]; /* a hash of all that each patch sees */
} coders;

static float made_up(int i)
{
    return (float)((unsigned)i * 2654435761u >> 16) / 65536.0f - .5f;
}

static void code(void *arg, int patch, weft_exchange *x)
{
    const weft_slot_spec spec = {.reach = WEFT_REACH_ALL,
                                 .class = WEFT_KV,
                                 .cell = {TALL, 1, 1},
                                 .n = 1,
                                 .pixel_bytes = WIDE * sizeof(float),
                                 .layer = "kv"};
    coders *c = arg;
    void *whole = calloc(2 * TALL * WIDE, sizeof(float)), *mine;
    weft_view v;
    int slot;

    if (c->threads)
        WEFT_MUST(weft_pool_create(c->threads, NULL, &x->pool) == WEFT_OK);
    WEFT_MUST(weft_exchange_declare(x, &spec, &slot) == WEFT_OK);
    weft_exchange_bind(x, slot, whole);
    WEFT_MUST(weft_exchange_settle(x) == WEFT_OK);
    for (int t = 0; t < CODED; t++) {
        WEFT_MUST(weft_exchange_next(x) == WEFT_OK);
        WEFT_MUST(weft_exchange_open(x, slot, &mine) == WEFT_OK);
        for (int i = 0; i < TALL * WIDE; i++)
            ((float *)mine)[i] = made_up(i + 7 * t + 1000 * patch);
        WEFT_MUST(weft_exchange_put(x, slot) == WEFT_OK);
        WEFT_MUST(weft_exchange_get(x, slot, &v) == WEFT_OK);
        for (size_t i = 0; i < TALL * WIDE * sizeof(float); i++)
            c->seen[patch] =
                (c->seen[patch] ^ (unsigned char)v.part[!patch][i]) *
                0x100000001b3u;
        WEFT_MUST(weft_exchange_done(x, slot) == WEFT_OK);
    }
    WEFT_MUST(weft_exchange_restart(x) == WEFT_OK);
    weft_pool_destroy(x->pool);
    x->pool = NULL;
    free(whole);
}

static coders code_with(int threads, weft_schedule sched)
{
    static const int first[] = {0, 1, 2};
    static weft_team team;
    coders c = {.threads = threads};

    weft_team_init(&team, &(weft_cut){.n = 2, .first = first}, sched);
    weft_team_run(&team, code, &c);
    weft_team_release(&team);
    return c;
}

static void many_threads_code_the_same(void **state)
{
    (void)state;
    for (int w = WEFT_WIRE_F16; w < WEFT_WIRES; w++)
        for (int lag = 0; lag <= 2; lag++) {
            const weft_schedule sched = {
                .warmup = lag, .lag = lag, .wire = (weft_wire)w};
            const coders one = code_with(0, sched), four = code_with(4, sched);

            assert_true(one.seen[0] == four.seen[0]);
            assert_true(one.seen[1] == four.seen[1]);
            assert_true(one.seen[0] != one.seen[1]);
        }
}

static void what_cannot_work_is_refused(void **state)
{
    const int first[] = {0, 1, 4};
    const weft_cut cut = {.n = 2, .me = 0, .first = first};
    const weft_slot_spec deep = {.reach = WEFT_REACH_BORDER,
                                 .class = WEFT_BORDER,
                                 .cell = {1, 1, 1},
                                 .border = {.above = 2, .below = 2},
                                 .n = 1,
                                 .pixel_bytes = 4,
                                 .layer = "down.0"};
    weft_exchange x;
    int slot;

    (void)state;
    assert_int_equal(weft_exchange_init(&x, &weft_solo, &cut,
                                        (weft_schedule){.warmup = 1, .lag = 2}),
                     WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "warm-up of 1"));
    assert_int_equal(weft_exchange_init(&x, &weft_solo, &cut, WEFT_IN_STEP),
                     WEFT_OK);
    assert_int_equal(weft_exchange_declare(&x, &deep, &slot), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "patch 0 of 2 has 1"));
    weft_exchange_release(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_step_everyone_sees_every_stamp),
        cmocka_unit_test(displaced_everyone_is_seen_as_old_as_he_should_be),
        cmocka_unit_test(who_goes_on_is_in_step_as_long_as_the_lag),
        cmocka_unit_test(coded_messages_say_the_same),
        cmocka_unit_test(whoever_does_wrong_is_found_out),
        cmocka_unit_test(who_has_no_two_sides_cannot_mix_them_up),
        cmocka_unit_test(
            patches_side_by_side_are_seen_as_old_as_they_should_be),
        cmocka_unit_test(two_lanes_on_one_exchange_are_found_out),
        cmocka_unit_test(alone_the_edges_are_zero),
        cmocka_unit_test(many_threads_code_the_same),
        cmocka_unit_test(what_cannot_work_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
