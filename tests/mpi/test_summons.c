/*
 * Ranks that wait for each other turn by turn, and a summons that comes from
 * anybody at any moment: all of a group come, before the same turn, once.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "mpi/redistribute.h"
#include "mpi/summons.h"
#include "tests/mpi/world.h"

enum { MOST = 16 };

/* Who asks, before which turn, for what. */
typedef struct asking {
    int rank, turn;
    weft_reason why;
} asking;

/* What a rank did. */
typedef struct done {
    int turn[MOST];
    weft_reason why[MOST];
    int n, turns;
} done;

static void rest(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    nanosleep(&(struct timespec){.tv_nsec = (long)(*seed >> 12)}, NULL);
}

/* Everybody has a word, and wants the next one's. */
typedef struct ring {
    weft_comm *ranks;
    weft_crossroads *way;
    weft_redistribute *words;
    weft_traffic traffic;
    int mine, theirs;
} ring;

static void open_ring(ring *r, int color)
{
    weft_span have[MOST], want[MOST];
    weft_redistribute_spec s = {.have = have,
                                .want = want,
                                .unit_bytes = sizeof(int),
                                .class = WEFT_REDISTRIBUTE,
                                .what = "words",
                                .mine = &r->mine,
                                .all = &r->theirs};

    memset(r, 0, sizeof *r);
    assert_int_equal(weft_comm_split(world, color, &r->ranks), WEFT_OK);
    for (int i = 0, n = weft_comm_size(r->ranks); i < n; i++) {
        have[i] = (weft_span){i, i + 1};
        want[i] = (weft_span){(i + 1) % n, (i + 1) % n + 1};
    }
    assert_int_equal(weft_crossroads_open(r->ranks, &r->traffic, &r->way),
                     WEFT_OK);
    assert_int_equal(weft_redistribute_create(r->way, &s, &r->words), WEFT_OK);
}

static void close_ring(ring *r)
{
    weft_redistribute_destroy(r->words);
    weft_crossroads_close(r->way);
    weft_comm_free(r->ranks);
}

/* A turn: my neighbour's word of this turn, which it sends when it is there. */
static void take_turn(ring *r, int turn)
{
    assert_int_equal(weft_redistribute_ready(r->words), WEFT_OK);
    r->mine = turn;
    assert_int_equal(weft_redistribute_post(r->words), WEFT_OK);
    assert_int_equal(weft_redistribute_wait(r->words), WEFT_OK);
    assert_int_equal(r->theirs, turn);
}

static done walk(weft_summons *s, ring *r, int turns, const asking *ask,
                 int asks, uint32_t seed)
{
    done d = {.n = 0};
    weft_reason why = WEFT_NO_REASON;

    for (int turn = 0; turn < turns && why != WEFT_STOP; turn++) {
        for (int i = 0; i < asks; i++)
            if (ask[i].rank == weft_comm_rank(world) && ask[i].turn == turn)
                assert_int_equal(weft_summons_ask(s, ask[i].why), WEFT_OK);
        assert_int_equal(weft_summons_heed(s, turn, &why), WEFT_OK);
        if (why) {
            d.turn[d.n] = turn;
            d.why[d.n++] = why;
        }
        if (why == WEFT_STOP) continue;
        rest(&seed);
        take_turn(r, turn);
        d.turns++;
    }
    if (why != WEFT_STOP)
        assert_int_equal(weft_summons_heed(s, INT_MAX, &why), WEFT_OK);
    return d;
}

/* All of a group did the same. */
static void check_same(const weft_comm *group, const done *d)
{
    uint64_t h = (uint64_t)d->n * 1000003 + (uint64_t)d->turns;

    for (int i = 0; i < d->n; i++)
        h = h * 1000003 + (uint64_t)d->turn[i] * 8 + d->why[i];
    assert_int_equal(weft_comm_same(group, h, "turns"), WEFT_OK);
}

