/*
 * What is on its way while a layer computes: the order in which messages begin
 * and are waited for, on a lower patch, whose peer's keys never come early.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/checked.h"
#include "core/layer/layer.h"

enum { UNIT = 4, W = 8, C = 8 };

/* ---- a peer that keeps one waiting --------------------------------------- */

/* "s2 w1": what I send of slot 2 began to leave, then I waited for slot 1. */
static char said[128];

static void say(char what, int slot)
{
    const size_t n = strlen(said);
    char word[] = {what, (char)('0' + slot), ' ', '\0'};

    if (!strstr(said, word)) memcpy(said + n, word, sizeof word);
}

static weft_status prepare(weft_exchange *x, weft_mail *m)
{
    (void)x, (void)m;
    return WEFT_OK;
}

static weft_status start(weft_exchange *x, weft_mail *m)
{
    (void)x;
    if (m->out) say('s', m->tag);
    return WEFT_OK;
}

static weft_status come(weft_exchange *x, weft_mail *m, int i)
{
    (void)x;
    if (m->out) return WEFT_OK;
    say('w', m->tag);
    memset(m->parcel[i].at, 0, m->parcel[i].bytes);
    return WEFT_OK;
}

static bool arrived(weft_exchange *x, weft_mail *m, int i)
{
    (void)x, (void)i;
    return m->out;
}

static void forget(weft_exchange *x, weft_mail *m) { (void)x, (void)m; }

static const weft_transport slow = {.name = "slow",
                                    .prepare = prepare,
                                    .start = start,
                                    .wait = come,
                                    .arrived = arrived,
                                    .forget = forget};

/* ---- one evaluation ------------------------------------------------------ */

static void *zeros(size_t bytes)
{
    void *block = aligned_alloc(64, (bytes + 127) / 64 * 64);

    assert_non_null(block);
    return memset(block, 0, (bytes + 127) / 64 * 64);
}

static void evaluate(const weft_graph *g, weft_exchange *x)
{
    weft_layout layout;
    weft_run run = {.x = x, .layout = &layout};

    assert_int_equal(weft_device_find("reference", NULL, &run.dev), WEFT_OK);
    assert_int_equal(weft_layout_make(g, run.dev, 1, &x->cut, &layout),
                     WEFT_OK);
    assert_int_equal(weft_pool_create(1, NULL, &run.pool), WEFT_OK);
    assert_int_equal(weft_pool_reserve(run.pool, layout.scratch), WEFT_OK);
    run.block = zeros(layout.bytes);
    run.weights = zeros(layout.weight_bytes);
    assert_int_equal(weft_graph_declare(g, 1, x), WEFT_OK);
    assert_int_equal(weft_graph_bind(g, &layout, run.block, x, 0), WEFT_OK);
    assert_int_equal(weft_graph_eval(g, &run), WEFT_OK);
    weft_exchange_release(x);
    free(run.block);
    free((void *)run.weights);
    weft_pool_destroy(run.pool);
    weft_layout_release(&layout);
}

/* A checked exchange would refuse what this peer sends. */
static void trust(weft_exchange *x)
{
    if (!x->checks) return;
    x->via = x->checks->inner;
    free(x->checks);
    x->checks = NULL;
}

/* What is said by the lower of two patches in one attention. */
static const char *attention(int heads)
{
    static const int first[] = {0, 1, 2};
    const weft_cut cut = {.n = 2, .me = 1, .first = first};
    weft_exchange x;
    weft_graph g;

    said[0] = '\0';
    weft_graph_init(&g, (weft_cell){UNIT, W, W}, C);
    assert_int_equal(weft_graph_finish(&g, weft_add_self_attention(
                                               &g, "at", g.input, WEFT_NONE,
                                               heads, 2, false, false, 1)),
                     WEFT_OK);
    assert_int_equal(weft_exchange_init(&x, &slow, &cut, WEFT_IN_STEP),
                     WEFT_OK);
    trust(&x);
    evaluate(&g, &x);
    weft_graph_release(&g);
    return said;
}

/* Nothing is waited for before the next share is on its way, where there are
 * shares enough for two of them in half of the memory. */
static void the_next_share_travels_meanwhile(void **state)
{
    (void)state;
    assert_string_equal(attention(4), "s0 s1 w0 s2 w1 s3 w2 w3 ");
    assert_string_equal(attention(8), "s0 s1 w0 s2 w1 s3 w2 w3 ");
    assert_string_equal(attention(10), "s0 s1 w0 s2 w1 s3 w2 s4 w3 w4 ");
    assert_string_equal(attention(20), "s0 s1 w0 s2 w1 s3 w2 s4 w3 w4 ");
    assert_string_equal(attention(2), "s0 w0 s1 w1 ");
    assert_string_equal(attention(1), "s0 w0 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_share_travels_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
