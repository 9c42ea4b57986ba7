/*
 * A step allocates nothing: every way to the heap is counted while one runs.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/guide/guidance.h"
#include "core/guide/model.h"
#include "core/layer/layer.h"
#include "core/solve/solver.h"

/* The linker sends these calls here: see tests/CMakeLists.txt. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);

static _Atomic int calls;

void *__wrap_malloc(size_t n)
{
    calls++;
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    calls++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    calls++;
    return __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    calls++;
    return __real_aligned_alloc(align, n);
}

enum { UNIT = 4, UNITS = 4, COLUMNS = 16, CHANNELS = 4, STEPS = 5 };

static void make_net(weft_graph *g)
{
    weft_val x, y, t;

    weft_graph_init(g, (weft_cell){UNIT, COLUMNS / 2, COLUMNS}, CHANNELS);
    t = weft_add_sinusoid(g, WEFT_EMBED_TIME, 16, true, 0);
    t = weft_add_linear(g, "time", t, 32, WEFT_SILU);
    x = weft_add_conv(g, "in", g->input, 32, WEFT_CONV(.k = 3, .shift = t));
    y = weft_add_group_norm(g, "norm", x, WEFT_NONE, 8, 1e-5f, WEFT_NONE,
                            WEFT_SILU);
    y = weft_add_conv(g, "down", y, 32, WEFT_CONV(.k = 3, .stride = 2));
    y = weft_add_self_attention(g, "look", y, y, 4, 8, true, false, 1);
    y = weft_add_conv(g, "up", y, 32, WEFT_CONV(.k = 3, .up = 2));
    y = weft_add_group_norm(g, "join", y, x, 8, 1e-5f, WEFT_NONE, WEFT_SILU);
    y = weft_add_conv(g, "out", y, CHANNELS, WEFT_CONV(.k = 3));
    assert_int_equal(weft_graph_finish(g, y), WEFT_OK);
}

typedef struct rig {
    const weft_device *dev;
    weft_graph g;
    weft_layout l;
    weft_pool *pool;
    weft_exchange x;
    char *block, *weights;
    int first[2];
} rig;

static void set_up(rig *r, const char *kernels, int n)
{
    r->first[0] = 0, r->first[1] = UNITS;
    make_net(&r->g);
    assert_int_equal(weft_device_find(kernels, NULL, &r->dev), WEFT_OK);
    assert_int_equal(weft_layout_make(&r->g, r->dev, n,
                                      &(weft_cut){.n = 1, .first = r->first},
                                      &r->l),
                     WEFT_OK);
    assert_int_equal(weft_pool_create(2, NULL, &r->pool), WEFT_OK);
    assert_int_equal(weft_pool_reserve(r->pool, r->l.scratch), WEFT_OK);
    r->block = aligned_alloc(64, (r->l.bytes + 63) / 64 * 64);
    r->weights = aligned_alloc(64, (r->l.weight_bytes + 63) / 64 * 64);
    memset(r->weights, 0, r->l.weight_bytes);
    assert_int_equal(
        weft_exchange_init(&r->x, &weft_solo,
                           &(weft_cut){.n = 1, .me = 0, .first = r->first},
                           WEFT_IN_STEP),
        WEFT_OK);
    assert_int_equal(weft_graph_declare(&r->g, n, &r->x), WEFT_OK);
    assert_int_equal(weft_graph_bind(&r->g, &r->l, r->block, &r->x, 0),
                     WEFT_OK);
}

static void tear_down(rig *r)
{
    weft_exchange_release(&r->x);
    weft_pool_destroy(r->pool);
    weft_layout_release(&r->l);
    weft_graph_release(&r->g);
    free(r->block);
    free(r->weights);
}

/* Allocations of steps 0 .. STEPS of one solver under guidance. */
static int count(rig *r, weft_solver_kind kind)
{
    const weft_run run = {.dev = r->dev,
                          .pool = r->pool,
                          .x = &r->x,
                          .layout = &r->l,
                          .block = r->block,
                          .weights = r->weights};
    const weft_batch b = {UNIT * UNITS, 1, COLUMNS, CHANNELS};
    const weft_field f = {CHANNELS, UNIT * UNITS, COLUMNS, 0, UNIT * UNITS,
                          0,        COLUMNS};
    const weft_solver_opts o = {.kind = kind, .steps = STEPS};
    weft_noise_schedule schedule;
    weft_denoiser *model, *guided;
    weft_solver *s;
    weft_noise noise;
    float *x, *buffer;
    int made;

    assert_int_equal(weft_model_create(&r->g, &run, NULL, &model), WEFT_OK);
    assert_int_equal(
        weft_cfg_create(model, NULL, &(weft_guidance){.scale = 2}, &guided),
        WEFT_OK);
    assert_int_equal(weft_noise_schedule_read(NULL, NULL, kind, &schedule),
                     WEFT_OK);
    assert_int_equal(weft_solver_create(&o, &schedule, &s), WEFT_OK);
    x = calloc(weft_batch_floats(&b), sizeof *x);
    buffer = calloc(weft_solver_buffer_floats(s, &b) + 1, sizeof *buffer);
    assert_int_equal(weft_solver_bind(s, &b, &f, &noise, buffer), WEFT_OK);
    weft_noise_init(&noise, WEFT_RNG_COUNTER, 1);
    calls = 0;
    assert_int_equal(weft_solver_start(s, x), WEFT_OK);
    for (int i = 0; i < STEPS; i++)
        assert_int_equal(weft_solver_step(s, i, &guided, x), WEFT_OK);
    made = calls;
    free(x);
    free(buffer);
    weft_solver_destroy(s);
    weft_noise_schedule_release(&schedule);
    weft_denoiser_destroy(guided);
    weft_denoiser_destroy(model);
    return made;
}

/* All kernels, and all solvers on one of them, of which they know nothing. */
static void steps_allocate_nothing(void **state)
{
    static const char *const kernels[] = {"reference", "lean", "fast"};
    static const int solvers[] = {1, 1, WEFT_SOLVERS};

    (void)state;
    for (int k = 0; k < 3; k++) {
        rig r;

        set_up(&r, kernels[k], 2);
        for (int kind = 0; kind < solvers[k]; kind++)
            assert_int_equal(count(&r, (weft_solver_kind)kind), 0);
        tear_down(&r);
    }
}

static void the_counter_counts(void **state)
{
    void *volatile kept;

    (void)state;
    calls = 0;
    kept = malloc(1);
    free(kept);
    kept = calloc(1, 1);
    free(kept);
    assert_int_equal(calls, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_counter_counts),
        cmocka_unit_test(steps_allocate_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
