#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "partition/pipeline.h"

enum { STRONG, WEAK, VAE, ROLES, STEPS = 4, MOST_TURNS = 4096 };

/* A run of W2SD: strong, weak, strong in all steps but the last, then the
 * picture. */
typedef struct setting {
    weft_roles roles;
    weft_lane_cost lane[ROLES];
    weft_stage stage[3 * STEPS + 1];
    weft_pipeline_spec spec;
} setting;

static void add_stage(setting *s, int step, int index, int lane)
{
    s->stage[s->spec.nstages++] = (weft_stage){.step = step,
                                               .index = index,
                                               .n = 1,
                                               .lane = {lane},
                                               .leaves = lane == VAE};
}

static void make(setting *s, int ranks, int a, int b, double strong,
                 double weak, int batches, int flights)
{
    const weft_role_spec spec[] = {
        {.name = "strong", .ranks = a, .work = 2 * strong, .denoises = true},
        {.name = "weak", .ranks = b, .work = weak, .denoises = true},
        {.name = "vae", .ranks = ranks}};

    memset(s, 0, sizeof *s);
    assert_int_equal(weft_roles_make(ranks, 8, spec, ROLES, true, &s->roles),
                     WEFT_OK);
    s->lane[STRONG] = (weft_lane_cost){STRONG, strong};
    s->lane[WEAK] = (weft_lane_cost){WEAK, weak};
    s->lane[VAE] = (weft_lane_cost){VAE, 0};
    for (int i = 0; i < STEPS; i++) {
        add_stage(s, i, 0, STRONG);
        if (i + 1 == STEPS) continue;
        add_stage(s, i, 1, WEAK);
        add_stage(s, i, 2, STRONG);
    }
    add_stage(s, STEPS, 0, VAE);
    s->spec.roles = &s->roles;
    s->spec.lane = s->lane;
    s->spec.nlanes = ROLES;
    s->spec.stage = s->stage;
    s->spec.batches = batches;
    s->spec.flights = flights;
}

static weft_forecast forecast(const setting *s)
{
    weft_pipeline p;
    weft_forecast f;

    assert_int_equal(weft_pipeline_make(&s->spec, &p), WEFT_OK);
    assert_true(weft_pipeline_is_valid(&p, MOST_TURNS));
    f = weft_pipeline_forecast(&p);
    weft_pipeline_release(&p);
    return f;
}

static void expect_near(double got, double want)
{
    if (got < want * (1 - 1e-9) || got > want * (1 + 1e-9))
        fail_msg("%.17g, not %.17g", got, want);
}

/* ---- forecasts, worked out by hand --------------------------------------- */

static void alone_a_batch_takes_the_sum_of_its_stages(void **state)
{
    setting s;
    weft_forecast f;

    (void)state;
    make(&s, 2, 1, 1, 2, 3, 5, 1);
    f = forecast(&s);
    expect_near(f.seconds, 5 * (7 * 2 + 3 * 3));
    expect_near(f.busy[STRONG], 14.0 / 23);
    expect_near(f.busy[WEAK], 9.0 / 23);
    weft_roles_release(&s.roles);
}

/* Turns say when they begin and end: one after the other here. */
static void turns_follow_each_other(void **state)
{
    double end = 0;
    weft_pipeline p;
    weft_turn t;
    setting s;

    (void)state;
    make(&s, 2, 1, 1, 2, 3, 2, 1);
    assert_int_equal(weft_pipeline_make(&s.spec, &p), WEFT_OK);
    while (weft_pipeline_next(&p, &t)) {
        assert_true(t.start == end);
        end += s.lane[s.stage[t.stage].lane[0]].seconds;
        assert_true(t.end == end);
    }
    assert_true(end == 2 * (7 * 2 + 3 * 3));
    weft_pipeline_release(&p);
    weft_roles_release(&s.roles);
}

static void two_in_flight_keep_strong_busy(void **state)
{
    setting s;

    (void)state;
    make(&s, 2, 1, 1, 1, 1, 8, 2);
    /* All the time but for the last batch's last turns of weak. */
    assert_true(forecast(&s).seconds >= 8 * 7);
    assert_true(forecast(&s).seconds <= 8 * 7 + 2);
    weft_roles_release(&s.roles);
    /* Three ranks: strong's two are twice as fast, both roles are busy but for
     * the last step, in which weak has no part. */
    make(&s, 3, 2, 1, 0.5, 1, 8, 2);
    assert_true(forecast(&s).busy[STRONG] > 0.9);
    assert_true(forecast(&s).busy[WEAK] > 0.75);
    weft_roles_release(&s.roles);
}

static void sharing_ranks_gains_nothing_from_flights(void **state)
{
    setting s;

    (void)state;
    for (int flights = 1; flights <= 3; flights++) {
        make(&s, 1, 1, 1, 1, 1, 4, flights);
        expect_near(forecast(&s).seconds, 4 * 10);
        weft_roles_release(&s.roles);
    }
}

static void long_runs_are_foreseen_from_their_beginning(void **state)
{
    setting s;

    (void)state;
    make(&s, 2, 1, 1, 1, 1, 1000000, 2);
    assert_true(forecast(&s).seconds >= 7e6);
    assert_true(forecast(&s).seconds <= 7e6 + 2);
    weft_roles_release(&s.roles);
}

/* ---- nobody waits for ever ----------------------------------------------- */

