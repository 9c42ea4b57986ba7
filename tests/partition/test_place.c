#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/layer/layer.h"
#include "partition/place.h"

/* Two models that take turns, as W2SD's do: strong, weak, strong. `big` layers
 * in the strong one for one in the weak. */
enum { STEPS = 4, STRONG, WEAK };

typedef struct setting {
    weft_graph strong, weak;
    weft_stage stage[3 * STEPS + 1];
    weft_cluster machine;
    weft_plan plan;
} setting;

static void make_net(weft_graph *g, int layers)
{
    const weft_cell cell = {.rows = 4, .columns = 64, .width = 64};
    weft_val x;

    weft_graph_init(g, cell, 4);
    x = weft_add_conv(g, "in", g->input, 64, WEFT_CONV(.k = 3));
    for (int i = 0; i < layers; i++)
        x = weft_add_conv(g, "mid", x, 64, WEFT_CONV(.k = 3));
    x = weft_add_conv(g, "out", x, 4, WEFT_CONV(.k = 3));
    assert_int_equal(weft_graph_finish(g, x), WEFT_OK);
}

static void add_stage(setting *s, int step, int index, int net)
{
    s->stage[s->plan.nstages++] =
        (weft_stage){.step = step, .index = index, .n = 1, .lane = {net}};
    s->plan.net[net].evaluations++;
}

static void make(setting *s, int big, int ranks, int images)
{
    weft_plan *p = &s->plan;

    memset(s, 0, sizeof *s);
    make_net(&s->strong, big);
    make_net(&s->weak, 1);
    p->ranks = ranks;
    p->width = p->height = p->rows = p->columns = 64;
    p->channels = 4;
    p->unit = 4;
    p->across = 1;
    p->strip = 64;
    p->images = images;
    p->steps = STEPS;
    p->threads = p->row_scale = 1;
    p->share = true;
    p->vae = -1;
    p->kernels = "reference";
    assert_int_equal(weft_device_find("reference", NULL, &p->dev), WEFT_OK);
    s->machine = weft_cost_nominal(p->dev, 1);
    p->machine = &s->machine;
    p->costs = "nominal";
    p->role[0] = (weft_role_spec){.name = "strong", .denoises = true};
    p->role[1] = (weft_role_spec){.name = "weak", .denoises = true};
    p->nroles = p->nnets = 2;
    p->net[0] = (weft_plan_net){
        .role = 0, .graph = &s->strong, .weights = 0, .conditions = 1};
    p->net[1] = (weft_plan_net){
        .role = 1, .graph = &s->weak, .weights = 1, .conditions = 1};
    for (int i = 0; i < STEPS; i++)
        for (int k = 0; k < 3; k++) add_stage(s, i, k, k % 2);
    s->stage[p->nstages++] = (weft_stage){.step = STEPS, .leaves = true};
    p->stage = s->stage;
}

static void release(setting *s)
{
    weft_plan_release(&s->plan);
    weft_graph_release(&s->strong);
    weft_graph_release(&s->weak);
}

static void place(setting *s, bool roles, int batch_most)
{
    const weft_place_opts o = {.roles = roles, .batch_most = batch_most};

    if (weft_place(&o, &s->plan) != WEFT_OK) fail_msg("%s", weft_fail_text());
    if (weft_plan_make(&s->plan) != WEFT_OK) fail_msg("%s", weft_fail_text());
    assert_true(weft_plan_is_valid(&s->plan));
}

/* Where messages are dear, nobody splits an image that need not be split. */
static void roles_have_their_own_ranks_where_messages_are_dear(void **state)
{
    setting s;

    (void)state;
    make(&s, 1, 3, 8);
    s.machine.between.latency_s = 1;
    place(&s, true, 1);
    assert_int_equal(s.plan.grid.patches, 3);
    assert_int_equal(s.plan.role[0].ranks + s.plan.role[1].ranks, 3);
    assert_true(s.plan.flights >= 2);
    release(&s);
}