/* `groups` that have nothing to do with each other, of so many turns and more;
 * what the first of them did. */
static done run(int groups, int turns, int more, const asking *ask, int asks,
                uint32_t seed)
{
    const int mine = weft_comm_rank(world) % groups;
    weft_summons *s;
    ring r;
    done d;

    open_ring(&r, mine);
    assert_int_equal(weft_summons_open(world, r.ranks, NULL, NULL, &s),
                     WEFT_OK);
    d = walk(s, &r, turns + mine * more, ask, asks,
             seed + (uint32_t)weft_comm_rank(world) * 77u);
    assert_int_equal(weft_comm_barrier(world), WEFT_OK);
    check_same(r.ranks, &d);
    weft_summons_close(s);
    close_ring(&r);
    return d;
}

static void nothing_happens_unasked(void **state)
{
    const done d = run(1, 20, 0, NULL, 0, 1);

    (void)state;
    assert_int_equal(d.n, 0);
    assert_int_equal(d.turns, 20);
}

static void all_stop_at_one_turn(void **state)
{
    const int last = weft_comm_size(world) - 1;

    (void)state;
    for (int turn = 0; turn < 12; turn++) {
        const asking one = {turn % (last + 1), turn, WEFT_STOP};
        const done d = run(1, 40, 0, &one, 1, 31u * (uint32_t)turn);

        assert_int_equal(d.n, 1);
        assert_true(d.turns >= turn);
        if (last == 0) assert_int_equal(d.turns, turn);
    }
}

/* A launcher signals everybody; a second reason comes while the first one is
 * under way. */
static void many_may_ask(void **state)
{
    asking all[MOST] = {{0, 0, WEFT_NO_REASON}};
    const int n = weft_comm_size(world);
    done d;

    (void)state;
    for (int i = 0; i < n; i++) all[i] = (asking){i, 5 + i % 3, WEFT_STOP};
    d = run(1, 60, 0, all, n, 5);
    assert_int_equal(d.n, 1);
    for (int i = 0; i < n; i++) all[i].why = i ? WEFT_KEEP : WEFT_STOP;
    d = run(1, 60, 0, all, n, 6);
    assert_int_equal(d.why[d.n - 1], WEFT_STOP);
    for (int i = 0; i < 4; i++) all[i] = (asking){0, 3 * i, WEFT_KEEP};
    d = run(1, 60, 0, all, 4, 7);
    assert_true(d.n >= 1 && d.n <= 4);
    assert_int_equal(d.turns, 60);
}

/* In the last turns there may be nothing left to stop. */
static void the_end_may_come_first(void **state)
{
    (void)state;
    for (int turn = 6; turn < 10; turn++) {
        const asking one = {weft_comm_size(world) - 1, turn, WEFT_STOP};
        const done d = run(1, 10, 0, &one, 1, (uint32_t)turn);

        assert_true(d.n <= 1);
        assert_true(d.n == 1 || d.turns == 10);
    }
}

/* One group has ended, and the others are still asked: more than once. */
static void groups_stop_by_themselves(void **state)
{
    const int n = weft_comm_size(world);
    const asking ask[] = {
        {n - 1, 2, WEFT_STOP}, {0, 1, WEFT_KEEP}, {0, 3, WEFT_KEEP}};

    (void)state;
    if (n < 3) return;
    for (uint32_t seed = 0; seed < 4; seed++) {
        (void)run(2, 5, 30, ask, 3, seed);
        (void)run(2, 2, 30, ask, 3, seed);
        (void)run(3, 12, 4, ask, 3, seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_happens_unasked),
        cmocka_unit_test(all_stop_at_one_turn),
        cmocka_unit_test(many_may_ask),
        cmocka_unit_test(the_end_may_come_first),
        cmocka_unit_test(groups_stop_by_themselves),
    };

    if (weft_comm_open(&world) != WEFT_OK) return 1;
    return leave_world(cmocka_run_group_tests(tests, NULL, NULL));
}
