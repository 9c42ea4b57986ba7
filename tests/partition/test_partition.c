#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/layer/layer.h"
#include "partition/plan.h"
#include "partition/split.h"

static void every_row_is_owned_once_and_evenly(void **state)
{
    int first[65];

    (void)state;
    for (int units = 1; units <= 64; units++)
        for (int n = 1; n <= units; n++) {
            assert_int_equal(weft_split_rows(units * 4, 4, n, NULL, first),
                             WEFT_OK);
            assert_int_equal(first[0], 0);
            assert_int_equal(first[n], units);
            for (int p = 0; p < n; p++) {
                const int mine = first[p + 1] - first[p];

                assert_true(mine == units / n || mine == units / n + 1);
            }
        }
}

static void what_cannot_be_split_is_refused_with_the_numbers(void **state)
{
    int first[65];

    (void)state;
    assert_int_equal(weft_split_rows(32, 4, 9, NULL, first), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "use at most 8 ranks"));
    assert_int_equal(weft_split_rows(30, 4, 2, NULL, first), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "30 latent rows"));
    assert_int_equal(weft_split_rows(32, 0, 2, NULL, first), WEFT_EINPUT);
    assert_int_equal(weft_split_rows(32, 4, 0, NULL, first), WEFT_EINPUT);
}

/* Nothing else is as good: no cut with a unit for everybody has a smaller
 * greatest units / weight. Tried one by one for three patches. */
static void heights_follow_the_weights(void **state)
{
    static const double weights[][3] = {
        {1, 1, 1}, {3, 1, 1}, {1, 2.5, 1}, {0, 1, 0}, {1e-9, 1, 4}};
    int first[4];

    (void)state;
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        for (int units = 3; units <= 20; units++) {
            const double *w = weights[i];
            double best = INFINITY, got = 0;

            for (int a = 1; a < units - 1; a++)
                for (int b = 1; a + b < units; b++)
                    best = fmin(best, fmax(fmax(a / w[0], b / w[1]),
                                           (units - a - b) / w[2]));
            assert_int_equal(weft_split_rows(units, 1, 3, w, first), WEFT_OK);
            assert_int_equal(first[0], 0);
            assert_int_equal(first[3], units);
            for (int p = 0; p < 3; p++) {
                assert_true(first[p + 1] > first[p]);
                got = fmax(got, (first[p + 1] - first[p]) / w[p]);
            }
            assert_true(got == best);
        }
    assert_int_equal(weft_split_rows(64, 4, 2, (const double[]){3, 1}, first),
                     WEFT_OK);
    assert_int_equal(first[1], 12);
}

static void weights_that_are_none_are_refused(void **state)
{
    static const struct {
        double w[2];
        int n;
        const char *why;
    } bad[] = {
        {{1}, 1, "has 1 number for 2 lines"},
        {{1, -0.5}, 2, "-0.5 is no weight"},
        {{NAN, 1}, 2, "nan is no weight"},
        {{1, INFINITY}, 2, "inf is no weight"},
        {{0, 0}, 2, "all of them are 0"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(weft_split_check_weights(bad[i].w, bad[i].n, 2),
                         WEFT_EINPUT);
        assert_non_null(strstr(weft_fail_text(), bad[i].why));
    }
    assert_int_equal(weft_split_check_weights((const double[]){0, 2}, 2, 2),
                     WEFT_OK);
}

/* 88 columns in strips of 32: 32, 32 and 24. */
static void columns_are_cut_at_strips(void **state)
{
    const weft_cell pixels = {.rows = 16, .columns = 64, .width = 176};
    const int lines[] = {0, 2, 3};
    int strip[4];
    weft_cut cut = {.n = 6, .first = lines, .across = 3, .strip = strip};
    weft_rect r;

    (void)state;
    assert_int_equal(weft_split_columns(88, 32, 3, strip), WEFT_OK);
    r = weft_cut_rect(&cut, &pixels, 5);
    assert_int_equal(r.row, 32);
    assert_int_equal(r.rows, 16);
    assert_int_equal(r.column, 128);
    assert_int_equal(r.columns, 48);
    assert_int_equal(weft_cut_rect(&cut, &pixels, 1).columns, 64);
    assert_int_equal(weft_cut_rect(&cut, &pixels, 1).rows, 32);
    assert_int_equal(weft_split_columns(88, 32, 4, strip), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "use at most 3"));
    cut = (weft_cut){.n = 2, .first = lines};
    assert_int_equal(weft_cut_rect(&cut, &pixels, 1).columns, 176);
}

