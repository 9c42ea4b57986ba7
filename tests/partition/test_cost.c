/*
 * The model of cost against what can be worked out by hand for one layer.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/layer/layer.h"
#include "partition/cost_walk.h"

enum { UNITS = 8, UNIT = 4, W = 16, C = 8 };

static const int halves[] = {0, 4, 8}, quarters[] = {0, 2, 4, 6, 8};
static const weft_cut two = {.n = 2, .first = halves};
static const weft_cut four = {.n = 4, .first = quarters};

static const weft_cluster two_nodes = {
    .nodes = 2,
    .ranks_per_node = 1,
    .between = {.latency_s = 1e-3, .bytes_per_s = 1e6},
    .inside = {.latency_s = 1e-6, .bytes_per_s = 1e9},
    .speed = {{"conv3x3", 1e8}, {"norm", 1e8}, {"other", 1e8}},
    .nspeeds = 3,
    .memory_bytes_per_s = 1e9};

/* One 3x3 convolution of C channels, or one group norm. */
static weft_graph conv_net(void)
{
    weft_graph g;
    weft_val h;

    weft_graph_init(&g, (weft_cell){UNIT, W, W}, C);
    h = weft_add_conv(&g, "conv", g.input, C, WEFT_CONV(.k = 3));
    assert_int_equal(weft_graph_finish(&g, h), WEFT_OK);
    return g;
}

static weft_graph norm_net(void)
{
    weft_graph g;
    weft_val h;

    weft_graph_init(&g, (weft_cell){UNIT, W, W}, C);
    h = weft_add_group_norm(&g, "norm", g.input, WEFT_NONE, 2, 1e-5f, WEFT_NONE,
                            WEFT_SILU);
    assert_int_equal(weft_graph_finish(&g, h), WEFT_OK);
    return g;
}

static double cost(const weft_graph *g, const weft_cut *cut,
                   const weft_cluster *c, weft_cost_how how)
{
    double s = -1;

    assert_int_equal(weft_cost_of(g, 1, cut, c, &how, &s), WEFT_OK);
    assert_true(s > 0);
    return s;
}

static void near(double got, double want)
{
    assert_float_equal(got, want, 1e-9 * (1 + want));
}

/* 2 x 9 x C x C operations a pixel, half of the rows. */
static const double conv_s = 2.0 * 9 * C * C * W * UNITS * UNIT / 2 / 1e8;
/* One row of the neighbour. */
static const double border_s = W * C * 4 / 1e6;

static void compute_is_operations_over_speed(void **state)
{
    weft_graph g = conv_net();

    (void)state;
    near(cost(&g, &two, &two_nodes, (weft_cost_how){.silent = true}), conv_s);
    near(cost(&g, &four, &two_nodes, (weft_cost_how){.silent = true}),
         conv_s / 2);
    weft_graph_release(&g);
}

static void what_blocks_is_added(void **state)
{
    weft_graph g = conv_net();

    (void)state;
    near(cost(&g, &two, &two_nodes, (weft_cost_how){.blocks = true}),
         conv_s + border_s + 1e-3);
    weft_graph_release(&g);
}

/* Rows inside are computed while the border travels; tiles are 4 rows. */
static void the_inside_hides_the_border(void **state)
{
    const double inside = conv_s * (16 - 4) / 16;
    weft_cluster slow = two_nodes;
    weft_graph g = conv_net();

    (void)state;
    assert_true(inside > border_s + 1e-3);
    near(cost(&g, &two, &two_nodes, (weft_cost_how){0}), conv_s);
    slow.between.latency_s = 1;
    near(cost(&g, &two, &slow, (weft_cost_how){0}),
         1 + border_s + conv_s - inside);
    weft_graph_release(&g);
}

enum { HEADS = 4, DIM = 2 };

static weft_graph attention_net(void)
{
    weft_graph g;
    weft_val h;

    weft_graph_init(&g, (weft_cell){UNIT, W, W}, C);
    h = weft_add_self_attention(&g, "at", g.input, WEFT_NONE, HEADS, DIM, false,
                                false, 1);
    assert_int_equal(weft_graph_finish(&g, h), WEFT_OK);
    return g;
}

