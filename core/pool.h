/*
 * pool.h - the threads of one rank.
 *
 * A pool runs numbered tasks: weft_pool_run(p, n, fn, arg) calls fn(arg, i, w)
 * once for each i < n, on any worker w < weft_pool_size(p), and returns when
 * all are done. The caller is worker 0. Which worker does which task is not
 * defined, so a task's result must not depend on w: w only names scratch. But
 * each worker begins with a share of its own, tasks that follow one another and
 * the same part of them in every run: number them along the image, and what a
 * layer reads is where the layer before it left it.
 *
 * Between its own tasks the caller calls the poll function, if there is one:
 * that is where a rank's messages make progress while it computes.
 *
 * Every worker flushes denormals to zero, so that no result depends on who
 * computed it. A run allocates nothing.
 */
#ifndef WEFT_CORE_POOL_H
#define WEFT_CORE_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

typedef struct weft_pool weft_pool;

typedef void weft_task(void *arg, int i, int worker);

/* Local. `cpus` (may be NULL) names one cpu per worker to bind to. */
weft_status weft_pool_create(int threads, const int *cpus, weft_pool **pool);
void weft_pool_destroy(weft_pool *pool);

int weft_pool_size(const weft_pool *pool);
void weft_pool_run(weft_pool *pool, int n, weft_task *fn, void *arg);

/* Called by worker 0 between tasks; NULL for none. */
void weft_pool_set_poll(weft_pool *pool, void (*poll)(void *), void *arg);

/* Called by worker 0 with true before a run and false after it: in between it
 * calls nothing but tasks and poll. NULL for none. */
void weft_pool_set_lend(weft_pool *pool, void (*lend)(void *, bool), void *arg);

/* Scratch of each worker, 64-byte aligned. Plan time only; grows, never
 * shrinks. What is in it is a worker's own inside its tasks, but where a kernel
 * says which of its runs fill what for the tasks of the next: nothing else
 * writes there between the runs of one call. */
weft_status weft_pool_reserve(weft_pool *pool, size_t bytes);
void *weft_pool_scratch(weft_pool *pool, int worker);
size_t weft_pool_scratch_bytes(const weft_pool *pool);

#endif
