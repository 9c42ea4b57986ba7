/*
 * The pool: every task once, by any number of threads, many short runs on end;
 * polling, scratch, denormals, refusals.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "core/pool.h"

enum { TASKS = 1000 };

typedef struct tally {
    weft_pool *pool;
    int done[TASKS];    /* not atomic: tasks must not share */
    atomic_int workers; /* bit per worker seen */
    atomic_int wrong;
} tally;

static void count_task(void *arg, int i, int worker)
{
    tally *t = arg;
    if (worker < 0 || worker >= weft_pool_size(t->pool))
        atomic_fetch_add(&t->wrong, 1);
    atomic_fetch_or(&t->workers, 1 << worker);
    t->done[i]++;
}

static weft_pool *new_pool(int threads)
{
    weft_pool *p = NULL;
    assert_int_equal(weft_pool_create(threads, NULL, &p), WEFT_OK);
    assert_int_equal(weft_pool_size(p), threads);
    return p;
}

static void test_every_task_once(void **unused)
{
    (void)unused;
    for (int threads = 1; threads <= 5; threads++) {
        tally t = {.pool = new_pool(threads)};
        for (int n = 0; n <= TASKS; n = n * 3 + 1) {
            memset(t.done, 0, sizeof t.done);
            weft_pool_run(t.pool, n, count_task, &t);
            for (int i = 0; i < TASKS; i++) assert_int_equal(t.done[i], i < n);
        }
        assert_int_equal(t.wrong, 0);
        weft_pool_destroy(t.pool);
    }
}

typedef struct meeting {
    int size;
    atomic_int came;
    int by[8]; /* who did a task */
} meeting;

/* Ends when as many have begun as there are workers. */
static void meet_task(void *arg, int i, int worker)
{
    meeting *m = arg;
    m->by[i] = worker;
    atomic_fetch_add(&m->came, 1);
    while (atomic_load(&m->came) < m->size) sched_yield();
}

/* Nobody helps the others before its own share is done: a pool's first run, for
 * whoever still looks for tasks of the run before may meet one of the next. */
static void test_own_share_first(void **unused)
{
    (void)unused;
    for (int run = 0; run < 200; run++) {
        const int threads = 2 + run % 4;
        weft_pool *p = new_pool(threads);
        meeting m = {.size = threads};
        weft_pool_run(p, threads, meet_task, &m);
        for (int i = 0; i < threads; i++) assert_int_equal(m.by[i], i);
        weft_pool_destroy(p);
    }
}

/* Runs that follow each other at once, so that late workers meet the next. */
static void test_many_runs(void **unused)
{
    (void)unused;
    tally t = {.pool = new_pool(4)};
    for (int run = 0; run < 20000; run++)
        weft_pool_run(t.pool, 2 + run % 5, count_task, &t);
    for (int i = 0; i < 6; i++) {
        int expected = 0;
        for (int m = 0; m < 5; m++) expected += 4000 * (i < 2 + m);
        assert_int_equal(t.done[i], expected);
    }
    weft_pool_destroy(t.pool);
}

static void nap(long ns)
{
    const struct timespec t = {0, ns};
    nanosleep(&t, NULL);
}

/* Workers that have gone to sleep wake up. */
static void test_after_a_pause(void **unused)
{
    (void)unused;
    tally t = {.pool = new_pool(3)};
    for (int run = 0; run < 20; run++) {
        nap(2000000);
        weft_pool_run(t.pool, 10, count_task, &t);
    }
    for (int i = 0; i < 10; i++) assert_int_equal(t.done[i], 20);
    weft_pool_destroy(t.pool);
}

static void slow_task(void *arg, int i, int worker)
{
    nap(3000000);
    count_task(arg, i, worker);
}

/* The caller sleeps until the last task is done, and all workers take part. */
static void test_slow_tasks(void **unused)
{
    (void)unused;
    tally t = {.pool = new_pool(3)};
    for (int run = 0; run < 10; run++) weft_pool_run(t.pool, 6, slow_task, &t);
    for (int i = 0; i < 6; i++) assert_int_equal(t.done[i], 10);
    assert_int_equal(t.workers, 7);
    weft_pool_destroy(t.pool);
}

/* Nobody does a second one before the caller has done one. */
static void await_caller(void *arg, int i, int worker)
{
    tally *t = arg;
    count_task(arg, i, worker);
    while (worker && !(atomic_load(&t->workers) & 1)) nap(100000);
}