/* A share of the heads travels while the one before it is looked at: the first
 * is waited for only as far as it takes longer than the next keys and values
 * and the queries. */
static void shares_hide_each_other(void **state)
{
    const double pixels = UNITS * UNIT * W, mine = pixels / 2;
    const double kv = 2.0 * C * 2 * DIM * mine / 1e8,
                 q = 2.0 * C * C * mine / 1e8;
    const double look = 4.0 * DIM * pixels * mine / 1e8;
    const double bytes = mine * 2 * DIM * 4;
    weft_cluster c = two_nodes;
    weft_graph g = attention_net();
    double alone;

    (void)state;
    alone = cost(&g, &two, &c, (weft_cost_how){.silent = true});
    near(alone, HEADS * (kv + look) + 2 * q);
    c.between = (weft_cost_link){.bytes_per_s = bytes / (kv + q)};
    near(cost(&g, &two, &c, (weft_cost_how){0}), alone);
    near(cost(&g, &two, &c, (weft_cost_how){.blocks = true}),
         alone + HEADS * (kv + q));
    /* The link sets the pace: the last share is looked at when it has come. */
    c.between.bytes_per_s = bytes / (2 * alone);
    near(cost(&g, &two, &c, (weft_cost_how){0}),
         kv + HEADS * 2 * alone + look + q);
    weft_graph_release(&g);
}

static void displaced_nothing_is_waited_for(void **state)
{
    weft_cluster far = two_nodes;
    weft_graph g = norm_net();
    const weft_cost_how displaced = {.lag = 1};
    double alone;

    (void)state;
    far.between.bytes_per_s = 1e9;
    alone = cost(&g, &two, &far, (weft_cost_how){.silent = true});
    far.between.latency_s = 0.9 * alone;
    near(cost(&g, &two, &far, displaced), alone);
    assert_true(cost(&g, &two, &far, (weft_cost_how){0}) > 1.8 * alone);
    weft_graph_release(&g);
}

/* Borders travel as halves where keys and values are residuals of a byte. */
static void borders_are_never_bytes(void **state)
{
    weft_cluster slow = two_nodes;
    weft_graph g = conv_net();

    (void)state;
    slow.between.bytes_per_s = 100;
    near(cost(&g, &two, &slow,
              (weft_cost_how){.lag = 1, .wire = WEFT_WIRE_INT8}),
         cost(&g, &two, &slow,
              (weft_cost_how){.lag = 1, .wire = WEFT_WIRE_F16}));
    weft_graph_release(&g);
}

/* Moments: one record of 2 doubles a unit and group. */
static void a_slow_link_sets_the_pace(void **state)
{
    const double bytes = UNITS / 2 * 2 * 16;
    const weft_cost_how displaced = {.lag = 1};
    weft_cluster slow = two_nodes;
    weft_graph g = norm_net();

    (void)state;
    slow.between = (weft_cost_link){.latency_s = 1e-3, .bytes_per_s = 100};
    near(cost(&g, &two, &slow, displaced), bytes / 100);
    slow.between.half_duplex = true;
    near(cost(&g, &two, &slow, displaced), 2 * bytes / 100);
    weft_graph_release(&g);
}

/* Two ranks of a node send two parts each through its one port. */
static void ranks_of_a_node_share_its_port(void **state)
{
    const double bytes = UNITS / 4 * 2 * 16;
    const weft_cost_how displaced = {.lag = 1};
    weft_cluster slow = two_nodes;
    weft_graph g = norm_net();

    (void)state;
    slow.ranks_per_node = 2;
    slow.between = (weft_cost_link){.bytes_per_s = 100};
    near(cost(&g, &four, &slow, displaced), 4 * bytes / 100);
    slow.ranks_per_node = 4;
    assert_true(cost(&g, &four, &slow, displaced) < bytes / 100);
    weft_graph_release(&g);
}

