/*
 * background.h - a thread that moves messages while the others compute.
 *
 * MPI moves nothing by itself. Polled, it is moved between the pieces of work,
 * by the thread that does them (core/pool.h). With this thread it is moved all
 * the while: the main thread lends MPI out whenever it begins to compute and
 * takes it back when it is done, so no two threads are ever in MPI.
 */
#ifndef WEFT_MPI_BACKGROUND_H
#define WEFT_MPI_BACKGROUND_H

#include "core/pool.h"

typedef struct weft_background weft_background;

/* Local. Poll, by a thread of its own, while `pool` computes; WEFT_EINPUT where
 * this MPI allows no second thread. */
weft_status weft_background_start(weft_pool *pool, void (*poll)(void *),
                                  void *arg, weft_background **b);
/* Local. NULL is nothing. */
void weft_background_stop(weft_background *b);

#endif