static void expect_grid(int ranks, int patches, int units, int images,
                        int want_patches)
{
    weft_grid g;

    assert_int_equal(weft_grid_make(ranks, 1, patches, units, images, &g),
                     WEFT_OK);
    assert_int_equal(g.patches, want_patches);
    assert_int_equal(g.patches * g.groups, ranks);
}

static void ranks_become_groups(void **state)
{
    weft_grid g;

    (void)state;
    expect_grid(1, 0, 8, 1, 1);
    expect_grid(7, 0, 8, 1, 7);
    expect_grid(7, 1, 8, 7, 1);
    expect_grid(6, 3, 8, 2, 3);
    expect_grid(12, 0, 8, 2, 6); /* more ranks than one image has rows for */
    assert_int_equal(weft_grid_make(9, 1, 0, 8, 1, &g), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "use at most 8 ranks"));
    assert_int_equal(weft_grid_make(5, 1, 2, 8, 9, &g), WEFT_EINPUT);
    assert_int_equal(weft_grid_make(9, 1, 9, 8, 1, &g), WEFT_EINPUT);
    assert_int_equal(weft_grid_make(6, 1, 2, 8, 2, &g), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "3 groups of 2 ranks for 2"));
    /* lines of two */
    assert_int_equal(weft_grid_make(3, 2, 2, 8, 9, &g), WEFT_EINPUT);
    assert_non_null(
        strstr(weft_fail_text(), "6 ranks are not a multiple of the 4"));
    assert_int_equal(weft_grid_make(4, 2, 2, 8, 1, &g), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "2 groups of 4 ranks for 1"));
}

/* ---- volume, counted by hand --------------------------------------------- */

static void small_net(weft_graph *g)
{
    weft_val x, y;

    weft_graph_init(g, (weft_cell){4, 8, 16}, 4);
    x = weft_add_conv(g, "a", g->input, 8, WEFT_CONV(.k = 3));
    y = weft_add_group_norm(g, "b", x, WEFT_NONE, 2, 1e-5f, WEFT_NONE,
                            WEFT_SILU);
    y = weft_add_self_attention(g, "c", y, x, 2, 4, true, false, 1);
    assert_int_equal(weft_graph_finish(g, y), WEFT_OK);
}

static void volume_is_what_the_layers_say(void **state)
{
    const int first[] = {0, 2, 3, 6}; /* 24 rows in three patches */
    const weft_cut cut = {.n = 3, .me = 0, .first = first};
    weft_graph g;
    weft_volume v;

    (void)state;
    small_net(&g);
    v = weft_plan_graph_volume(&g, 2, &cut, WEFT_IN_STEP, false);
    /* one row of 2 x 16 x 4 floats each way over two edges */
    assert_int_equal(v.messages[WEFT_BORDER], 4);
    assert_int_equal(v.bytes[WEFT_BORDER], 4 * 2 * 16 * 4 * 4);
    /* two doubles of every cell, 6 x 2, for 2 groups and 2 samples to two
     * others */
    assert_int_equal(v.messages[WEFT_MOMENTS], 6);
    assert_int_equal(v.bytes[WEFT_MOMENTS], 6 * 2 * 2 * 2 * 2 * 8 * 2);
    /* every row's keys and values likewise, for half of the heads at a time */
    assert_int_equal(v.messages[WEFT_KV], 2 * 6);
    assert_int_equal(v.bytes[WEFT_KV], 24 * 2 * 16 * 2 * 8 * 4 * 2);
    weft_graph_release(&g);
}

/* 24 rows and 16 columns in 2 x 2 patches: each has a neighbour at a side, one
 * above or below and one at a corner. */