/* To three peers, and from three: nobody's is there before all have passed. */
static void what_is_put_at_once_arrives_at_once(void **state)
{
    enum { N = 4 };
    const double bytes = UNITS / 4 * 2 * 16;
    double clock[N] = {0}, posted[N], came[2 * N * N], times[2][N];
    weft_cost_port port[4 * N] = {{0}};
    int order[N], core_of[N];
    weft_cost_core core[N] = {{0}};
    weft_cluster c = two_nodes;
    weft_graph g = norm_net();
    weft_cost_walk w = {.g = &g,
                        .n = 1,
                        .cut = &four,
                        .c = &c,
                        .clock = clock,
                        .posted = posted,
                        .port = port,
                        .came = came,
                        .order = order,
                        .core_of = core_of,
                        .core = core,
                        .arrived = {1, 1, N, times[0]},
                        .left = {1, 1, N, times[1]}};

    (void)state;
    c.nodes = N;
    c.between = (weft_cost_link){.latency_s = 1, .bytes_per_s = 100};
    weft_cost_seat(&w);
    weft_cost_put(&w, &g.node[0].want[0], 0);
    for (int to = 0; to < N; to++)
        for (int from = 0; from < N; from++)
            if (from != to)
                near(*weft_cost_came(&w, 0, to, from), 3 * bytes / 100 + 1);
    weft_graph_release(&g);
}

static void the_processor_pays_for_messages(void **state)
{
    weft_cluster busy = two_nodes;
    weft_graph g = norm_net();
    const weft_cost_how displaced = {.lag = 1};
    const double bytes = UNITS / 2 * 2 * 16;
    double alone;

    (void)state;
    alone = cost(&g, &two, &busy, (weft_cost_how){.silent = true});
    busy.between =
        (weft_cost_link){.bytes_per_s = 1e12, .message_s = 0.5, .byte_s = 0.01};
    near(cost(&g, &two, &busy, displaced), alone + 2 * (0.5 + 0.01 * bytes));
    weft_graph_release(&g);
}

/* Of a node with a core for two ranks: speeds are those with half of it. */
static weft_cluster one_core(void)
{
    weft_cluster c = two_nodes;

    c.nodes = 1;
    c.ranks_per_node = 2;
    c.cores = 1;
    c.inside = (weft_cost_link){.bytes_per_s = 1e12};
    return c;
}

/* As long as both work nobody gains; when one has done, the other has all. */
static void who_shares_a_core_takes_turns(void **state)
{
    static const int uneven[] = {0, 1, UNITS};
    const weft_cut cut = {.n = 2, .first = uneven};
    const weft_cost_how silent = {.silent = true};
    weft_cluster shared = one_core(), own = one_core();
    weft_graph g = conv_net();

    (void)state;
    own.cores = 0;
    near(cost(&g, &two, &shared, silent), conv_s);
    near(cost(&g, &cut, &own, silent), conv_s * 2 * (UNITS - 1) / UNITS);
    near(cost(&g, &cut, &shared, silent), conv_s);
    weft_graph_release(&g);
}

/* A rank of this group on each of two cores, with one of another group: no
 * more than half a core for each. */
static void others_on_a_core_work_too(void **state)
{
    weft_cluster c = one_core();
    weft_graph g = conv_net();

    (void)state;
    c.ranks_per_node = 4;
    c.cores = 2;
    near(cost(&g, &two, &c, (weft_cost_how){.silent = true}), conv_s);
    near(cost(&g, &two, &c, (weft_cost_how){.silent = true, .rank0 = 2}),
         conv_s);
    near(cost(&g, &four, &c, (weft_cost_how){.silent = true}), conv_s / 2);
    weft_graph_release(&g);
}

/* Two messages, two ends each, one core. */
static void a_shared_core_pays_for_all_messages(void **state)
{
    const weft_cost_how displaced = {.lag = 1};
    const double bytes = UNITS / 2 * 2 * 16;
    weft_cluster c = one_core();
    weft_graph g = norm_net();
    double alone;

    (void)state;
    alone = cost(&g, &two, &c, (weft_cost_how){.silent = true});
    c.inside.message_s = 0.5;
    c.inside.byte_s = 0.01;
    near(cost(&g, &two, &c, displaced), alone + 4 * (0.5 + 0.01 * bytes));
    weft_graph_release(&g);
}

/* Rank 0 waits from 1 to 5; rank 1 works from 2 on, and what does not fit
 * comes after rank 0's. Ranks 2 and 3 have another core. */
