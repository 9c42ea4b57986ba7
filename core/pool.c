/*
 * pool.c - threads that claim numbered tasks.
 *
 * A run is one ticket: its generation in the high half, the next unclaimed
 * task in the low. Claiming is a compare-and-swap on it. Between runs the
 * ticket is closed, so a worker that slept through one cannot claim from it,
 * and nobody has to wait for a worker that has nothing to do.
 */
#include "core/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "core/device/processor.h"

enum { SPIN_NS = 50000, SPINS = 64 };
#define CLOSED 0xffffffffu
#define STOP   UINT64_MAX

typedef struct worker {
    weft_pool *pool;
    int index;
    pthread_t thread;
    void *scratch;
} worker;

struct weft_pool {
    int size, started;
    worker *worker;
    size_t scratch_bytes;
    cpu_set_t caller_cpus; /* to give back */
    bool bound;
    void (*poll)(void *);
    void *poll_arg;
    void (*lend)(void *, bool);
    void *lend_arg;

    _Atomic uint64_t ticket;
    _Atomic(weft_task *) fn;
    _Atomic(void *) arg;
    atomic_int n, done;

    pthread_mutex_t lock; /* for those that gave up spinning */
    pthread_cond_t work, finished;
    atomic_int sleepers, waiting;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- tasks --------------------------------------------------------------- */

/* Claim and do one task; false if there is none. What is read between the two
 * looks at the ticket belongs to it: the caller changes them only while the
 * ticket is closed. */
static bool do_task(weft_pool *p, int index)
{
    uint64_t t = atomic_load_explicit(&p->ticket, memory_order_acquire);
    for (;;) {
        const uint32_t i = (uint32_t)t;
        if (i == CLOSED) return false;
        weft_task *fn = atomic_load_explicit(&p->fn, memory_order_relaxed);
        void *arg = atomic_load_explicit(&p->arg, memory_order_relaxed);
        const int n = atomic_load_explicit(&p->n, memory_order_relaxed);
        if (i >= (uint32_t)n) return false;
        if (!atomic_compare_exchange_weak_explicit(&p->ticket, &t, t + 1,
                                                   memory_order_acq_rel,
                                                   memory_order_acquire))
            continue;
        fn(arg, (int)i, index);
        /* in one order with `waiting`: either the caller sees this task done,
         * or we see the caller waiting */
        if (atomic_fetch_add(&p->done, 1) + 1 == n &&
            atomic_load(&p->waiting)) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->finished);
            pthread_mutex_unlock(&p->lock);
        }
        return true;
    }
}

/* Wait for a ticket other than `seen`: spin, then sleep. */
static uint64_t next_ticket(weft_pool *p, uint64_t seen)
{
    const int64_t start = now_ns();
    do {
        for (int i = 0; i < SPINS; i++) {
            const uint64_t t =
                atomic_load_explicit(&p->ticket, memory_order_acquire);
            if (t >> 32 != seen >> 32) return t;
            weft_processor_relax();
        }
    } while (now_ns() - start < SPIN_NS);
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    uint64_t t;
    while ((t = atomic_load(&p->ticket)) >> 32 == seen >> 32)
        pthread_cond_wait(&p->work, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
    return t;
}

static void *work(void *arg)
{
    worker *w = arg;
    weft_processor_flush_denormals();
    for (uint64_t seen = 0; (seen = next_ticket(w->pool, seen)) != STOP;)
        while (do_task(w->pool, w->index)) {
        }
    return NULL;
}

static void publish(weft_pool *p, uint64_t ticket)
{
    atomic_store(&p->ticket, ticket);
    if (!atomic_load(&p->sleepers)) return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
}

static void poll(const weft_pool *p)
{
    if (p->poll) p->poll(p->poll_arg);
}

/* All tasks are claimed; wait until they are done. */
static void finish(weft_pool *p, int n)
{
    const int64_t start = now_ns();
    while (atomic_load(&p->done) != n && now_ns() - start < SPIN_NS) {
        for (int i = 0; i < SPINS && atomic_load(&p->done) != n; i++)
            weft_processor_relax();
        poll(p);
    }
    if (atomic_load(&p->done) == n) return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->waiting, 1);
    while (atomic_load(&p->done) != n)
        pthread_cond_wait(&p->finished, &p->lock);
    atomic_store(&p->waiting, 0);
    pthread_mutex_unlock(&p->lock);
}

static void run_alone(weft_pool *p, int n, weft_task *fn, void *arg)
{
    for (int i = 0; i < n; i++) {
        fn(arg, i, 0);
        poll(p);
    }
}

