#include "mpi/stream.h"

#include <limits.h>

#include "mpi/internal.h"

enum { TAG = 1 };

static int smaller(int a, int b) { return a < b ? a : b; }

static int rows_of(const weft_stream *s, int patch)
{
    return weft_cut_units(s->cut, patch) * s->rows_per_unit;
}

static char *half(const weft_stream *s, int which)
{
    return s->buffer + (size_t)which * (size_t)s->piece * s->row_bytes;
}

/* Until a piece came from, or went to, a patch. */
static weft_status await(const weft_stream *s, MPI_Request *r, int patch,
                         bool out)
{
    const weft_awaited a = {.comm = s->patches,
                            .peer = patch,
                            .out = out,
                            .what = "rows of the image",
                            .class = weft_class_name[WEFT_OUTPUT]};

    return weft_watch_wait(r, &a);
}

/* ---- the givers ---------------------------------------------------------- */

/* Two pieces in turn: one is made while the other one leaves. */
static weft_status send_mine(const weft_stream *s)
{
    const int rows = rows_of(s, s->cut->me);
    MPI_Request request[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
    int which = 0;

    for (int row = 0; row < rows; row += s->piece, which = !which) {
        const int n = smaller(s->piece, rows - row);
        const size_t bytes = (size_t)n * s->row_bytes;

        WEFT_TRY(await(s, &request[which], 0, true));
        s->give(s->give_arg, row, n, half(s, which));
        WEFT_TRY(
            weft_mpi_check(MPI_Isend(half(s, which), (int)bytes, MPI_BYTE, 0,
                                     TAG, s->patches->mpi, &request[which]),
                           "sending rows"));
        s->traffic->bytes[WEFT_OUTPUT] += bytes;
        s->traffic->messages[WEFT_OUTPUT]++;
    }
    WEFT_TRY(await(s, &request[which], 0, true));
    return await(s, &request[!which], 0, true);
}

/* ---- the taker ----------------------------------------------------------- */

/* The piece of the image that begins at (patch, row of the patch). */
typedef struct place {
    int patch, row, rows;
} place;

static place next(const weft_stream *s, place p)
{
    p.row += p.rows;
    while (p.patch < s->cut->n && p.row >= rows_of(s, p.patch))
        p.patch++, p.row = 0;
    p.rows = p.patch < s->cut->n
                 ? smaller(s->piece, rows_of(s, p.patch) - p.row)
                 : 0;
    return p;
}

static weft_status fetch(const weft_stream *s, place p, int which,
                         MPI_Request *request)
{
    if (p.patch >= s->cut->n) return WEFT_OK;
    if (p.patch == s->cut->me) {
        s->give(s->give_arg, p.row, p.rows, half(s, which));
        return WEFT_OK;
    }
    return weft_mpi_check(
        MPI_Irecv(half(s, which), (int)((size_t)p.rows * s->row_bytes),
                  MPI_BYTE, p.patch, TAG, s->patches->mpi, request),
        "receiving rows");
}

static weft_status take_all(const weft_stream *s)
{
    place now = next(s, (place){0, 0, 0});
    weft_status taken = WEFT_OK;
    MPI_Request request = MPI_REQUEST_NULL;

    WEFT_TRY(fetch(s, now, 0, &request));
    for (int which = 0; now.patch < s->cut->n; which = !which) {
        const place then = next(s, now);
        const int row = s->cut->first[now.patch] * s->rows_per_unit + now.row;

        WEFT_TRY(await(s, &request, now.patch, false));
        WEFT_TRY(fetch(s, then, !which, &request));
        if (taken == WEFT_OK)
            taken = s->take(s->take_arg, row, now.rows, half(s, which));
        now = then;
    }
    return taken;
}

weft_status weft_stream_run(const weft_stream *s)
{
    if ((size_t)s->piece * s->row_bytes > INT_MAX)
        return weft_fail(WEFT_EINPUT, "rows of %zu bytes are too long to send",
                         s->row_bytes);
    return s->cut->me == 0 ? take_all(s) : send_mine(s);
}