static void a_wait_is_time_for_the_other(void **state)
{
    double clock[4] = {0};
    int order[4], core_of[4];
    weft_cost_core core[4] = {{0}};
    const weft_cluster c = {.ranks_per_node = 4, .cores = 2};
    weft_cost_walk w = {.cut = &four,
                        .c = &c,
                        .clock = clock,
                        .order = order,
                        .core_of = core_of,
                        .core = core};

    (void)state;
    weft_cost_seat(&w);
    assert_int_equal(core_of[2], core_of[0]);
    assert_int_equal(core_of[3], core_of[1]);
    assert_int_not_equal(core_of[1], core_of[0]);
    weft_cost_spend(&w, 0, 1);
    clock[0] = 5;
    weft_cost_spend(&w, 0, 1);
    near(clock[0], 6);
    clock[2] = 2;
    weft_cost_spend(&w, 2, 1);
    near(clock[2], 3);
    weft_cost_spend(&w, 2, 4);
    near(clock[2], 8);
    weft_cost_spend(&w, 1, 3);
    near(clock[1], 3);
    weft_cost_turns(&w);
    for (int k = 1; k < 4; k++)
        assert_true(clock[order[k - 1]] <= clock[order[k]]);
}

static void fewer_bytes_are_quicker_where_the_link_is_slow(void **state)
{
    weft_cluster slow = two_nodes;
    weft_graph g = conv_net();
    double wide, narrow;

    (void)state;
    slow.between.bytes_per_s = 100;
    wide = cost(&g, &two, &slow, (weft_cost_how){.lag = 1});
    narrow =
        cost(&g, &two, &slow, (weft_cost_how){.lag = 1, .wire = WEFT_WIRE_F16});
    near(narrow, wide / 2);
    weft_graph_release(&g);
}

static void a_class_without_speed_is_named(void **state)
{
    const weft_cost_how how = {.silent = true};
    weft_cluster c = two_nodes;
    weft_graph g = conv_net();
    double s;

    (void)state;
    c.speed[0] = c.speed[1];
    c.nspeeds = 1;
    assert_int_equal(weft_cost_of(&g, 1, &two, &c, &how, &s), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "\"conv3x3\""));
    weft_graph_release(&g);
}

/* What a patch computes is what it takes when nothing is exchanged, and on two
 * patches the taller one's. */
static void computing_alone_is_a_silent_evaluation(void **state)
{
    static const int one[] = {0, UNITS}, uneven[] = {0, 1, UNITS};
    const weft_cut whole = {.n = 1, .first = one},
                   cut = {.n = 2, .first = uneven};
    const weft_cluster c = two_nodes;
    weft_graph g = conv_net();

    (void)state;
    near(weft_cost_compute(&g, 1, &whole, 0, &c),
         cost(&g, &whole, &c, (weft_cost_how){0}));
    near(weft_cost_compute(&g, 1, &cut, 1, &c),
         cost(&g, &cut, &c, (weft_cost_how){.silent = true}));
    near(weft_cost_compute(&g, 3, &cut, 0, &c) * (UNITS - 1),
         weft_cost_compute(&g, 3, &cut, 1, &c));
    weft_graph_release(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compute_is_operations_over_speed),
        cmocka_unit_test(computing_alone_is_a_silent_evaluation),
        cmocka_unit_test(what_blocks_is_added),
        cmocka_unit_test(the_inside_hides_the_border),
        cmocka_unit_test(shares_hide_each_other),
        cmocka_unit_test(displaced_nothing_is_waited_for),
        cmocka_unit_test(a_slow_link_sets_the_pace),
        cmocka_unit_test(ranks_of_a_node_share_its_port),
        cmocka_unit_test(what_is_put_at_once_arrives_at_once),
        cmocka_unit_test(the_processor_pays_for_messages),
        cmocka_unit_test(who_shares_a_core_takes_turns),
        cmocka_unit_test(others_on_a_core_work_too),
        cmocka_unit_test(a_shared_core_pays_for_all_messages),
        cmocka_unit_test(a_wait_is_time_for_the_other),
        cmocka_unit_test(fewer_bytes_are_quicker_where_the_link_is_slow),
        cmocka_unit_test(borders_are_never_bytes),
        cmocka_unit_test(a_class_without_speed_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