static void run_together(weft_pool *p, int n, weft_task *fn, void *arg)
{
    const uint64_t generation =
        (atomic_load_explicit(&p->ticket, memory_order_relaxed) >> 32) + 1;
    atomic_store_explicit(&p->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&p->arg, arg, memory_order_relaxed);
    atomic_store_explicit(&p->n, n, memory_order_relaxed);
    atomic_store_explicit(&p->done, 0, memory_order_relaxed);
    publish(p, (generation & 0x7fffffff) << 32);
    while (do_task(p, 0)) poll(p);
    finish(p, n);
    atomic_store(&p->ticket, (generation & 0x7fffffff) << 32 | CLOSED);
}

void weft_pool_run(weft_pool *p, int n, weft_task *fn, void *arg)
{
    if (n <= 0) return;
    const uint64_t old = weft_processor_flush_denormals();
    if (p->lend) p->lend(p->lend_arg, true);
    if (p->size == 1 || n == 1)
        run_alone(p, n, fn, arg);
    else
        run_together(p, n, fn, arg);
    if (p->lend) p->lend(p->lend_arg, false);
    weft_processor_restore_denormals(old);
}

/* ---- life ---------------------------------------------------------------- */

static void bind_thread(pthread_t t, int cpu)
{
    cpu_set_t set;
    if (cpu < 0 || cpu >= CPU_SETSIZE) return;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)pthread_setaffinity_np(t, sizeof set, &set);
}

static weft_status start_workers(weft_pool *p, const int *cpus)
{
    for (int i = 1; i < p->size; i++, p->started++) {
        worker *w = &p->worker[i];
        if (pthread_create(&w->thread, NULL, work, w))
            return weft_fail(WEFT_ENOMEM, "cannot start thread %d of %d", i + 1,
                             p->size);
        if (cpus) bind_thread(w->thread, cpus[i]);
    }
    return WEFT_OK;
}

static void bind_caller(weft_pool *p, int cpu)
{
    const pthread_t self = pthread_self();
    p->bound =
        !pthread_getaffinity_np(self, sizeof p->caller_cpus, &p->caller_cpus);
    bind_thread(self, cpu);
}

weft_status weft_pool_create(int threads, const int *cpus, weft_pool **pool)
{
    if (threads < 1)
        return weft_fail(WEFT_EINPUT, "%d threads: at least 1 is needed",
                         threads);
    weft_pool *p = calloc(1, sizeof *p);
    worker *w = calloc((size_t)threads, sizeof *w);
    if (!p || !w) {
        free(p);
        free(w);
        return weft_fail(WEFT_ENOMEM, "no memory for %d threads", threads);
    }
    p->size = threads;
    p->worker = w;
    p->started = 1;
    atomic_init(&p->ticket, CLOSED);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->finished, NULL);
    for (int i = 0; i < threads; i++) w[i].pool = p, w[i].index = i;
    const weft_status s = start_workers(p, cpus);
    if (s != WEFT_OK) {
        weft_pool_destroy(p);
        return s;
    }
    if (cpus) bind_caller(p, cpus[0]);
    *pool = p;
    return WEFT_OK;
}

void weft_pool_destroy(weft_pool *p)
{
    if (!p) return;
    publish(p, STOP);
    for (int i = 1; i < p->started; i++)
        pthread_join(p->worker[i].thread, NULL);
    if (p->bound)
        (void)pthread_setaffinity_np(pthread_self(), sizeof p->caller_cpus,
                                     &p->caller_cpus);
    for (int i = 0; i < p->size; i++) free(p->worker[i].scratch);
    pthread_cond_destroy(&p->finished);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p->worker);
    free(p);
}

int weft_pool_size(const weft_pool *p) { return p->size; }

void weft_pool_set_poll(weft_pool *p, void (*fn)(void *), void *arg)
{
    p->poll = fn;
    p->poll_arg = arg;
}

void weft_pool_set_lend(weft_pool *p, void (*fn)(void *, bool), void *arg)
{
    p->lend = fn;
    p->lend_arg = arg;
}

/* ---- scratch ------------------------------------------------------------- */

enum { LARGE = 2 << 20 }; /* a huge page */

static void *allocate(size_t bytes)
{
    void *p = NULL;
    if (posix_memalign(&p, bytes < LARGE ? 64 : LARGE, bytes)) return NULL;
    if (bytes >= LARGE) (void)madvise(p, bytes, MADV_HUGEPAGE);
    return p;
}

weft_status weft_pool_reserve(weft_pool *p, size_t bytes)
{
    if (bytes <= p->scratch_bytes) return WEFT_OK;
    for (int i = 0; i < p->size; i++) {
        void *fresh = allocate(bytes);
        if (!fresh)
            return weft_fail(WEFT_ENOMEM, "no memory for %zu bytes of scratch",
                             bytes);
        free(p->worker[i].scratch);
        p->worker[i].scratch = fresh;
    }
    p->scratch_bytes = bytes;
    return WEFT_OK;
}

void *weft_pool_scratch(weft_pool *p, int w) { return p->worker[w].scratch; }

size_t weft_pool_scratch_bytes(const weft_pool *p) { return p->scratch_bytes; }
