/*
 * Things that all ranks of a communicator do together outside a step.
 */
#include "mpi/internal.h"

#include <limits.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

enum { TEXT = 2048 };

/* Your own mistakes come first: they are the ones that you can mend. */
static int gravity(weft_status st)
{
    return st == WEFT_OK ? 0 : st == WEFT_EINPUT ? 2 : 1;
}

static weft_status bcast(const weft_comm *c, void *data, int n,
                         MPI_Datatype type, int root, const char *what)
{
    MPI_Request r;

    return weft_watch_all(MPI_Ibcast(data, n, type, root, c->mpi, &r), &r, c,
                          what);
}

weft_status weft_comm_agree(const weft_comm *c, weft_status mine)
{
    struct {
        int value, rank;
    } in = {gravity(mine), c->rank}, worst; /* MAXLOC: lowest rank of equals */
    int status = (int)mine;
    char text[TEXT];
    MPI_Request r;

    if (c->alone) return mine;
    WEFT_TRY(weft_watch_all(
        MPI_Iallreduce(&in, &worst, 1, MPI_2INT, MPI_MAXLOC, c->mpi, &r), &r, c,
        "agreeing"));
    if (worst.value == 0) return WEFT_OK;
    snprintf(text, sizeof text, "%s", weft_fail_text());
    if (worst.rank != 0 && c->rank == worst.rank)
        snprintf(text, sizeof text, "rank %d on %s: %.1700s", c->rank, c->host,
                 weft_fail_text());
    WEFT_TRY(bcast(c, &status, 1, MPI_INT, worst.rank, "agreeing"));
    WEFT_TRY(bcast(c, text, TEXT, MPI_CHAR, worst.rank, "agreeing"));
    return weft_fail((weft_status)status, "%s", text);
}

weft_status weft_comm_same(const weft_comm *c, uint64_t value, const char *what)
{
    uint64_t first = value;
    int odd = INT_MAX, least;
    MPI_Request r;

    if (c->alone) return WEFT_OK;
    WEFT_TRY(bcast(c, &first, 1, MPI_UINT64_T, 0, "comparing"));
    if (value != first) odd = c->rank;
    WEFT_TRY(weft_watch_all(
        MPI_Iallreduce(&odd, &least, 1, MPI_INT, MPI_MIN, c->mpi, &r), &r, c,
        "comparing"));
    if (least == INT_MAX) return WEFT_OK;
    return weft_fail(WEFT_EINPUT,
                     "rank %d and rank 0 do not have the same %s: every rank "
                     "must run the same weft with the same arguments and files",
                     least, what);
}

weft_status weft_comm_share(const weft_comm *c, char **data, size_t *bytes)
{
    uint64_t n = *bytes;
    int short_of = 0;

    if (c->alone) return WEFT_OK;
    WEFT_TRY(bcast(c, &n, 1, MPI_UINT64_T, 0, "sharing"));
    if (n > INT_MAX)
        return weft_fail(WEFT_EINPUT, "%llu bytes are too many to share",
                         (unsigned long long)n);
    if (c->rank != 0) {
        *bytes = n;
        *data = malloc(n + 1);
        short_of = !*data;
        if (*data) (*data)[n] = 0;
    }
    if (short_of) {
        weft_fail(WEFT_ENOMEM, "out of memory");
        weft_comm_abort(c);
    }
    return bcast(c, *data, (int)n, MPI_CHAR, 0, "sharing");
}

static weft_status reduce(const weft_comm *c, double *v, int n, MPI_Op op)
{
    MPI_Request r;

    if (c->alone) return WEFT_OK;
    return weft_watch_all(
        MPI_Iallreduce(MPI_IN_PLACE, v, n, MPI_DOUBLE, op, c->mpi, &r), &r, c,
        "reducing");
}

weft_status weft_comm_sum(const weft_comm *c, double *v, int n)
{
    return reduce(c, v, n, MPI_SUM);
}

weft_status weft_comm_max(const weft_comm *c, double *v, int n)
{
    return reduce(c, v, n, MPI_MAX);
}

weft_status weft_comm_collect(const weft_comm *c, const double *mine, int n,
                              double *all)
{
    MPI_Request r;

    if (c->alone) {
        memcpy(all, mine, (size_t)n * sizeof *mine);
        return WEFT_OK;
    }
    return weft_watch_all(
        MPI_Igather(mine, n, MPI_DOUBLE, all, n, MPI_DOUBLE, 0, c->mpi, &r), &r,
        c, "collecting");
}

weft_status weft_comm_barrier(const weft_comm *c)
{
    MPI_Request r;

    if (c->alone) return WEFT_OK;
    return weft_watch_all(MPI_Ibarrier(c->mpi, &r), &r, c, "meeting");
}