/* Twice as much to do in all as for weak, which is as large: two thirds. */
static void ranks_follow_the_work(void **state)
{
    setting s;

    (void)state;
    make(&s, 1, 3, 8);
    s.machine.between.latency_s = 0;
    s.machine.between.bytes_per_s = 1e30;
    s.plan.share = false;
    place(&s, true, 1);
    assert_int_equal(s.plan.role[0].ranks, 2);
    assert_int_equal(s.plan.role[1].ranks, 1);
    assert_true(s.plan.forecast.busy[0] > 0.85);
    assert_true(s.plan.forecast.busy[1] > 0.85);
    release(&s);
    make(&s, 12, 8, 8);
    s.plan.share = false;
    place(&s, true, 1);
    assert_int_equal(s.plan.role[0].ranks, 7);
    release(&s);
}

/* Nets of equal work, of which one is slow: it gets the ranks. */
static void ranks_follow_what_was_measured(void **state)
{
    setting s;
    weft_cluster slow;

    (void)state;
    make(&s, 1, 4, 8);
    s.plan.share = false;
    slow = s.machine;
    slow.speed[0].flops_per_s /= 6;
    s.plan.net[1].machine = &slow;
    place(&s, true, 1);
    assert_int_equal(s.plan.role[0].ranks, 1);
    assert_int_equal(s.plan.role[1].ranks, 3);
    release(&s);
}

/* Two nodes of a rank each, with room for one net's weights but not for both.
 */
static void roles_part_where_memory_wants_it(void **state)
{
    const weft_place_opts o = {.roles = true, .batch_most = 1};
    setting s;

    (void)state;
    make(&s, 40, 2, 1);
    weft_graph_release(&s.weak);
    make_net(&s.weak, 40);
    s.machine.nodes = 2;
    place(&s, true, 1);
    assert_int_equal(s.plan.role[0].ranks, 2);
    s.machine.node_bytes = (double)weft_plan_node_memory(&s.plan, 1) - 1;
    weft_plan_release(&s.plan);
    s.plan.group = 0;
    place(&s, true, 1);
    assert_int_equal(s.plan.role[0].ranks, 1);
    assert_true((double)weft_plan_node_memory(&s.plan, 1) <=
                s.machine.node_bytes);
    s.machine.node_bytes = 1000;
    weft_plan_release(&s.plan);
    s.plan.group = 0;
    assert_int_equal(weft_place(&o, &s.plan), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "no placement of the roles fits"));
    release(&s);
}

/* Text encoders that stay lie beside the nets; those that do not come first. */
static void readers_that_stay_are_counted_with_the_nets(void **state)
{
    static const weft_plan_reader reader[] = {
        {.name = "a", .weight_bytes = 1000, .block_bytes = 64},
        {.name = "b", .weight_bytes = 3000, .block_bytes = 64}};
    weft_plan_memory before, after;
    size_t node;
    setting s;

    (void)state;
    make(&s, 1, 2, 8);
    s.plan.reader = reader;
    s.plan.nreaders = 2;
    place(&s, false, 1);
    before = weft_plan_memory_of(&s.plan, 0, 2);
    node = weft_plan_node_memory(&s.plan, 2);
    s.plan.readers_stay = true;
    after = weft_plan_memory_of(&s.plan, 0, 2);
    assert_int_equal(before.reading, 3000 / 2 + 64);
    assert_int_equal(after.reading, 0);
    assert_int_equal(after.weights_share, before.weights_share + 4000 / 2);
    assert_int_equal(after.total, before.total + 4000 / 2);
    assert_int_equal(weft_plan_node_memory(&s.plan, 2), node + 4000);
    release(&s);
}

