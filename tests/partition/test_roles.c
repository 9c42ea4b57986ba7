#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "partition/plan.h"
#include "partition/roles.h"

enum { UNITS = 7, MOST = 7 };

static void make(int ranks, int a, int b, bool share, weft_roles *r)
{
    const weft_role_spec spec[] = {
        {.name = "strong", .ranks = a, .work = 2, .denoises = true},
        {.name = "weak", .ranks = b, .work = 1, .denoises = true},
        {.name = "vae", .ranks = ranks}};

    assert_int_equal(weft_roles_make(ranks, UNITS, spec, 3, share, r), WEFT_OK);
}

/* Every unit that a rank keeps is sent to it once, or is its own. */
static void expect_arrivals(const weft_roles *r, int k)
{
    weft_span have[MOST];
    weft_overlap o[MOST];
    const weft_crossing all = weft_roles_crossing(r, k, have);
    uint64_t messages = 0, units = 0;

    assert_true(weft_crossing_is_valid(have, r->state, r->ranks));
    for (int i = 0; i < r->ranks; i++) {
        int arrived[UNITS] = {0};
        const int n = weft_overlaps(r->state[i], have, r->ranks, o);

        for (int m = 0; m < n; m++) {
            for (int u = o[m].units.from; u < o[m].units.to; u++) arrived[u]++;
            if (o[m].peer == i) continue;
            messages++;
            units += (uint64_t)weft_span_units(o[m].units);
        }
        for (int u = 0; u < UNITS; u++)
            assert_int_equal(arrived[u],
                             u >= r->state[i].from && u < r->state[i].to);
    }
    assert_int_equal(messages, all.messages);
    assert_int_equal(units, all.units);
}

/* What the senders list is what the receivers list. */
static void expect_agreement(const weft_roles *r, int k)
{
    weft_span have[MOST];
    weft_overlap to[MOST], from[MOST];

    weft_roles_crossing(r, k, have);
    for (int i = 0; i < r->ranks; i++) {
        const int n = weft_overlaps(have[i], r->state, r->ranks, to);

        for (int m = 0; m < n; m++) {
            const int peer = to[m].peer;
            const int back =
                weft_overlaps(r->state[peer], have, r->ranks, from);
            bool found = false;

            for (int q = 0; q < back; q++)
                found |= from[q].peer == i &&
                         from[q].units.from == to[m].units.from &&
                         from[q].units.to == to[m].units.to;
            assert_true(found);
        }
    }
}

static void every_row_arrives_exactly_once(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= MOST; ranks++)
        for (int a = 1; a <= ranks; a++)
            for (int b = 1; b <= ranks; b++) {
                weft_roles r;

                if (a + b < ranks) continue;
                make(ranks, a, b, true, &r);
                for (int k = 0; k < 2; k++) {
                    expect_arrivals(&r, k);
                    expect_agreement(&r, k);
                }
                assert_int_equal(r.shared, a + b > ranks);
                weft_roles_release(&r);
            }
}

static void state_covers_the_rows_of_all_roles_and_no_more(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= MOST; ranks++)
        for (int a = 1; a <= ranks; a++) {
            weft_roles r;

            make(ranks, a, ranks, true, &r);
            for (int i = 0; i < ranks; i++) {
                const weft_span s = weft_roles_span(&r, 0, i);
                const weft_span w = weft_roles_span(&r, 1, i);
                const int from =
                    weft_span_units(s) && s.from < w.from ? s.from : w.from;

                assert_int_equal(r.state[i].from, from);
                assert_int_equal(r.state[i].to,
                                 weft_span_units(s) && s.to > w.to ? s.to
                                                                   : w.to);
            }
            weft_roles_release(&r);
        }
}

static void roles_go_where_the_least_work_is(void **state)
{
    weft_roles r;

    (void)state;
    make(5, 3, 2, false, &r);
    assert_int_equal(r.role[0].rank0, 0);
    assert_int_equal(r.role[1].rank0, 3);
    assert_int_equal(weft_roles_cut(&r, 1, 4).me, 1);
    assert_int_equal(weft_roles_cut(&r, 0, 4).me, -1);
    assert_int_equal(weft_span_units(weft_roles_span(&r, 0, 4)), 0);
    weft_roles_release(&r);
    make(1, 1, 1, true, &r);
    assert_true(r.shared);
    assert_int_equal(weft_span_units(r.state[0]), UNITS);
    weft_roles_release(&r);
}

/* A rank that only decodes keeps no state and is sent no predictions. */
static void a_vae_of_its_own_is_sent_nothing(void **state)
{
    const weft_role_spec spec[] = {
        {.name = "strong", .ranks = 2, .work = 2, .denoises = true},
        {.name = "vae", .ranks = 1, .work = 1}};
    weft_span span[3];
    weft_roles r;

    (void)state;
    assert_int_equal(weft_roles_make(3, UNITS, spec, 2, false, &r), WEFT_OK);
    assert_int_equal(r.role[1].rank0, 2);
    assert_int_equal(weft_span_units(r.state[2]), 0);
    assert_int_equal(weft_roles_crossing(&r, 0, span).messages, 0);
    weft_roles_release(&r);
}