static void columns_and_corners_are_counted(void **state)
{
    const int first[] = {0, 2, 6}, strip[] = {0, 1, 2};
    const weft_cut cut = {.n = 4, .first = first, .across = 2, .strip = strip};
    weft_graph g;
    weft_volume v;

    (void)state;
    small_net(&g);
    v = weft_plan_graph_volume(&g, 2, &cut, WEFT_IN_STEP, false);
    /* a column of 24 and a row of 16 pixels each way, a corner to each */
    assert_int_equal(v.messages[WEFT_BORDER], 4 * 3);
    assert_int_equal(v.bytes[WEFT_BORDER], (2 * 24 + 2 * 16 + 4) * 2 * 4 * 4);
    assert_int_equal(v.messages[WEFT_MOMENTS], 4 * 3);
    assert_int_equal(v.bytes[WEFT_MOMENTS], 6 * 2 * 2 * 2 * 2 * 8 * 3);
    weft_graph_release(&g);
}

/* ---- plans --------------------------------------------------------------- */

/* Five steps, then the picture. */
static const weft_stage stages[] = {
    {.step = 0, .n = 1}, {.step = 1, .n = 1}, {.step = 2, .n = 1},
    {.step = 3, .n = 1}, {.step = 4, .n = 1}, {.step = 5, .leaves = true}};

static weft_cluster machine;

static weft_plan asked(const weft_graph *g, int ranks)
{
    weft_plan p = {.ranks = ranks,
                   .width = 64,
                   .height = 96,
                   .rows = 24,
                   .columns = 16,
                   .channels = 4,
                   .across = 1,
                   .unit = 4,
                   .strip = 8,
                   .images = 3,
                   .batch = 2,
                   .steps = 5,
                   .threads = 2,
                   .row_scale = 4,
                   .picture_pixel_bytes = 3,
                   .kernels = "reference",
                   .nnets = 1};

    p.role[0] = (weft_role_spec){.name = "strong", .denoises = true};
    p.nroles = 1;
    p.vae = -1;
    p.share = true;
    p.flights = 1;
    p.stage = stages;
    p.nstages = 6;
    p.net[0] = (weft_plan_net){.graph = g, .conditions = 1, .evaluations = 5};
    assert_int_equal(weft_device_find("reference", NULL, &p.dev), WEFT_OK);
    machine = weft_cost_nominal(p.dev, p.threads);
    p.machine = &machine;
    p.costs = "nominal";
    return p;
}

static void a_plan_holds_for_any_count(void **state)
{
    weft_graph g;

    (void)state;
    small_net(&g);
    for (int ranks = 1; ranks <= 6; ranks++) {
        weft_plan p = asked(&g, ranks);

        assert_int_equal(weft_plan_make(&p), WEFT_OK);
        assert_true(weft_plan_is_valid(&p));
        assert_int_equal(p.grid.patches, ranks);
        /* no rank holds more than its own rows of any feature map */
        assert_int_equal(p.net[0].max_rows_image, 24);
        assert_int_equal(p.net[0].max_rows_held, 4 * ((6 + ranks - 1) / ranks));
        weft_plan_release(&p);
    }
    weft_graph_release(&g);
}

/* Displaced, with any bytes between the members of its schedule. */
static weft_plan displaced(weft_graph *g, int fill)
{
    const weft_schedule s = {.warmup = 1, .lag = 1, .wire = WEFT_WIRE_F32};
    weft_plan p = asked(g, 2);

    memset(&p.sched, fill, sizeof p.sched);
    p.sched.warmup = s.warmup;
    p.sched.lag = s.lag;
    p.sched.moments = s.moments;
    p.sched.wire = s.wire;
    p.sched.refresh = s.refresh;
    p.sched.drift = s.drift;
    return p;
}

static void plans_differ_by_hash(void **state)
{
    weft_graph g;
    weft_plan a, b;

    (void)state;
    small_net(&g);
    a = asked(&g, 2), b = asked(&g, 2);
    assert_int_equal(weft_plan_make(&a), WEFT_OK);
    assert_int_equal(weft_plan_make(&b), WEFT_OK);
    assert_true(a.hash == b.hash);
    weft_plan_release(&b);
    b = asked(&g, 2), b.identity = 1;
    assert_int_equal(weft_plan_make(&b), WEFT_OK);
    assert_true(a.hash != b.hash);
    weft_plan_release(&b);
    b = asked(&g, 2), b.steps = 6;
    assert_int_equal(weft_plan_make(&b), WEFT_OK);
    assert_true(a.hash != b.hash);
    weft_plan_release(&b);
    weft_plan_release(&a);
    a = displaced(&g, 0), b = displaced(&g, 0xff);
    assert_int_equal(weft_plan_make(&a), WEFT_OK);
    assert_int_equal(weft_plan_make(&b), WEFT_OK);
    assert_true(a.hash == b.hash);
    weft_plan_release(&b);
    b = displaced(&g, 0), b.sched.warmup = 2;
    assert_int_equal(weft_plan_make(&b), WEFT_OK);
    assert_true(a.hash != b.hash);
    weft_plan_release(&b);
    weft_plan_release(&a);
    weft_graph_release(&g);
}

