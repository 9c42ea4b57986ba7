#include "mpi/gather_trace.h"

#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/io/file.h"
#include "mpi/internal.h"

enum { PIECE = 1 << 16, TAG_PING = 11, TAG_TEXT };

static weft_status await(const weft_comm *c, MPI_Request *r, int peer, bool out)
{
    const weft_awaited a = {
        .comm = c, .peer = peer, .out = out, .what = "the trace"};

    return weft_watch_wait(r, &a);
}

static weft_status send(const weft_comm *c, void *data, int bytes, int to,
                        int tag)
{
    MPI_Request r;

    WEFT_TRY(weft_mpi_check(
        MPI_Isend(data, bytes, MPI_BYTE, to, tag, c->mpi, &r), "MPI_Isend"));
    return await(c, &r, to, true);
}

static weft_status receive(const weft_comm *c, void *data, int room, int from,
                           int tag)
{
    MPI_Request r;

    WEFT_TRY(weft_mpi_check(
        MPI_Irecv(data, room, MPI_BYTE, from, tag, c->mpi, &r), "MPI_Irecv"));
    return await(c, &r, from, false);
}

/* ---- one clock ----------------------------------------------------------- */

/* Rank 0: what a rank's clock is ahead of mine. */
static weft_status ask(const weft_comm *c, int rank, double *ahead)
{
    double best = 0;

    for (int i = 0; i < WEFT_TRACE_PINGS; i++) {
        const double sent = weft_clock();
        double theirs, back;

        WEFT_TRY(send(c, NULL, 0, rank, TAG_PING));
        WEFT_TRY(receive(c, &theirs, sizeof theirs, rank, TAG_PING));
        back = weft_clock();
        if (i && back - sent >= best) continue;
        best = back - sent;
        *ahead = theirs - (sent + back) / 2;
    }
    return WEFT_OK;
}

static weft_status answer(const weft_comm *c)
{
    for (int i = 0; i < WEFT_TRACE_PINGS; i++) {
        double now;

        WEFT_TRY(receive(c, NULL, 0, 0, TAG_PING));
        now = weft_clock();
        WEFT_TRY(send(c, &now, sizeof now, 0, TAG_PING));
    }
    return WEFT_OK;
}

weft_status weft_trace_align(const weft_comm *c, double *zero)
{
    *zero = weft_clock();
    if (c->size == 1) return WEFT_OK;
    if (c->rank != 0) {
        WEFT_TRY(answer(c));
        return receive(c, zero, sizeof *zero, 0, TAG_PING);
    }
    for (int i = 1; i < c->size; i++) {
        double ahead = 0, theirs;

        WEFT_TRY(ask(c, i, &ahead));
        theirs = *zero + ahead;
        WEFT_TRY(send(c, &theirs, sizeof theirs, i, TAG_PING));
    }
    return WEFT_OK;
}

/* ---- one file ------------------------------------------------------------ */

/* A rank's row: its name, what it lost, and events in pieces. The last piece
 * is empty. */
static size_t next_piece(const weft_comm *c, const weft_trace *t, double zero,
                         size_t *next, bool *named, char *text)
{
    if (*named) return weft_trace_format(t, next, c->rank, zero, text, PIECE);
    *named = true;
    return (size_t)snprintf(
        text, PIECE,
        "%s{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":0,"
        "\"args\":{\"name\":\"rank %d on %s\",\"lost\":%llu}}",
        c->rank ? ",\n" : "", c->rank, c->rank, c->host,
        (unsigned long long)t->lost);
}

static weft_status give(const weft_comm *c, const weft_trace *t, double zero)
{
    char text[PIECE];
    size_t next = 0, n;
    bool named = false;

    do {
        uint64_t bytes;

        n = next_piece(c, t, zero, &next, &named, text);
        bytes = n;
        WEFT_TRY(send(c, &bytes, sizeof bytes, 0, TAG_TEXT));
        if (n) WEFT_TRY(send(c, text, (int)n, 0, TAG_TEXT));
    } while (n);
    return WEFT_OK;
}

/* A disk that is full does not keep the others from being heard. */
static weft_status take(const weft_comm *c, int from, weft_file *f,
                        weft_status *written)
{
    char text[PIECE];
    uint64_t bytes = 0;

    for (;;) {
        WEFT_TRY(receive(c, &bytes, sizeof bytes, from, TAG_TEXT));
        if (!bytes) return WEFT_OK;
        WEFT_MUST(bytes <= sizeof text);
        WEFT_TRY(receive(c, text, (int)bytes, from, TAG_TEXT));
        if (*written == WEFT_OK) *written = weft_file_write(f, text, bytes);
    }
}

static weft_status write_text(weft_file *f, const char *text)
{
    return weft_file_write(f, text, strlen(text));
}

static weft_status write_mine(const weft_comm *c, const weft_trace *t,
                              double zero, weft_file *f)
{
    char text[PIECE];
    size_t next = 0, n;
    bool named = false;

    while ((n = next_piece(c, t, zero, &next, &named, text)))
        WEFT_TRY(weft_file_write(f, text, n));
    return WEFT_OK;
}

static weft_status write_all(const weft_comm *c, const weft_trace *t,
                             double zero, weft_file *f)
{
    weft_status written =
        write_text(f, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");

    if (written == WEFT_OK) written = write_mine(c, t, zero, f);
    for (int i = 1; i < c->size; i++) WEFT_TRY(take(c, i, f, &written));
    return written == WEFT_OK ? write_text(f, "\n]}\n") : written;
}

static weft_status write_file(const weft_comm *c, const weft_trace *t,
                              double zero, const char *path)
{
    weft_file f;
    weft_status st;

    WEFT_TRY(weft_file_create(path, &f));
    st = write_all(c, t, zero, &f);
    if (st == WEFT_OK) return weft_file_commit(&f);
    weft_file_abandon(&f);
    return st;
}

weft_status weft_trace_gather(const weft_comm *c, const weft_trace *t,
                              double zero, const char *path)
{
    const weft_status st =
        c->rank == 0 ? write_file(c, t, zero, path) : give(c, t, zero);

    return weft_comm_agree(c, st);
}