static void count_poll(void *arg) { ++*(int *)arg; }

static void test_poll(void **unused)
{
    (void)unused;
    int polls = 0;
    tally t = {.pool = new_pool(1)};
    weft_pool_set_poll(t.pool, count_poll, &polls);
    weft_pool_run(t.pool, 7, count_task, &t);
    assert_int_equal(polls, 7);
    weft_pool_set_poll(t.pool, NULL, NULL);
    weft_pool_run(t.pool, 7, count_task, &t);
    assert_int_equal(polls, 7);
    weft_pool_destroy(t.pool);
    t.pool = new_pool(2);
    weft_pool_set_poll(t.pool, count_poll, &polls);
    atomic_store(&t.workers, 0);
    weft_pool_run(t.pool, TASKS, await_caller, &t);
    assert_true(polls > 7);
    weft_pool_destroy(t.pool);
}

typedef struct scratch_check {
    weft_pool *pool;
    atomic_int wrong;
} scratch_check;

static void scratch_task(void *arg, int i, int worker)
{
    scratch_check *c = arg;
    unsigned char *p = weft_pool_scratch(c->pool, worker);
    const size_t n = weft_pool_scratch_bytes(c->pool);
    memset(p, i, n);
    sched_yield();
    if ((uintptr_t)p % 64 || p[0] != (unsigned char)i ||
        p[n - 1] != (unsigned char)i)
        atomic_fetch_add(&c->wrong, 1);
}

static void test_scratch(void **unused)
{
    (void)unused;
    scratch_check c = {.pool = new_pool(3)};
    const size_t sizes[] = {100, 70000, 3000000, 5000};
    size_t most = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(weft_pool_reserve(c.pool, sizes[i]), WEFT_OK);
        most = sizes[i] > most ? sizes[i] : most;
        assert_int_equal(weft_pool_scratch_bytes(c.pool), most);
        weft_pool_run(c.pool, 30, scratch_task, &c);
    }
    assert_int_equal(c.wrong, 0);
    weft_pool_destroy(c.pool);
}

static const volatile float tiny = 1e-30f;

static void denormal_task(void *arg, int i, int worker)
{
    (void)worker;
    ((float *)arg)[i] = tiny * 1e-10f;
}

/* Zero on every worker; the caller has its own rules back afterwards. */
static void test_denormals(void **unused)
{
    (void)unused;
    float out[64];
    for (int threads = 1; threads <= 3; threads++) {
        weft_pool *p = new_pool(threads);
        memset(out, 0xff, sizeof out);
        weft_pool_run(p, 64, denormal_task, out);
        for (int i = 0; i < 64; i++) assert_true(out[i] == 0);
        denormal_task(out, 0, 0);
        assert_true(out[0] > 0);
        weft_pool_destroy(p);
    }
}

static void cpu_task(void *arg, int i, int worker)
{
    int *cpu = arg;
    (void)i;
    nap(1000000);
    cpu[worker] = sched_getcpu();
}

/* Workers stay where they are bound; the caller is free again at the end. */
static void test_binding(void **unused)
{
    (void)unused;
    cpu_set_t before, after;
    int allowed[2], n = 0, seen[2] = {-1, -1};
    weft_pool *p = NULL;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    for (int c = 0; c < CPU_SETSIZE && n < 2; c++)
        if (CPU_ISSET(c, &before)) allowed[n++] = c;
    if (n < 2) skip();
    assert_int_equal(weft_pool_create(2, allowed, &p), WEFT_OK);
    weft_pool_run(p, 20, cpu_task, seen);
    assert_int_equal(seen[0], allowed[0]);
    assert_int_equal(seen[1], allowed[1]);
    weft_pool_destroy(p);
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
}

static void test_refusals(void **unused)
{
    (void)unused;
    weft_pool *p = NULL;
    assert_int_equal(weft_pool_create(0, NULL, &p), WEFT_EINPUT);
    assert_null(p);
    weft_pool_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_task_once),
        cmocka_unit_test(test_own_share_first),
        cmocka_unit_test(test_many_runs),
        cmocka_unit_test(test_after_a_pause),
        cmocka_unit_test(test_slow_tasks),
        cmocka_unit_test(test_poll),
        cmocka_unit_test(test_scratch),
        cmocka_unit_test(test_denormals),
        cmocka_unit_test(test_binding),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
