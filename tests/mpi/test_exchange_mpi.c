/*
 * A net over the ranks of this job gives each rank the bytes that one rank
 * would have there, and sends just the messages that the plan predicts.
 * Displaced, it gives the same bytes every time, slow ranks or not, and other
 * ones than in step.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/layer/layer.h"
#include "mpi/exchange_mpi.h"
#include "partition/plan.h"
#include "partition/split.h"
#include "tests/wrong.h"

enum { UNIT = 4, UNITS = 7, COLUMNS = 12, SAMPLES = 2, EVALUATIONS = 5 };

static weft_comm *world;

/* Convolutions of every kind of border, a norm over two inputs, attention. */
static void make_net(weft_graph *g)
{
    weft_val x, y, z;

    weft_graph_init(g, (weft_cell){UNIT, 8, COLUMNS}, 4);
    x = weft_add_conv(g, "in", g->input, 16, WEFT_CONV(.k = 3));
    y = weft_add_group_norm(g, "norm", x, WEFT_NONE, 4, 1e-5f, WEFT_NONE,
                            WEFT_SILU);
    y = weft_add_conv(g, "down", y, 24, WEFT_CONV(.k = 3, .stride = 2));
    y = weft_add_self_attention(g, "look", y, y, 4, 6, true, false, 1);
    y = weft_add_conv(g, "up", y, 16, WEFT_CONV(.k = 3, .up = 2));
    z = weft_add_group_norm(g, "join", y, x, 8, 1e-5f, WEFT_NONE, WEFT_SILU);
    z = weft_add_conv(g, "out", z, 4, WEFT_CONV(.k = 3));
    assert_int_equal(weft_graph_finish(g, z), WEFT_OK);
}

static float any(uint32_t i)
{
    i = (i ^ 61u ^ (i >> 16)) * 9u;
    i = (i ^ (i >> 4)) * 0x27d4eb2du;
    return (float)(int)((i ^ (i >> 15)) % 2001u) / 1000.0f - 1.0f;
}

static char *make_weights(const weft_graph *g, const weft_device *dev,
                          const weft_layout *l)
{
    char *blob = aligned_alloc(64, l->weight_bytes);

    for (int i = 0; i < g->nweights; i++) {
        const weft_weight *w = &g->weight[i];
        const weft_conv *v = &w->conv;
        const size_t n = w->kind == WEFT_WEIGHT_CONV
                             ? (size_t)(v->kh * v->kw) *
                                   (size_t)(v->cin[0] + v->cin[1]) *
                                   (size_t)v->cout
                             : w->count;
        float *plain = malloc(n * sizeof *plain);
        const weft_source src = {plain, WEFT_F32, v->cout};

        for (size_t k = 0; k < n; k++)
            plain[k] = any((uint32_t)(k * 31 + (size_t)i * 7919)) * 0.2f;
        if (w->kind == WEFT_WEIGHT_CONV)
            dev->weight_pack(v, &src, 1, blob + l->weight[i], 0, 1);
        else
            memcpy(blob + l->weight[i], plain, n * sizeof *plain);
        free(plain);
    }
    return blob;
}

/* One rank's share of everything; `out` gets the last evaluation's output. */
static weft_traffic evaluate(const weft_graph *g, const weft_device *dev,
                             int threads, const weft_cut *cut, weft_exchange *x,
                             float *out)
{
    const size_t line = (size_t)SAMPLES * COLUMNS * 4;
    const size_t rows = (size_t)(UNIT * weft_cut_units(cut, cut->me));
    const int row0 = UNIT * cut->first[cut->me];
    weft_layout l;
    weft_pool *pool;
    char *block, *weights;
    weft_traffic traffic;

    assert_int_equal(weft_layout_make(g, dev, SAMPLES, cut, &l), WEFT_OK);
    assert_int_equal(weft_pool_create(threads, NULL, &pool), WEFT_OK);
    assert_int_equal(weft_pool_reserve(pool, l.scratch), WEFT_OK);
    block = aligned_alloc(64, (l.bytes + 63) / 64 * 64);
    weights = make_weights(g, dev, &l);
    memset(block, 0xff, l.bytes); /* not-a-number wherever nobody writes */
    assert_int_equal(weft_graph_declare(g, SAMPLES, x), WEFT_OK);
    assert_int_equal(weft_graph_bind(g, &l, block, x, 0), WEFT_OK);
    for (int t = 0; t < EVALUATIONS; t++) {
        weft_run run = {.dev = dev,
                        .pool = pool,
                        .x = x,
                        .layout = &l,
                        .block = block,
                        .weights = weights};
        float *in = weft_run_value(&run, g->input);

        for (size_t i = 0; i < rows * line; i++)
            in[i] = any(
                (uint32_t)((size_t)row0 * line + i + 1000003u * (unsigned)t));
        assert_int_equal(weft_graph_eval(g, &run), WEFT_OK);
        memcpy(out, weft_run_value(&run, g->output), rows * line * sizeof *out);
    }
    traffic = x->traffic;
    weft_pool_destroy(pool);
    weft_layout_release(&l);
    free(block);
    free(weights);
    return traffic;
}

