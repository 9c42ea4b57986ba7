/*
 * Rows of every role reach all who keep them, whatever the ranks, several
 * times over and with several under way, in just the messages of the plan; sums
 * over the image are the same everywhere.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mpi/redistribute.h"
#include "mpi/total.h"
#include "partition/split.h"
#include "tests/mpi/world.h"

enum { UNITS = 7, PER_UNIT = 40000, ROUNDS = 3, FLIGHTS = 2 };

/* One role's rows in flight f. */
typedef struct lane {
    int *mine, *all;
    weft_redistribute *r;
} lane;

static int content(int flight, int role, int round, int unit, int i)
{
    return (((flight * 3 + role) * 5 + round) * 31 + unit) * 1000003 + i;
}

static void open_lane(const weft_roles *roles, int k, weft_crossroads *at,
                      lane *l)
{
    weft_span have[8];
    const size_t room = UNITS * PER_UNIT * sizeof(int);
    weft_redistribute_spec s = {.have = have,
                                .want = roles->state,
                                .unit_bytes = PER_UNIT * sizeof(int),
                                .class = WEFT_REDISTRIBUTE,
                                .what = roles->role[k].asked.name};

    weft_roles_crossing(roles, k, have);
    s.mine = l->mine = malloc(room);
    s.all = l->all = malloc(room);
    assert_int_equal(weft_redistribute_create(at, &s, &l->r), WEFT_OK);
}

static void post(const weft_roles *roles, int k, int flight, int round, lane *l)
{
    const weft_span s = weft_roles_span(roles, k, weft_comm_rank(world));

    assert_int_equal(weft_redistribute_ready(l->r), WEFT_OK);
    for (int u = s.from; u < s.to; u++)
        for (int i = 0; i < PER_UNIT; i++)
            l->mine[(u - s.from) * PER_UNIT + i] =
                content(flight, k, round, u, i);
    memset(l->all, 0, UNITS * PER_UNIT * sizeof(int));
    assert_int_equal(weft_redistribute_post(l->r), WEFT_OK);
}

static void expect(const weft_roles *roles, int k, int flight, int round,
                   lane *l)
{
    const weft_span s = roles->state[weft_comm_rank(world)];

    assert_int_equal(weft_redistribute_wait(l->r), WEFT_OK);
    for (int u = s.from; u < s.to; u++)
        for (int i = 0; i < PER_UNIT; i++)
            assert_int_equal(l->all[(u - s.from) * PER_UNIT + i],
                             content(flight, k, round, u, i));
}

/* Two roles, two flights: all four are under way before the first is waited
 * for. */
static void run_rounds(const weft_roles *roles, lane l[FLIGHTS][2],
                       weft_crossroads *at)
{
    for (int round = 0; round < ROUNDS; round++) {
        for (int f = 0; f < FLIGHTS; f++)
            for (int k = 0; k < 2; k++) post(roles, k, f, round, &l[f][k]);
        weft_crossroads_poll(at);
        for (int f = 0; f < FLIGHTS; f++)
            for (int k = 0; k < 2; k++) expect(roles, k, f, round, &l[f][k]);
    }
}

static void close_lane(lane *l)
{
    assert_int_equal(weft_redistribute_ready(l->r), WEFT_OK);
    weft_redistribute_destroy(l->r);
    free(l->mine);
    free(l->all);
}

static void expect_counts(const weft_roles *roles, const weft_traffic *t)
{
    double sent[2] = {(double)t->messages[WEFT_REDISTRIBUTE],
                      (double)t->bytes[WEFT_REDISTRIBUTE]};
    uint64_t messages = 0, units = 0;
    weft_span span[8];

    for (int k = 0; k < 2; k++) {
        const weft_crossing c = weft_roles_crossing(roles, k, span);

        messages += c.messages;
        units += c.units;
    }
    assert_int_equal(weft_comm_sum(world, sent, 2), WEFT_OK);
    assert_true(sent[0] == (double)messages * ROUNDS * FLIGHTS);
    assert_true(sent[1] ==
                (double)units * PER_UNIT * sizeof(int) * ROUNDS * FLIGHTS);
}