/* Texts and the vae are on different ranks where there are enough, and share
 * the one that does not sample where there are not. Reading is not cut by rows.
 */
static void texts_and_vae_leave_each_other_alone(void **state)
{
    const weft_role_spec spec[] = {
        {.name = "model", .ranks = 2, .work = 2, .denoises = true},
        {.name = "vae", .ranks = 1, .work = 9, .own = true},
        {.name = "text", .ranks = 1, .reads = true, .own = true}};
    weft_role_spec many[3];
    weft_roles r;

    (void)state;
    assert_int_equal(weft_roles_make(4, UNITS, spec, 3, false, &r), WEFT_OK);
    assert_int_equal(r.role[1].rank0, 2);
    assert_int_equal(r.role[2].rank0, 3);
    assert_int_equal(weft_span_units(r.state[2]), 0);
    assert_int_equal(weft_span_units(r.state[3]), 0);
    assert_false(r.shared);
    weft_roles_release(&r);
    assert_int_equal(weft_roles_make(3, UNITS, spec, 3, true, &r), WEFT_OK);
    assert_int_equal(r.role[1].rank0, 2);
    assert_int_equal(r.role[2].rank0, 2);
    assert_true(r.shared);
    weft_roles_release(&r);
    assert_int_equal(weft_roles_make(3, UNITS, spec, 3, false, &r),
                     WEFT_EINPUT);
    memcpy(many, spec, sizeof many);
    many[2].ranks = 2 * UNITS;
    assert_int_equal(weft_roles_make(20, UNITS, many, 3, true, &r),
                     WEFT_EINPUT); /* three of them have nothing to do */
    assert_int_equal(weft_roles_make(3 + 2 * UNITS, UNITS, many, 3, true, &r),
                     WEFT_OK);
    assert_int_equal(r.role[2].rank0, 3);
    weft_roles_release(&r);
}

static void expect_refusal(int ranks, int a, int b, bool share,
                           const char *words)
{
    const weft_role_spec spec[] = {
        {.name = "strong", .ranks = a, .denoises = true},
        {.name = "weak", .ranks = b, .denoises = true}};
    weft_roles r;

    assert_int_equal(weft_roles_make(ranks, UNITS, spec, 2, share, &r),
                     WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), words));
}

static void what_cannot_be_dealt_is_refused_with_the_numbers(void **state)
{
    (void)state;
    expect_refusal(2, 2, 1, false, "the roles want 3 ranks, the group has 2");
    expect_refusal(2, 3, 1, true, "role strong wants 3 ranks");
    expect_refusal(12, 1, 8, true, "only 7 patches");
    expect_refusal(3, 0, 1, true, "role strong: 0 ranks");
    expect_refusal(4, 2, 1, true, "rank 3 of the group's 4");
}

/* A base on rank 0, and a refiner whose two conditions lie in one file: one of
 * them on rank 0 too, the other on rank 1. */
static void weights_of_one_file_go_together(void **state)
{
    weft_plan p = {.ranks = 2, .images = 1, .batch = 1, .nnets = 3};
    static const int weights[] = {0, 1, 1}, rank0[] = {0, 0, 1};

    (void)state;
    p.grid = (weft_grid){.groups = 1, .patches = 2};
    for (int i = 0; i < 3; i++) {
        p.net[i].role = i;
        p.net[i].weights = weights[i];
        p.net[i].phase = i ? WEFT_PHASE_LATER : WEFT_PHASE_STEPS;
        p.roles.role[i] = (weft_role){.asked = {.ranks = 1}, .rank0 = rank0[i]};
    }
    assert_int_equal(weft_plan_phase_of(&p, 1), WEFT_PHASE_LATER);
    assert_int_equal(weft_plan_phase_of(&p, 2), WEFT_PHASE_LATER);
    p.roles.role[1].rank0 = 1; /* nobody has both: there is no need */
    assert_int_equal(weft_plan_phase_of(&p, 1), WEFT_PHASE_STEPS);
    assert_int_equal(weft_plan_phase_of(&p, 2), WEFT_PHASE_STEPS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_arrives_exactly_once),
        cmocka_unit_test(state_covers_the_rows_of_all_roles_and_no_more),
        cmocka_unit_test(roles_go_where_the_least_work_is),
        cmocka_unit_test(a_vae_of_its_own_is_sent_nothing),
        cmocka_unit_test(texts_and_vae_leave_each_other_alone),
        cmocka_unit_test(what_cannot_be_dealt_is_refused_with_the_numbers),
        cmocka_unit_test(weights_of_one_file_go_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
