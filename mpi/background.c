#include "mpi/background.h"

#include <mpi.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

/* Between two polls; so that the thread takes little from those that compute
 * beside it. */
enum { PAUSE_NS = 20000 };

struct weft_background {
    weft_pool *pool;
    void (*poll)(void *);
    void *arg;
    pthread_t thread;
    pthread_mutex_t mpi; /* whoever holds it may call MPI */
    atomic_bool stop;
};

static void *work(void *arg)
{
    const struct timespec pause = {0, PAUSE_NS};
    weft_background *b = arg;

    while (!atomic_load(&b->stop)) {
        if (!pthread_mutex_trylock(&b->mpi)) {
            b->poll(b->arg);
            pthread_mutex_unlock(&b->mpi);
        }
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void lend(void *arg, bool out)
{
    weft_background *b = arg;

    if (out)
        pthread_mutex_unlock(&b->mpi);
    else
        pthread_mutex_lock(&b->mpi);
}

static weft_status check_threads(void)
{
    int given, on;

    MPI_Initialized(&on);
    if (!on) return WEFT_OK;
    MPI_Query_thread(&given);
    if (given >= MPI_THREAD_SERIALIZED) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "parallel.progress: thread: this MPI allows one thread "
                     "only; use poll");
}

/* Signals are for the main thread (watch.h). */
static int create(weft_background *b)
{
    sigset_t all, old;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    failed = pthread_create(&b->thread, NULL, work, b);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failed;
}

weft_status weft_background_start(weft_pool *pool, void (*poll)(void *),
                                  void *arg, weft_background **out)
{
    weft_background *b;

    WEFT_TRY(check_threads());
    b = calloc(1, sizeof *b);
    if (!b) return weft_fail(WEFT_ENOMEM, "out of memory");
    *b = (weft_background){.pool = pool, .poll = poll, .arg = arg};
    pthread_mutex_init(&b->mpi, NULL);
    pthread_mutex_lock(&b->mpi);
    if (create(b)) {
        pthread_mutex_destroy(&b->mpi);
        free(b);
        return weft_fail(WEFT_ENOMEM, "cannot start a thread for messages");
    }
    weft_pool_set_lend(pool, lend, b);
    *out = b;
    return WEFT_OK;
}

void weft_background_stop(weft_background *b)
{
    if (!b) return;
    weft_pool_set_lend(b->pool, NULL, NULL);
    atomic_store(&b->stop, true);
    pthread_join(b->thread, NULL);
    pthread_mutex_unlock(&b->mpi);
    pthread_mutex_destroy(&b->mpi);
    free(b);
}