static void try_roles(int a, int b)
{
    const int ranks = weft_comm_size(world);
    const weft_role_spec spec[] = {
        {.name = "strong", .ranks = a, .work = 2, .denoises = true},
        {.name = "weak", .ranks = b, .work = 1, .denoises = true}};
    weft_traffic traffic = {0};
    lane l[FLIGHTS][2];
    weft_crossroads *at;
    weft_roles roles;

    assert_int_equal(weft_roles_make(ranks, UNITS, spec, 2, true, &roles),
                     WEFT_OK);
    assert_int_equal(weft_crossroads_open(world, &traffic, &at), WEFT_OK);
    for (int f = 0; f < FLIGHTS; f++)
        for (int k = 0; k < 2; k++) open_lane(&roles, k, at, &l[f][k]);
    run_rounds(&roles, l, at);
    for (int f = 0; f < FLIGHTS; f++)
        for (int k = 0; k < 2; k++) close_lane(&l[f][k]);
    expect_counts(&roles, &traffic);
    weft_crossroads_close(at);
    weft_roles_release(&roles);
}

static void rows_reach_all_who_keep_them(void **state)
{
    const int ranks = weft_comm_size(world);

    (void)state;
    for (int a = 1; a <= ranks; a++)
        for (int b = 1; b <= ranks; b++)
            if (a + b >= ranks) try_roles(a, b);
}

/* ---- sums ---------------------------------------------------------------- */

enum { UNIT = 3, SUMS = 4, STRIP = 4, STRIPS = 6, COLUMNS = 22 };

/* So unlike each other that any other order of adding would be seen. */
static double part(int row, int strip, int k)
{
    const int i = row * STRIPS + strip;

    return (i % 2 ? -1 : 1) * (1e9 / (1 + 7 * i + k) + 1e-7 * i);
}

static double image_sum(int k)
{
    double sum = 0;

    for (int y = 0; y < UNITS * UNIT; y++)
        for (int s = 0; s < STRIPS; s++) sum += part(y, s, k);
    return sum;
}

/* `first`: the strips of each rank of a line. */
static void expect_total(const weft_comm *group, const weft_roles *roles,
                         int across, const int *first)
{
    const int line = weft_comm_rank(group) / across;
    const int column = weft_comm_rank(group) % across;
    const weft_span mine = roles->state[line];
    double each[UNITS * UNIT * STRIPS * SUMS], got[SUMS];
    weft_traffic traffic = {0};
    weft_total t;
    const weft_total_spec s = {.group = group,
                               .roles = roles,
                               .across = across,
                               .first_strip = first,
                               .unit = UNIT,
                               .strip = STRIP,
                               .columns = COLUMNS,
                               .most = SUMS,
                               .traffic = &traffic};

    assert_int_equal(weft_total_mpi_create(&s, &t), WEFT_OK);
    assert_true(t.pixels == UNITS * UNIT * COLUMNS);
    for (int k = 1; k <= SUMS; k++) {
        double *to = each;

        for (int y = mine.from * UNIT; y < mine.to * UNIT; y++)
            for (int x = first[column]; x < first[column + 1]; x++)
                for (int i = 0; i < k; i++) *to++ = part(y, x, i);
        assert_int_equal(weft_total_stretches(&t) * (size_t)k, to - each);
        assert_int_equal(weft_total_sum(&t, each, k, got), WEFT_OK);
        for (int i = 0; i < k; i++) assert_true(got[i] == image_sum(i));
    }
    weft_total_mpi_destroy(&t);
}

/* Two roles on so many lines, with every number of lines each. */
static void expect_totals(const weft_comm *group, int lines, int across)
{
    int first[8];

    assert_int_equal(weft_split_columns(COLUMNS, STRIP, across, first),
                     WEFT_OK);
    for (int a = 1; a <= lines; a++)
        for (int b = 1; b <= lines; b++) {
            const weft_role_spec spec[] = {
                {.name = "strong", .ranks = a, .work = 2, .denoises = true},
                {.name = "weak", .ranks = b, .work = 1, .denoises = true}};
            weft_roles roles;

            if (a + b < lines) continue;
            assert_int_equal(
                weft_roles_make(lines, UNITS, spec, 2, true, &roles), WEFT_OK);
            expect_total(group, &roles, across, first);
            weft_roles_release(&roles);
        }
}

/* In lines of every length; some ranks may be left over. */
static void everybody_has_the_total_of_one_rank(void **state)
{
    const int ranks = weft_comm_size(world);

    (void)state;
    for (int across = 1; across <= ranks; across++) {
        const int lines = ranks / across;
        const bool in = weft_comm_rank(world) < lines * across;
        weft_comm *group;

        assert_int_equal(weft_comm_split(world, !in, &group), WEFT_OK);
        if (in) expect_totals(group, lines, across);
        weft_comm_free(group);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_reach_all_who_keep_them),
        cmocka_unit_test(everybody_has_the_total_of_one_rank),
    };

    if (weft_comm_open(&world) != WEFT_OK) return 1;
    return leave_world(cmocka_run_group_tests(tests, NULL, NULL));
}