/* Ranks that walk the turns with sends that end only when they are received:
 * at[r] is the turn that rank r does next. */
typedef struct walkers {
    const setting *s;
    weft_turn turn[16][MOST_TURNS];
    int n, at[16];
} walkers;

/* Has rank r done turn i of the list of rank `of`, that is, the same stage of
 * the same batch? */
static bool has_done(const walkers *w, int r, const weft_turn *t)
{
    for (int i = 0; i < w->at[r]; i++)
        if (w->turn[r][i].batch == t->batch && w->turn[r][i].stage == t->stage)
            return true;
    return false;
}

static bool is_next(const walkers *w, int r, const weft_turn *t)
{
    const weft_turn *n = &w->turn[r][w->at[r]];

    return w->at[r] < w->n && n->batch == t->batch && n->stage == t->stage;
}

static bool evaluates(const walkers *w, int r, int stage)
{
    const weft_stage *s = &w->s->stage[stage];

    for (int i = 0; i < s->n; i++)
        if (weft_roles_has(&w->s->roles, w->s->lane[s->lane[i]].role, r))
            return true;
    return false;
}

/* Answers to the last question are there; my last sends of these lanes have
 * been received by everybody, who does so in the turn itself; all ranks of the
 * role are at it, for they exchange while they evaluate. */
static bool can_go(const walkers *w, int r)
{
    const weft_turn *t = &w->turn[r][w->at[r]];
    weft_turn before = *t, last = *t;

    before.stage--;
    for (int q = 0; q < w->s->roles.ranks; q++) {
        if (t->stage > 0 && evaluates(w, q, before.stage) &&
            !has_done(w, q, &before))
            return false;
        if (!evaluates(w, r, t->stage)) continue;
        for (last.stage = t->stage - 1; last.stage >= 0; last.stage--)
            if (evaluates(w, r, last.stage) && !has_done(w, q, &last))
                return false;
        if (evaluates(w, q, t->stage) && !has_done(w, q, t) &&
            !is_next(w, q, t))
            return false;
    }
    return true;
}

/* False where ranks wait for each other. */
static bool all_arrive(walkers *w)
{
    bool moved = true;

    memset(w->at, 0, sizeof w->at);
    while (moved) {
        moved = false;
        for (int r = 0; r < w->s->roles.ranks; r++)
            while (w->at[r] < w->n && can_go(w, r)) w->at[r]++, moved = true;
    }
    for (int r = 0; r < w->s->roles.ranks; r++)
        if (w->at[r] < w->n) return false;
    return true;
}

static void list_turns(walkers *w, const setting *s)
{
    weft_pipeline p;

    w->s = s;
    w->n = 0;
    assert_int_equal(weft_pipeline_make(&s->spec, &p), WEFT_OK);
    while (weft_pipeline_next(&p, &w->turn[0][w->n])) w->n++;
    weft_pipeline_release(&p);
    for (int r = 1; r < s->roles.ranks; r++)
        memcpy(w->turn[r], w->turn[0], (size_t)w->n * sizeof **w->turn);
}

static void no_order_makes_ranks_wait_for_ever(void **state)
{
    walkers *w = calloc(1, sizeof *w);

    (void)state;
    for (int ranks = 1; ranks <= 5; ranks++)
        for (int a = 1; a <= ranks; a++)
            for (int b = 1; b <= ranks; b++)
                for (int flights = 1; flights <= 3; flights++) {
                    setting s;

                    if (a + b < ranks) continue;
                    make(&s, ranks, a, b, 1.0 / a, 0.7 / b, 4, flights);
                    list_turns(w, &s);
                    assert_int_equal(w->n, 4 * s.spec.nstages);
                    assert_true(all_arrive(w));
                    weft_roles_release(&s.roles);
                }
    free(w);
}

/* The walkers do find it where there is one. */
static void another_order_on_one_rank_is_found_to_be_deadly(void **state)
{
    walkers *w = calloc(1, sizeof *w);
    setting s;
    weft_turn t;

    (void)state;
    make(&s, 3, 2, 2, 1, 1, 2, 2);
    list_turns(w, &s);
    for (int i = 0; i + 1 < w->n; i++) {
        if (w->turn[1][i].batch == w->turn[1][i + 1].batch) continue;
        t = w->turn[1][i];
        w->turn[1][i] = w->turn[1][i + 1];
        w->turn[1][i + 1] = t;
        i++;
    }
    assert_false(all_arrive(w));
    weft_roles_release(&s.roles);
    free(w);
}

static void flights_have_limits(void **state)
{
    weft_pipeline p;
    setting s;

    (void)state;
    make(&s, 2, 1, 1, 1, 1, 8, WEFT_FLIGHTS + 1);
    assert_int_equal(weft_pipeline_make(&s.spec, &p), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "9 batches in flight"));
    weft_roles_release(&s.roles);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_a_batch_takes_the_sum_of_its_stages),
        cmocka_unit_test(turns_follow_each_other),
        cmocka_unit_test(two_in_flight_keep_strong_busy),
        cmocka_unit_test(sharing_ranks_gains_nothing_from_flights),
        cmocka_unit_test(long_runs_are_foreseen_from_their_beginning),
        cmocka_unit_test(no_order_makes_ranks_wait_for_ever),
        cmocka_unit_test(another_order_on_one_rank_is_found_to_be_deadly),
        cmocka_unit_test(flights_have_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
