/*
 * What building a layer leaves in the graph: borders, weights, sizes; and what
 * it refuses.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/layer/layer.h"

/* ---- what layers ask for ------------------------------------------------- */

/* Rows wanted of the neighbours, as known from the arithmetic of padding. */
static void convs_want_what_they_reach(void **state)
{
    const struct {
        weft_conv_opts o;
        int nwants, above, below;
    } is[] = {
        {WEFT_CONV(.k = 3), 1, 1, 1},
        {WEFT_CONV(.k = 3, .stride = 2), 1, 1, 0},
        {WEFT_CONV(.k = 3, .stride = 2, .pad_given = true), 1, 0, 1},
        {WEFT_CONV(.k = 3, .up = 2), 1, 1, 1},
        {WEFT_CONV(.k = 1), 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof is / sizeof *is; i++) {
        weft_graph g;

        weft_graph_init(&g, (weft_cell){4, 8, 8}, 3);
        assert_int_equal(
            weft_graph_finish(&g, weft_add_conv(&g, "a", 0, 5, is[i].o)),
            WEFT_OK);
        assert_int_equal(g.node[0].nwants, is[i].nwants);
        assert_int_equal(g.value[0].above, is[i].above);
        assert_int_equal(g.value[0].below, is[i].below);
        weft_graph_release(&g);
    }
}

static void weights_have_names_and_shapes(void **state)
{
    const int kv[] = {6, 4, 0, 0}, conv[] = {5, 4, 3, 3};
    weft_graph g;

    (void)state;
    weft_graph_init(&g, (weft_cell){4, 8, 8}, 4);
    snprintf(g.prefix, sizeof g.prefix, "decoder.");
    weft_add_self_attention(&g, "at", 0, WEFT_NONE, 2, 3, false, true, 1);
    weft_add_conv(&g, "out", 0, 5, WEFT_CONV(.k = 3, .no_bias = true));
    assert_int_equal(g.nweights,
                     6); /* keys and values: a share for each head */
    assert_int_equal(g.weight[0].nsrc, 2);
    assert_int_equal(g.weight[0].parts, 2);
    assert_int_equal(g.weight[1].part, 1);
    assert_string_equal(g.weight[0].name[0], "decoder.at.key.weight");
    assert_string_equal(g.weight[0].name[1], "decoder.at.value.weight");
    assert_memory_equal(g.weight[0].shape[1], kv, sizeof kv);
    assert_string_equal(g.weight[2].name[0], "decoder.at.query.weight");
    assert_string_equal(g.weight[4].name[0], "decoder.at.proj_attn.bias");
    assert_string_equal(g.weight[5].name[0], "decoder.out.weight");
    assert_memory_equal(g.weight[5].shape[0], conv, sizeof conv);
    weft_graph_release(&g);
}

/* 2 operations for each multiply-add. */
static void flops_are_honest(void **state)
{
    const weft_node *d;
    weft_graph g;

    (void)state;
    weft_graph_init(&g, (weft_cell){4, 8, 8}, 3);
    weft_add_conv(&g, "a", 0, 5, WEFT_CONV(.k = 3, .stride = 2));
    weft_add_self_attention(&g, "b", 0, 0, 2, 4, true, false, 1);
    d = g.node;
    assert_float_equal(d[0].ops->flops(&g, 0, 2, 3, 5),
                       2. * 3 * 3 * 3 * 5 * (2 * 3 * 2 * 4), 0);
    assert_float_equal(d[1].ops->flops(&g, 1, 1, 1, 5),
                       2. * 3 * 8 * 32 * 4 + 4. * 8 * 32 * 160, 0);
    weft_graph_release(&g);
}

/* ---- what builders refuse ------------------------------------------------ */

static void odd_stride(weft_graph *g)
{
    weft_add_conv(g, "bad", 0, 4, WEFT_CONV(.k = 3, .stride = 2));
}

static void odd_halves(weft_graph *g) { weft_add_resample(g, 0, false); }

static void odd_groups(weft_graph *g)
{
    weft_add_group_norm(g, "bad", 0, WEFT_NONE, 4, 1, WEFT_NONE, WEFT_LINEAR);
}

static void no_groups(weft_graph *g)
{
    weft_add_group_norm(g, "bad", 0, WEFT_NONE, 0, 1, WEFT_NONE, WEFT_LINEAR);
}

static void other_residual(weft_graph *g)
{
    weft_add_conv(g, "bad", 0, 7, WEFT_CONV(.k = 3, .res = 0));
}

static void other_shift(weft_graph *g)
{
    const weft_val t = weft_add_sinusoid(g, WEFT_EMBED_TIME, 8, true, 0);

    weft_add_conv(g, "bad", 0, 7, WEFT_CONV(.k = 3, .shift = t));
}

static void too_many_channels(weft_graph *g)
{
    weft_add_conv(g, "bad", 0, 2000000000, WEFT_CONV(.k = 3));
}

static void too_many_heads(weft_graph *g)
{
    weft_add_self_attention(g, "bad", 0, 0, 70000, 70000, true, false, 1);
}

static void unequal_sum(weft_graph *g)
{
    weft_add_sum(g, weft_add_sinusoid(g, WEFT_EMBED_TIME, 8, true, 0),
                 weft_add_sinusoid(g, WEFT_EMBED_TIME, 6, true, 0));
}

static void odd_fourier(weft_graph *g)
{
    weft_add_fourier(g, "bad", WEFT_EMBED_TIME, 7, true, true);
}

static void endless_sinusoid(weft_graph *g)
{
    weft_add_sinusoid(g, WEFT_EMBED_TIME, 8, true, 4);
}

static void shapes_that_do_not_fit_are_refused(void **state)
{
    void (*const is[])(weft_graph *) = {
        odd_stride,     odd_halves,  odd_groups,        no_groups,
        other_residual, other_shift, too_many_channels, too_many_heads,
        unequal_sum,    odd_fourier, endless_sinusoid};

    (void)state;
    for (size_t i = 0; i < sizeof is / sizeof *is; i++) {
        weft_graph g;
        int nodes;

        weft_graph_init(&g, (weft_cell){3, 7, 7}, 6);
        is[i](&g);
        assert_int_equal(g.status, WEFT_EINPUT);
        assert_non_null(g.why);
        nodes = g.nnodes;
        assert_int_equal(weft_add_conv(&g, "more", 0, 4, WEFT_CONV(.k = 3)),
                         WEFT_NONE);
        assert_int_equal(weft_add_resample(&g, 0, true), WEFT_NONE);
        assert_int_equal(g.nnodes, nodes);
        assert_int_equal(weft_graph_finish(&g, 0), WEFT_EINPUT);
        weft_graph_release(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convs_want_what_they_reach),
        cmocka_unit_test(weights_have_names_and_shapes),
        cmocka_unit_test(flops_are_honest),
        cmocka_unit_test(shapes_that_do_not_fit_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
