/*
 * Who and when. Every patch publishes rows stamped (evaluation, image row);
 * everyone then checks each stamp it sees.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/team.h"

enum { ROWS = 40, LEN = 3, STEPS = 6, SPARE = 2 };

static float stamp(int t, int row) { return (float)(t * 1000 + row); }

typedef struct patch_memory {
    float border[(ROWS + 2 * SPARE) * LEN], all[2 * ROWS * LEN];
} patch_memory;

static void fill(float *to, int t, int first, int rows)
{
    for (int i = 0; i < rows * LEN; i++) to[i] = stamp(t, first + i / LEN);
}

static bool all_stamped(const float *at, int t, int first, int rows)
{
    for (int i = 0; i < rows * LEN; i++)
        if (at[i] != stamp(t, first + i / LEN)) return false;
    return true;
}

static bool all_zero(const float *at, int rows)
{
    for (int i = 0; i < rows * LEN; i++)
        if (at[i] != 0) return false;
    return true;
}

/* cmocka's asserts may not jump out of another thread, so patches count. */
static _Atomic int wrong;

static void expect(bool ok)
{
    if (!ok) wrong++;
}

static void declare(weft_exchange *x, patch_memory *m, int *slot)
{
    const size_t bytes = LEN * sizeof(float);
    const weft_slot_spec
        border = {WEFT_REACH_BORDER, WEFT_BORDER, 1, 2, 1, bytes, "a"},
        all = {WEFT_REACH_ALL, WEFT_KV, 2, 0, 0, bytes, "b"};

    expect(weft_exchange_declare(x, &border, &slot[0]) == WEFT_OK);
    expect(weft_exchange_declare(x, &all, &slot[1]) == WEFT_OK);
    expect(weft_exchange_bind(x, slot[0], m->border + SPARE * LEN) == WEFT_OK);
    expect(weft_exchange_bind(x, slot[1], m->all) == WEFT_OK);
}

static void look_at_border(const weft_exchange *x, const float *mine, int t,
                           int first, int rows)
{
    const float *above = mine - 2 * LEN, *below = mine + rows * LEN;

    expect(x->cut.me == 0 ? all_zero(above, 2)
                          : all_stamped(above, t, first - 2, 2));
    expect(x->cut.me == x->cut.n - 1 ? all_zero(below, 1)
                                     : all_stamped(below, t, first + rows, 1));
    expect(all_stamped(mine, t, first, rows));
}

static void look_at_all(const weft_exchange *x, const weft_view *v, int t)
{
    expect(v->n == x->cut.n && v->age == 0);
    for (int p = 0; p < v->n; p++) {
        expect(v->rows[p] == 2 * weft_cut_units(&x->cut, p));
        expect(all_stamped((const float *)v->part[p], t, 2 * x->cut.first[p],
                           v->rows[p]));
    }
}

static void live(void *arg, int patch, weft_exchange *x)
{
    patch_memory *m = calloc(1, sizeof *m);
    const int first = x->cut.first[patch],
              rows = weft_cut_units(&x->cut, patch);
    float *mine = m->border + SPARE * LEN;
    weft_view v;
    int slot[2];

    (void)arg;
    declare(x, m, slot);
    for (int t = 0; t < STEPS; t++) {
        memset(m->border, 0xff, sizeof m->border);
        fill(mine, t, first, rows);
        fill(m->all + 2 * first * LEN, t, 2 * first, 2 * rows);
        weft_exchange_next(x);
        expect(weft_exchange_put(x, slot[0]) == WEFT_OK);
        expect(weft_exchange_put(x, slot[1]) == WEFT_OK);
        weft_exchange_poll(x);
        expect(weft_exchange_get(x, slot[0], &v) == WEFT_OK);
        look_at_border(x, mine, t, first, rows);
        expect(weft_exchange_get(x, slot[1], &v) == WEFT_OK);
        look_at_all(x, &v, t);
    }
    free(m);
}

static void everyone_sees_every_stamp(void **state)
{
    weft_team *team = malloc(sizeof *team);

    (void)state;
    for (int n = 1; n <= 7; n++) {
        int first[8];

        /* uneven: the last patch holds what is left */
        for (int p = 0; p <= n; p++) first[p] = p == n ? ROWS : p * (p + 9) / 3;
        wrong = 0;
        weft_team_init(team, n, first);
        weft_team_run(team, live, NULL);
        weft_team_release(team);
        assert_int_equal(wrong, 0);
    }
    free(team);
}

static void alone_the_edges_are_zero(void **state)
{
    const int first[] = {0, ROWS};
    const weft_cut cut = {.n = 1, .me = 0, .first = first};
    weft_exchange x;

    (void)state;
    wrong = 0;
    assert_int_equal(
        weft_exchange_init(&x, &weft_solo, &cut, (weft_schedule){0, 0}),
        WEFT_OK);
    live(NULL, 0, &x);
    assert_int_equal(wrong, 0);
    assert_int_equal(x.traffic.bytes[WEFT_BORDER], 0);
    weft_exchange_release(&x);
}

static void what_cannot_work_is_refused(void **state)
{
    const int first[] = {0, 1, 4};
    const weft_cut cut = {.n = 2, .me = 0, .first = first};
    const weft_slot_spec deep = {WEFT_REACH_BORDER, WEFT_BORDER, 1, 2, 2, 4,
                                 "down.0"};
    weft_exchange x;
    int slot;

    (void)state;
    assert_int_equal(
        weft_exchange_init(&x, &weft_solo, &cut, (weft_schedule){4, 1}),
        WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "lag 1"));
    assert_int_equal(
        weft_exchange_init(&x, &weft_solo, &cut, (weft_schedule){0, 0}),
        WEFT_OK);
    assert_int_equal(weft_exchange_declare(&x, &deep, &slot), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "patch 0 of 2 has 1"));
    weft_exchange_release(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everyone_sees_every_stamp),
        cmocka_unit_test(alone_the_edges_are_zero),
        cmocka_unit_test(what_cannot_work_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