static void too_many_ranks_are_refused(void **state)
{
    weft_graph g;
    weft_plan p;

    (void)state;
    small_net(&g);
    p = asked(&g, 7);
    p.images = 1;
    assert_int_equal(weft_plan_make(&p), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "7 ranks"));
    weft_graph_release(&g);
}

/* ---- layout -------------------------------------------------------------- */

static bool overlap(size_t a, size_t an, size_t b, size_t bn)
{
    return a < b + bn && b < a + an;
}

static size_t bytes_of(const weft_value *v, const weft_layout *l,
                       size_t *before)
{
    const size_t row = (size_t)l->n * (size_t)v->w * (size_t)v->c * 4;
    const int units = v->whole ? l->total_units : l->units;
    const size_t rows =
        v->rows_per_unit ? (size_t)(v->rows_per_unit * units) : 1;

    *before = row * (size_t)v->above;
    return row * (rows + (size_t)v->above + (size_t)v->below);
}

/* Values that live together lie apart, except one that takes another's place
 * in the very node where that one is read last. */
static void living_values_lie_apart(void **state)
{
    const int first[] = {0, 4, 6};
    const weft_cut cut = {.n = 2, .me = 1, .first = first};
    const weft_device *dev;
    weft_graph g;
    weft_layout l;

    (void)state;
    small_net(&g);
    assert_int_equal(weft_device_find("reference", NULL, &dev), WEFT_OK);
    assert_int_equal(weft_layout_make(&g, dev, 3, &cut, &l), WEFT_OK);
    for (int a = 0; a < g.nvalues; a++)
        for (int b = 0; b < a; b++) {
            const weft_value *x = &g.value[a], *y = &g.value[b];
            size_t xb, yb;
            const size_t xn = bytes_of(x, &l, &xb), yn = bytes_of(y, &l, &yb);

            if (x->made > y->last || y->made > x->last) continue;
            if (x->made == y->last && l.offset[a] == l.offset[b]) continue;
            assert_false(overlap(l.offset[a] - xb, xn, l.offset[b] - yb, yn));
            assert_true(l.offset[a] - xb + xn <= l.bytes);
        }
    weft_layout_release(&l);
    weft_graph_release(&g);
}

static void sizes_that_overflow_are_refused(void **state)
{
    const int first[] = {0, 1 << 20};
    const weft_cut cut = {.n = 1, .first = first};
    const weft_device *dev;
    weft_graph g;
    weft_layout l;

    (void)state;
    weft_graph_init(&g, (weft_cell){1 << 20, 1 << 30, 1 << 30}, 1 << 20);
    assert_int_equal(
        weft_graph_finish(&g, weft_add_map(&g, g.input, 1, 0, WEFT_LINEAR)),
        WEFT_OK);
    assert_int_equal(weft_device_find("reference", NULL, &dev), WEFT_OK);
    assert_int_equal(weft_layout_make(&g, dev, 1 << 20, &cut, &l), WEFT_EINPUT);
    weft_graph_release(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_owned_once_and_evenly),
        cmocka_unit_test(what_cannot_be_split_is_refused_with_the_numbers),
        cmocka_unit_test(heights_follow_the_weights),
        cmocka_unit_test(weights_that_are_none_are_refused),
        cmocka_unit_test(columns_are_cut_at_strips),
        cmocka_unit_test(ranks_become_groups),
        cmocka_unit_test(volume_is_what_the_layers_say),
        cmocka_unit_test(columns_and_corners_are_counted),
        cmocka_unit_test(a_plan_holds_for_any_count),
        cmocka_unit_test(plans_differ_by_hash),
        cmocka_unit_test(too_many_ranks_are_refused),
        cmocka_unit_test(living_values_lie_apart),
        cmocka_unit_test(sizes_that_overflow_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