static void expect_planned(const weft_graph *g, const weft_cut *cut,
                           weft_schedule sched, const weft_traffic *t)
{
    const weft_volume f = weft_plan_graph_volume(g, SAMPLES, cut, sched, true);
    const weft_volume v = weft_plan_graph_volume(g, SAMPLES, cut, sched, false);
    const weft_volume d = weft_plan_graph_displaced(g, SAMPLES, cut, sched);
    const uint64_t displaced =
        (uint64_t)weft_plan_displaced(sched, EVALUATIONS);
    const uint64_t in_step = EVALUATIONS - displaced - 1; /* but the first */
    double sum[2 * WEFT_CLASSES];

    for (int c = 0; c < WEFT_CLASSES; c++) {
        sum[c] = (double)t->bytes[c];
        sum[WEFT_CLASSES + c] = (double)t->messages[c];
    }
    assert_int_equal(weft_comm_sum(world, sum, 2 * WEFT_CLASSES), WEFT_OK);
    for (int c = 0; c < WEFT_CLASSES; c++) {
        assert_true(sum[c] == (double)(f.bytes[c] + v.bytes[c] * in_step +
                                       d.bytes[c] * displaced));
        assert_true(sum[WEFT_CLASSES + c] ==
                    (double)(f.messages[c] + v.messages[c] * in_step +
                             d.messages[c] * displaced));
    }
}

static void same_bytes_with(const char *kernels, int threads)
{
    const size_t line = (size_t)SAMPLES * COLUMNS * 4;
    float *mine = calloc(UNIT * UNITS * line, sizeof *mine);
    float *whole = calloc(UNIT * UNITS * line, sizeof *whole);
    const int alone[] = {0, UNITS};
    const weft_cut one = {.n = 1, .me = 0, .first = alone};
    const weft_device *dev;
    int first[UNITS + 1];
    weft_cut cut = {.n = weft_comm_size(world),
                    .me = weft_comm_rank(world),
                    .first = first};
    weft_traffic traffic;
    weft_exchange *x, solo;
    weft_graph g;

    make_net(&g);
    assert_int_equal(weft_device_find(kernels, NULL, &dev), WEFT_OK);
    assert_int_equal(weft_split_rows(UNIT * UNITS, UNIT, cut.n, NULL, first),
                     WEFT_OK);
    assert_int_equal(weft_exchange_mpi_create(world, &cut, WEFT_IN_STEP, &x),
                     WEFT_OK);
    traffic = evaluate(&g, dev, threads, &cut, x, mine);
    assert_int_equal(weft_exchange_init(&solo, &weft_solo, &one, WEFT_IN_STEP),
                     WEFT_OK);
    evaluate(&g, dev, 1, &one, &solo, whole);
    assert_memory_equal(mine, whole + (size_t)(UNIT * first[cut.me]) * line,
                        (size_t)(UNIT * weft_cut_units(&cut, cut.me)) * line *
                            sizeof *mine);
    expect_planned(&g, &cut, WEFT_IN_STEP, &traffic);
    weft_exchange_release(&solo);
    weft_exchange_mpi_destroy(x);
    weft_graph_release(&g);
    free(mine);
    free(whole);
}

/* Root mean square of the difference, against the second. */
static double distance(const float *a, const float *b, size_t n)
{
    double difference = 0, all = 0;

    for (size_t i = 0; i < n; i++) {
        difference += pow((double)a[i] - b[i], 2);
        all += pow(b[i], 2);
    }
    return sqrt(difference / all);
}