/* One image cannot be in flight twice: apart, one of the two always waits. */
static void one_image_has_all_ranks_for_all_roles(void **state)
{
    setting s;

    (void)state;
    make(&s, 1, 2, 1);
    place(&s, true, 8);
    assert_int_equal(s.plan.role[0].ranks, 2);
    assert_int_equal(s.plan.role[1].ranks, 2);
    assert_int_equal(s.plan.flights, 1);
    release(&s);
}

static void ranks_that_are_given_stay(void **state)
{
    setting s;

    (void)state;
    make(&s, 1, 6, 8);
    s.plan.role[0].ranks = 2;
    s.plan.role[1].ranks = 1;
    place(&s, false, 4);
    assert_int_equal(s.plan.grid.groups, 2);
    assert_int_equal(s.plan.grid.patches, 3);
    assert_int_equal(s.plan.roles.role[1].rank0, 2);
    /* batches are smaller than they could be, so that two are under way */
    assert_true(s.plan.flights >= 2);
    assert_true(s.plan.batch <= 2);
    release(&s);
}

static void fewer_ranks_than_roles_share(void **state)
{
    setting s;

    (void)state;
    make(&s, 1, 1, 3);
    s.plan.role[0].ranks = 2;
    s.plan.role[1].ranks = 1;
    place(&s, false, 4);
    assert_true(s.plan.roles.shared);
    assert_int_equal(s.plan.flights, 1);
    release(&s);
}

static void expect_refusal(int ranks, int a, int b, bool share, int images,
                           const char *words)
{
    const weft_place_opts o = {.batch_most = 1};
    setting s;

    make(&s, 1, ranks, images);
    s.plan.role[0].ranks = a;
    s.plan.role[1].ranks = b;
    s.plan.share = share;
    assert_int_equal(weft_place(&o, &s.plan), WEFT_EINPUT);
    if (!strstr(weft_fail_text(), words)) fail_msg("%s", weft_fail_text());
    release(&s);
}

static void what_does_not_fit_is_refused_with_the_numbers(void **state)
{
    const weft_place_opts o = {.roles = true, .batch_most = 1};
    setting s;

    (void)state;
    expect_refusal(5, 2, 1, true, 8, "5 ranks are not a multiple of the 3");
    expect_refusal(6, 2, 1, true, 1, "2 groups of the 3 ranks");
    expect_refusal(2, 2, 1, false, 8, "want 3 ranks, the group has 2");
    expect_refusal(2, 1, 2, false, 8, "use 3 ranks");
    expect_refusal(40, 20, 20, true, 8, "only 16 patches");
    make(&s, 1, 1, 8);
    s.plan.share = false;
    assert_int_equal(weft_place(&o, &s.plan), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "2 roles do not fit"));
    release(&s);
}

/* Twelve roles on many ranks are more ways than can be tried. */
static void many_roles_are_placed_in_time(void **state)
{
    setting s;

    (void)state;
    make(&s, 1, 48, 8);
    for (int k = 2; k < 12; k++) {
        s.plan.role[k] = s.plan.role[1];
        s.plan.net[k] = s.plan.net[1];
        s.plan.net[k].role = k;
        for (int i = 0; i < STEPS; i++)
            s.stage[3 * i].lane[s.stage[3 * i].n++] = k;
    }
    s.plan.nroles = s.plan.nnets = 12;
    s.plan.share = false;
    place(&s, true, 1);
    release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roles_have_their_own_ranks_where_messages_are_dear),
        cmocka_unit_test(ranks_follow_the_work),
        cmocka_unit_test(ranks_follow_what_was_measured),
        cmocka_unit_test(roles_part_where_memory_wants_it),
        cmocka_unit_test(readers_that_stay_are_counted_with_the_nets),
        cmocka_unit_test(one_image_has_all_ranks_for_all_roles),
        cmocka_unit_test(ranks_that_are_given_stay),
        cmocka_unit_test(fewer_ranks_than_roles_share),
        cmocka_unit_test(what_does_not_fit_is_refused_with_the_numbers),
        cmocka_unit_test(many_roles_are_placed_in_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
