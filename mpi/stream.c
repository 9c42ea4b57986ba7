#include "mpi/stream.h"

#include <limits.h>
#include <stdlib.h>

#include "mpi/internal.h"

enum { TAG = 1 };

static int smaller(int a, int b) { return a < b ? a : b; }

static weft_rect rect_of(const weft_stream *s, int patch)
{
    return weft_cut_rect(s->cut, &s->cell, patch);
}

static size_t row_bytes(const weft_stream *s)
{
    return (size_t)s->cell.width * s->pixel_bytes;
}

static char *half(const weft_stream *s, int which)
{
    return s->buffer + (size_t)which * (size_t)s->piece * row_bytes(s);
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
    const weft_rect mine = rect_of(s, s->cut->me);
    const size_t row_mine = (size_t)mine.columns * s->pixel_bytes;
    MPI_Request request[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
    int which = 0;

    for (int row = 0; row < mine.rows; row += s->piece, which = !which) {
        const int n = smaller(s->piece, mine.rows - row);
        const size_t bytes = (size_t)n * row_mine;

        WEFT_TRY(await(s, &request[which], 0, true));
        s->give(s->give_arg, row, n, half(s, which), row_mine);
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

/* A piece of the image: `rows` rows from row `row` of the line of patches that
 * begins with `patch`; behind the end `patch` is their number. */
typedef struct place {
    int patch, row, rows;
} place;

static place next(const weft_stream *s, place p)
{
    p.row += p.rows;
    while (p.patch < s->cut->n && p.row >= rect_of(s, p.patch).rows)
        p.patch += weft_cut_across(s->cut), p.row = 0;
    p.rows = p.patch < s->cut->n
                 ? smaller(s->piece, rect_of(s, p.patch).rows - p.row)
                 : 0;
    return p;
}

/* A patch's part of the rows, into its columns at `to`. */
static weft_status fetch_part(const weft_stream *s, place p, int patch,
                              char *to, MPI_Request *request)
{
    const int bytes = (int)((size_t)rect_of(s, patch).columns * s->pixel_bytes);
    MPI_Datatype columns;
    int code;

    if (patch == s->cut->me) {
        s->give(s->give_arg, p.row, p.rows, to, row_bytes(s));
        return WEFT_OK;
    }
    WEFT_TRY(weft_mpi_check(
        MPI_Type_vector(p.rows, bytes, (int)row_bytes(s), MPI_BYTE, &columns),
        "MPI_Type_vector"));
    MPI_Type_commit(&columns);
    code = MPI_Irecv(to, 1, columns, patch, TAG, s->patches->mpi, request);
    MPI_Type_free(&columns);
    return weft_mpi_check(code, "receiving rows");
}

/* request: [across], all of them null. */
static weft_status fetch(const weft_stream *s, place p, int which,
                         MPI_Request *request)
{
    const int end = smaller(p.patch + weft_cut_across(s->cut), s->cut->n);

    for (int patch = p.patch; patch < end; patch++)
        WEFT_TRY(fetch_part(s, p, patch,
                            half(s, which) + (size_t)rect_of(s, patch).column *
                                                 s->pixel_bytes,
                            &request[patch - p.patch]));
    return WEFT_OK;
}

static weft_status await_all(const weft_stream *s, place p,
                             MPI_Request *request)
{
    for (int k = 0; k < weft_cut_across(s->cut); k++)
        WEFT_TRY(await(s, &request[k], p.patch + k, false));
    return WEFT_OK;
}

static weft_status take_all(const weft_stream *s, MPI_Request *request)
{
    place now = next(s, (place){0, 0, 0});
    weft_status taken = WEFT_OK;

    WEFT_TRY(fetch(s, now, 0, request));
    for (int which = 0; now.patch < s->cut->n; which = !which) {
        const place then = next(s, now);
        const int row = rect_of(s, now.patch).row + now.row;

        WEFT_TRY(await_all(s, now, request));
        WEFT_TRY(fetch(s, then, !which, request));
        if (taken == WEFT_OK)
            taken = s->take(s->take_arg, row, now.rows, half(s, which));
        now = then;
    }
    return taken;
}

static weft_status take_rows(const weft_stream *s)
{
    const int across = weft_cut_across(s->cut);
    MPI_Request *request = malloc((size_t)across * sizeof *request);
    weft_status st;

    if (!request) return weft_fail(WEFT_ENOMEM, "out of memory for requests");
    for (int k = 0; k < across; k++) request[k] = MPI_REQUEST_NULL;
    st = take_all(s, request);
    free(request);
    return st;
}

weft_status weft_stream_run(const weft_stream *s)
{
    if ((size_t)s->piece * row_bytes(s) > INT_MAX)
        return weft_fail(WEFT_EINPUT, "rows of %zu bytes are too long to send",
                         row_bytes(s));
    return s->cut->me == 0 ? take_rows(s) : send_mine(s);
}
