#include "mpi/claim.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mpi/internal.h"

struct weft_claim {
    const weft_comm *c;
    int entries, facts;
    MPI_Win win; /* MPI_WIN_NULL: a job of one, without MPI */
    char *base;  /* the counter, facts by rank, a byte for each entry and one
                    for the end */
    long polled; /* tick of the clock */
};

static size_t facts_at(int rank, int facts)
{
    return sizeof(int64_t) + (size_t)rank * (size_t)facts * sizeof(double);
}

static size_t done_at(const weft_claim *q, int entry)
{
    return facts_at(q->c->size, q->facts) + (size_t)entry;
}

/* Only rank 0 brings memory. */
static weft_status make_window(weft_claim *q, size_t bytes)
{
    const MPI_Aint mine = q->c->rank == 0 ? (MPI_Aint)bytes : 0;
    int code;

    WEFT_TRY(weft_watch_guard(q->c, "MPI_Win_allocate"));
    code =
        MPI_Win_allocate(mine, 1, MPI_INFO_NULL, q->c->mpi, &q->base, &q->win);
    weft_watch_unguard();
    WEFT_TRY(weft_mpi_check(code, "MPI_Win_allocate"));
    WEFT_TRY(weft_mpi_check(MPI_Win_lock_all(MPI_MODE_NOCHECK, q->win),
                            "MPI_Win_lock_all"));
    if (mine) memset(q->base, 0, bytes);
    WEFT_TRY(weft_mpi_check(MPI_Win_sync(q->win), "MPI_Win_sync"));
    return weft_comm_barrier(q->c);
}

weft_status weft_claim_create(const weft_comm *c, int entries, int facts,
                              weft_claim **out)
{
    weft_claim *q = calloc(1, sizeof *q);
    weft_status st = WEFT_OK;
    size_t bytes;

    if (!q) return weft_fail(WEFT_ENOMEM, "out of memory");
    *q = (weft_claim){
        .c = c, .entries = entries, .facts = facts, .win = MPI_WIN_NULL};
    bytes = done_at(q, entries) + 1;
    if (c->alone)
        q->base = calloc(1, bytes);
    else
        st = make_window(q, bytes);
    if (c->alone && !q->base) st = weft_fail(WEFT_ENOMEM, "out of memory");
    if (st == WEFT_OK)
        *out = q;
    else
        free(q);
    return st;
}

void weft_claim_destroy(weft_claim *q)
{
    if (!q) return;
    if (q->win != MPI_WIN_NULL) {
        const weft_status met = weft_watch_guard(q->c, "MPI_Win_free");

        MPI_Win_unlock_all(q->win);
        MPI_Win_free(&q->win);
        if (met == WEFT_OK) weft_watch_unguard();
    } else {
        free(q->base);
    }
    free(q);
}

/* ---- everybody ----------------------------------------------------------- */

weft_status weft_claim_next(weft_claim *q, int *entry)
{
    const int64_t one = 1;
    int64_t n = 0;

    if (q->win == MPI_WIN_NULL) {
        memcpy(&n, q->base, sizeof n);
        *entry = (int)n++;
        memcpy(q->base, &n, sizeof n);
        return WEFT_OK;
    }
    WEFT_TRY(weft_mpi_check(
        MPI_Fetch_and_op(&one, &n, MPI_INT64_T, 0, 0, MPI_SUM, q->win),
        "MPI_Fetch_and_op"));
    WEFT_TRY(weft_mpi_check(MPI_Win_flush(0, q->win), "MPI_Win_flush"));
    *entry = n < q->entries ? (int)n : q->entries;
    return WEFT_OK;
}

static weft_status put(weft_claim *q, const void *from, size_t bytes, size_t at)
{
    if (q->win == MPI_WIN_NULL) {
        memcpy(q->base + at, from, bytes);
        return WEFT_OK;
    }
    WEFT_TRY(weft_mpi_check(MPI_Put(from, (int)bytes, MPI_BYTE, 0, (MPI_Aint)at,
                                    (int)bytes, MPI_BYTE, q->win),
                            "MPI_Put"));
    return weft_mpi_check(MPI_Win_flush(0, q->win), "MPI_Win_flush");
}

weft_status weft_claim_done(weft_claim *q, int entry)
{
    WEFT_MUST(entry >= 0 && entry < q->entries);
    return put(q, "\1", 1, done_at(q, entry));
}

weft_status weft_claim_tell(weft_claim *q, const double *facts)
{
    return put(q, facts, (size_t)q->facts * sizeof *facts,
               facts_at(q->c->rank, q->facts));
}

void weft_claim_close(weft_claim *q)
{
    WEFT_MUST(q->c->rank == 0);
    ((volatile char *)q->base)[done_at(q, q->entries)] = 1;
    if (q->win != MPI_WIN_NULL) MPI_Win_sync(q->win);
}

weft_status weft_claim_closed(weft_claim *q, bool *closed)
{
    char byte = 0;

    if (q->win == MPI_WIN_NULL) {
        *closed = q->base[done_at(q, q->entries)] != 0;
        return WEFT_OK;
    }
    WEFT_TRY(weft_mpi_check(MPI_Get(&byte, 1, MPI_BYTE, 0,
                                    (MPI_Aint)done_at(q, q->entries), 1,
                                    MPI_BYTE, q->win),
                            "MPI_Get"));
    WEFT_TRY(weft_mpi_check(MPI_Win_flush(0, q->win), "MPI_Win_flush"));
    *closed = byte != 0;
    return WEFT_OK;
}

/* Only rank 0 has memory that others want; it polls once in a tick of the
 * coarse clock, which costs least to look at. */
void weft_claim_poll(weft_claim *q)
{
    struct timespec now;
    int there;

    if (q->win == MPI_WIN_NULL || q->c->rank) return;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (now.tv_nsec == q->polled) return;
    q->polled = now.tv_nsec;
    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, q->c->mpi, &there,
               MPI_STATUS_IGNORE);
}

/* ---- rank 0 -------------------------------------------------------------- */

const double *weft_claim_facts(const weft_claim *q, int rank)
{
    WEFT_MUST(q->c->rank == 0);
    return (const double *)(q->base + facts_at(rank, q->facts));
}

bool weft_claim_is_done(const weft_claim *q, int entry)
{
    WEFT_MUST(q->c->rank == 0);
    return ((volatile const char *)q->base)[done_at(q, entry)] != 0;
}

int weft_claim_taken(const weft_claim *q)
{
    int64_t n;

    WEFT_MUST(q->c->rank == 0);
    n = *(volatile const int64_t *)q->base;
    return n < q->entries ? (int)n : q->entries;
}
