#include "mpi/window.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "mpi/internal.h"

enum { ALIGN = 64 };

struct weft_window {
    const weft_comm *node;
    MPI_Win win; /* MPI_WIN_NULL: memory of this process alone */
    void *base;
    size_t bytes;
};

/* One rank needs no window: plain pages, large ones where they are given. */
static weft_status map_alone(weft_window *w)
{
    w->base = mmap(NULL, w->bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (w->base == MAP_FAILED) {
        w->base = NULL;
        return weft_fail(WEFT_ENOMEM, "out of memory: %zu bytes for weights",
                         w->bytes);
    }
    madvise(w->base, w->bytes, MADV_HUGEPAGE);
    return WEFT_OK;
}

static weft_status map_shared(weft_window *w)
{
    const MPI_Aint mine = w->node->rank == 0 ? (MPI_Aint)(w->bytes + ALIGN) : 0;
    MPI_Aint size;
    void *at;
    int unit, code;

    WEFT_TRY(weft_watch_guard(w->node, "MPI_Win_allocate_shared"));
    code = MPI_Win_allocate_shared(mine, 1, MPI_INFO_NULL, w->node->mpi, &at,
                                   &w->win);
    weft_watch_unguard();
    if (code != MPI_SUCCESS)
        return weft_fail(WEFT_ENOMEM,
                         "no %zu bytes of shared memory for the weights (is "
                         "/dev/shm large enough?)",
                         w->bytes);
    WEFT_TRY(weft_mpi_check(MPI_Win_shared_query(w->win, 0, &size, &unit, &at),
                            "MPI_Win_shared_query"));
    w->base = (char *)at + (ALIGN - (size_t)at % ALIGN) % ALIGN;
    return weft_mpi_check(MPI_Win_lock_all(MPI_MODE_NOCHECK, w->win),
                          "MPI_Win_lock_all");
}

weft_status weft_window_create(const weft_comm *node, size_t bytes,
                               weft_window **out)
{
    weft_window *w = calloc(1, sizeof *w);
    weft_status st;

    if (!w) return weft_fail(WEFT_ENOMEM, "out of memory");
    *w = (weft_window){
        .node = node, .win = MPI_WIN_NULL, .bytes = bytes ? bytes : ALIGN};
    st = node->size == 1 ? map_alone(w) : map_shared(w);
    if (st != WEFT_OK)
        free(w);
    else
        *out = w;
    return st;
}

void weft_window_destroy(weft_window *w)
{
    if (!w) return;
    if (w->win != MPI_WIN_NULL) {
        const weft_status met = weft_watch_guard(w->node, "MPI_Win_free");

        MPI_Win_unlock_all(w->win);
        MPI_Win_free(&w->win);
        if (met == WEFT_OK) weft_watch_unguard();
    } else if (w->base) {
        munmap(w->base, w->bytes);
    }
    free(w);
}

void *weft_window_base(const weft_window *w) { return w->base; }

weft_status weft_window_settle(weft_window *w)
{
    if (w->win == MPI_WIN_NULL) return WEFT_OK;
    WEFT_TRY(weft_mpi_check(MPI_Win_sync(w->win), "MPI_Win_sync"));
    WEFT_TRY(weft_comm_barrier(w->node));
    return weft_mpi_check(MPI_Win_sync(w->win), "MPI_Win_sync");
}
