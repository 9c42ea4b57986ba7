/*
 * pool.c - threads that claim numbered tasks.
 *
 * Each worker has a share of a run's tasks, one after the other, and when it
 * has none left it helps the next ones with theirs. Kernels number their tasks
 * along the image, so from layer to layer a worker meets the rows that are in
 * its own cache.
 *
 * A share is one ticket: its run's generation in the high half, the next
 * unclaimed task in the low. Claiming is a compare-and-swap on it. Between runs
 * tickets are closed, so a worker that slept through one cannot claim from it,
 * and nobody has to wait for a worker that has nothing to do.
 */
#include "core/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "core/device/processor.h"

enum { SPIN_NS = 50000, SPINS = 64, LINE = 64 };
#define CLOSED 0xffffffffu
#define STOP   UINT32_MAX

typedef struct worker {
    _Alignas(LINE) _Atomic uint64_t ticket; /* others claim from it too */
    _Alignas(LINE) weft_pool *pool;
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

    _Atomic uint32_t generation; /* of the last run, or STOP */
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

static int share_begin(int n, int i, int shares)
{
    return (int)((int64_t)n * i / shares);
}

/* Claim one task of worker `of` and do it; false if there is none. What is read
 * between the two looks at the ticket belongs to it: the caller changes it only
 * while all tickets are closed, and whoever sees the change sees them closed.
 */
static bool do_task_of(weft_pool *p, int of, int index)
{
    _Atomic uint64_t *ticket = &p->worker[of].ticket;
    uint64_t t = atomic_load_explicit(ticket, memory_order_acquire);
    for (;;) {
        const uint32_t i = (uint32_t)t;
        if (i == CLOSED) return false;
        weft_task *fn = atomic_load_explicit(&p->fn, memory_order_acquire);
        void *arg = atomic_load_explicit(&p->arg, memory_order_acquire);
        const int n = atomic_load_explicit(&p->n, memory_order_acquire);
        if (i >= (uint32_t)share_begin(n, of + 1, p->size)) return false;
        if (!atomic_compare_exchange_weak_explicit(
                ticket, &t, t + 1, memory_order_acq_rel, memory_order_acquire))
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

/* One's own, then the next ones'. */
static bool do_task(weft_pool *p, int index)
{
    for (int i = 0; i < p->size; i++)
        if (do_task_of(p, (index + i) % p->size, index)) return true;
    return false;
}

/* Wait for a run other than `seen`: spin, then sleep. */
static uint32_t next_run(weft_pool *p, uint32_t seen)
{
    const int64_t start = now_ns();
    do {
        for (int i = 0; i < SPINS; i++) {
            const uint32_t g =
                atomic_load_explicit(&p->generation, memory_order_acquire);
            if (g != seen) return g;
            weft_processor_relax();
        }
    } while (now_ns() - start < SPIN_NS);
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    uint32_t g;
    while ((g = atomic_load(&p->generation)) == seen)
        pthread_cond_wait(&p->work, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
    return g;
}

static void *work(void *arg)
{
    worker *w = arg;
    weft_processor_flush_denormals();
    for (uint32_t seen = 0; (seen = next_run(w->pool, seen)) != STOP;)
        while (do_task(w->pool, w->index)) {
        }
    return NULL;
}

static void publish(weft_pool *p, uint32_t generation)
{
    atomic_store(&p->generation, generation);
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

/* Ticket of the share that begins with task `next`. */
static void set_ticket(weft_pool *p, int of, uint32_t generation, uint32_t next)
{
    atomic_store_explicit(&p->worker[of].ticket,
                          (uint64_t)generation << 32 | next,
                          memory_order_release);
}

static void run_together(weft_pool *p, int n, weft_task *fn, void *arg)
{
    const uint32_t generation =
        (atomic_load_explicit(&p->generation, memory_order_relaxed) + 1) &
        INT32_MAX;
    atomic_store_explicit(&p->fn, fn, memory_order_release);
    atomic_store_explicit(&p->arg, arg, memory_order_release);
    atomic_store_explicit(&p->n, n, memory_order_release);
    atomic_store_explicit(&p->done, 0, memory_order_relaxed);
    for (int i = 0; i < p->size; i++)
        set_ticket(p, i, generation, (uint32_t)share_begin(n, i, p->size));
    publish(p, generation);
    while (do_task(p, 0)) poll(p);
    finish(p, n);
    for (int i = 0; i < p->size; i++) set_ticket(p, i, generation, CLOSED);
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
    worker *w = aligned_alloc(LINE, (size_t)threads * sizeof *w);
    if (!p || !w) {
        free(p);
        free(w);
        return weft_fail(WEFT_ENOMEM, "no memory for %d threads", threads);
    }
    p->size = threads;
    p->worker = w;
    p->started = 1;
    atomic_init(&p->generation, 0);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->finished, NULL);
    memset(w, 0, (size_t)threads * sizeof *w);
    for (int i = 0; i < threads; i++) {
        atomic_init(&w[i].ticket, CLOSED);
        w[i].pool = p;
        w[i].index = i;
    }
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