/* My rows after the last evaluation. */
static void displaced(const weft_graph *g, weft_schedule sched, weft_wrong how,
                      float *out)
{
    int first[UNITS + 1];
    const weft_cut cut = {.n = weft_comm_size(world),
                          .me = weft_comm_rank(world),
                          .first = first};
    const weft_device *dev;
    weft_traffic traffic;
    size_t bytes;
    weft_exchange *x;

    assert_int_equal(weft_device_find("fast", NULL, &dev), WEFT_OK);
    assert_int_equal(weft_split_rows(UNIT * UNITS, UNIT, cut.n, NULL, first),
                     WEFT_OK);
    assert_int_equal(weft_exchange_mpi_create(world, &cut, sched, &x), WEFT_OK);
    if (how) weft_wrong_wrap(x, how);
    traffic = evaluate(g, dev, 2, &cut, x, out);
    expect_planned(g, &cut, sched, &traffic);
    assert_int_equal(traffic.max_age,
                     cut.n > 1 && sched.warmup < EVALUATIONS ? sched.lag : 0);
    assert_int_equal(weft_plan_graph_past(g, SAMPLES, &cut, sched, &bytes),
                     WEFT_OK);
    assert_true((bytes > 0) ==
                (cut.n > 1 && (sched.lag || sched.wire != WEFT_WIRE_F32)));
    weft_exchange_mpi_destroy(x);
}

static void displaced_gives_the_same_bytes_every_time(void **state)
{
    const size_t floats = (size_t)UNIT * UNITS * SAMPLES * COLUMNS * 4;
    const weft_old norm[] = {WEFT_OLD_PAIRED, WEFT_OLD_SHOWN, WEFT_OLD_REFUSED,
                             WEFT_OLD_ABSENT};
    float *a = calloc(floats, sizeof *a), *b = calloc(floats, sizeof *b);
    weft_graph g;

    (void)state;
    make_net(&g);
    for (int lag = 1; lag <= 2; lag++)
        for (int k = 0; k < 4; k++) {
            const weft_schedule sched = {
                .warmup = 2, .lag = lag, .moments = norm[k]};

            displaced(&g, sched, WEFT_RIGHT, a);
            for (int i = 0; i < 5; i++) {
                displaced(&g, sched, WEFT_SLOW, b);
                assert_memory_equal(a, b, floats * sizeof *a);
            }
            displaced(&g, (weft_schedule){.warmup = 9, .lag = lag}, WEFT_RIGHT,
                      b);
            assert_true(weft_comm_size(world) == 1 ||
                        memcmp(a, b, floats * sizeof *a) != 0);
        }
    weft_graph_release(&g);
    free(a);
    free(b);
}

/* Coded messages: the same bytes every time, as many as planned, and a result
 * near that of f32. */
static void coded_gives_nearly_the_same(void **state)
{
    const size_t floats = (size_t)UNIT * UNITS * SAMPLES * COLUMNS * 4;
    float *plain = calloc(floats, sizeof *plain);
    float *a = calloc(floats, sizeof *a), *b = calloc(floats, sizeof *b);
    weft_graph g;

    (void)state;
    make_net(&g);
    for (int lag = 0; lag <= 2; lag++)
        for (int w = WEFT_WIRE_F16; w < WEFT_WIRES; w++) {
            weft_schedule sched = {
                .warmup = lag, .lag = lag, .moments = WEFT_OLD_PAIRED};

            displaced(&g, sched, WEFT_RIGHT, plain);
            sched.wire = (weft_wire)w;
            displaced(&g, sched, WEFT_RIGHT, a);
            displaced(&g, sched, WEFT_SLOW, b);
            assert_memory_equal(a, b, floats * sizeof *a);
            assert_true(distance(a, plain, floats) <
                        (w == WEFT_WIRE_BF16 ? 1e-2 : 1e-3));
            assert_true(weft_comm_size(world) == 1 ||
                        memcmp(a, plain, floats * sizeof *a) != 0);
        }
    weft_graph_release(&g);
    free(plain);
    free(a);
    free(b);
}

static void reference_gives_the_same_bytes(void **state)
{
    (void)state;
    same_bytes_with("reference", 1);
}

static void fast_gives_the_same_bytes(void **state)
{
    (void)state;
    same_bytes_with("fast", 1);
    same_bytes_with("fast", 2);
}

static void lean_gives_the_same_bytes(void **state)
{
    (void)state;
    same_bytes_with("lean", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_gives_the_same_bytes),
        cmocka_unit_test(fast_gives_the_same_bytes),
        cmocka_unit_test(lean_gives_the_same_bytes),
        cmocka_unit_test(displaced_gives_the_same_bytes_every_time),
        cmocka_unit_test(coded_gives_nearly_the_same),
    };
    int failed;

    if (weft_comm_open(&world) != WEFT_OK) return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed) weft_comm_abort(world);
    weft_comm_close(world);
    return 0;
}
