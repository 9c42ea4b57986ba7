/*
 * Displaced, with messages that are late at random, the same patches make the
 * same bytes 20 times of 20: between threads, as tests/mpi does between ranks.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/team.h"
#include "tests/woven.h"
#include "tests/wrong.h"

enum { REPEATS = 20, PATCHES = 4 };

static const int rows[] = {0, 2, 3, WOVEN_UNITS}, lines[] = {0, 3, WOVEN_UNITS};
static const int strips[] = {0, 1, WOVEN_STRIPS}, whole[] = {0, WOVEN_UNITS};

static const weft_cut cuts[] = {
    {.n = 3, .first = rows},
    {.n = 4, .first = lines, .across = 2, .strip = strips},
};
enum { CUTS = sizeof cuts / sizeof *cuts };

typedef struct job {
    const weft_graph *g;
    const weft_device *dev;
    float *out[PATCHES];
} job;

static void one_patch(void *arg, int patch, weft_exchange *x)
{
    const job *j = arg;

    weft_woven_run(j->g, j->dev, 1, x, j->out[patch]);
}

/* What each patch has in the end. */
static void weave(job *j, const weft_cut *cut, weft_schedule sched,
                  weft_wrong how)
{
    static weft_team team;

    for (int p = 0; p < PATCHES; p++)
        memset(j->out[p], 0, WOVEN_FLOATS * sizeof(float));
    weft_team_init(&team, cut, sched);
    for (int p = 0; p < cut->n && how; p++)
        weft_wrong_wrap(&team.member[p].base, how);
    weft_team_run(&team, one_patch, j);
    weft_team_release(&team);
}

static bool same(const job *a, const job *b)
{
    for (int p = 0; p < PATCHES; p++)
        if (memcmp(a->out[p], b->out[p], WOVEN_FLOATS * sizeof(float)) != 0)
            return false;
    return true;
}

typedef struct rig {
    weft_graph g;
    job first, again;
} rig;

static void set_up(rig *r)
{
    weft_woven_net(&r->g);
    r->first.g = &r->g;
    assert_int_equal(weft_device_find("fast", NULL, &r->first.dev), WEFT_OK);
    r->again = r->first;
    for (int p = 0; p < PATCHES; p++) {
        r->first.out[p] = calloc(WOVEN_FLOATS, sizeof(float));
        r->again.out[p] = calloc(WOVEN_FLOATS, sizeof(float));
    }
}

static void tear_down(rig *r)
{
    for (int p = 0; p < PATCHES; p++) {
        free(r->first.out[p]);
        free(r->again.out[p]);
    }
    weft_graph_release(&r->g);
}

static void displaced_gives_the_same_bytes_20_times_of_20(void **state)
{
    const weft_schedule sched[] = {
        {.warmup = 1, .lag = 1, .moments = WEFT_OLD_PAIRED},
        {.warmup = 2, .lag = 2, .moments = WEFT_OLD_SHOWN, .refresh = 2},
        {.warmup = 1,
         .lag = 1,
         .moments = WEFT_OLD_PAIRED,
         .wire = WEFT_WIRE_INT8,
         .drift = .5},
    };
    rig r;

    (void)state;
    set_up(&r);
    for (size_t s = 0; s < sizeof sched / sizeof *sched; s++)
        for (int c = 0; c < CUTS; c++) {
            weave(&r.first, &cuts[c], sched[s], WEFT_RIGHT);
            for (int i = 0; i < REPEATS; i++) {
                weave(&r.again, &cuts[c], sched[s], WEFT_SLOW);
                if (!same(&r.first, &r.again))
                    fail_msg("schedule %zu, cut %d: repeat %d differs", s, c,
                             i);
            }
            weave(&r.again, &cuts[c], WEFT_IN_STEP, WEFT_RIGHT);
            assert_false(same(&r.first, &r.again));
        }
    tear_down(&r);
}

/* Part p of the image. */
static bool is_part(const float *part, const weft_cut *cut, int p,
                    const float *image)
{
    const weft_rect r = weft_woven_rect(cut, p);
    const size_t run = (size_t)r.columns * WOVEN_CHANNELS;
    const size_t line = WOVEN_COLUMNS * WOVEN_CHANNELS;

    for (int y = 0; y < r.rows * WOVEN_SAMPLES; y++)
        if (memcmp(part + (size_t)y * run,
                   image + (size_t)(r.row * WOVEN_SAMPLES + y) * line +
                       (size_t)r.column * WOVEN_CHANNELS,
                   run * sizeof(float)) != 0)
            return false;
    return true;
}

static void in_step_it_is_the_image_of_one(void **state)
{
    const weft_cut one = {.n = 1, .first = whole};
    rig r;

    (void)state;
    set_up(&r);
    weave(&r.first, &one, WEFT_IN_STEP, WEFT_RIGHT);
    for (int c = 0; c < CUTS; c++)
        for (int i = 0; i < 3; i++) {
            weave(&r.again, &cuts[c], WEFT_IN_STEP, WEFT_SLOW);
            for (int p = 0; p < cuts[c].n; p++)
                assert_true(
                    is_part(r.again.out[p], &cuts[c], p, r.first.out[0]));
        }
    tear_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_step_it_is_the_image_of_one),
        cmocka_unit_test(displaced_gives_the_same_bytes_20_times_of_20),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
