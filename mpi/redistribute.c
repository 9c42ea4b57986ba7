#include "mpi/redistribute.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "mpi/internal.h"

struct weft_crossroads {
    const weft_comm *group;
    MPI_Comm comm;
    weft_traffic *traffic;
    int made;                /* redistributions so far: their tags */
    weft_redistribute *last; /* posted last, or NULL */
};

struct weft_redistribute {
    weft_crossroads *at;
    weft_class class;
    const char *what;
    const char *from; /* what I want of myself */
    char *to;
    size_t own;
    uint64_t bytes; /* that I send each time */
    bool sending, receiving;
    int nreceives, nsends;
    int *peer;             /* of each request, owned */
    MPI_Request request[]; /* receives, then sends */
};

/* ---- plan ---------------------------------------------------------------- */

weft_status weft_crossroads_open(const weft_comm *group, weft_traffic *traffic,
                                 weft_crossroads **out)
{
    weft_crossroads *c = calloc(1, sizeof *c);

    if (!c) return weft_fail(WEFT_ENOMEM, "out of memory for requests");
    c->group = group;
    c->traffic = traffic;
    c->comm = MPI_COMM_NULL;
    *out = c;
    if (group->alone) return WEFT_OK;
    WEFT_TRY(
        weft_mpi_check(MPI_Comm_dup(group->mpi, &c->comm), "MPI_Comm_dup"));
    return weft_mpi_check(MPI_Comm_set_errhandler(c->comm, MPI_ERRORS_RETURN),
                          "MPI_Comm_set_errhandler");
}

void weft_crossroads_close(weft_crossroads *c)
{
    if (!c) return;
    if (c->comm != MPI_COMM_NULL) MPI_Comm_free(&c->comm);
    free(c);
}

int weft_crossroads_ranks(const weft_crossroads *c) { return c->group->size; }

/* Units are what is counted where bytes do not fit MPI's int. */
static weft_status add(weft_redistribute *r, bool send, const weft_overlap *o,
                       char *at, size_t unit_bytes)
{
    const int units = weft_span_units(o->units);
    const size_t bytes = (size_t)units * unit_bytes;
    MPI_Request *q = &r->request[r->nreceives + r->nsends];
    MPI_Datatype type = MPI_BYTE;
    int count = (int)bytes, code;

    if (unit_bytes > INT_MAX)
        return weft_fail(WEFT_EINPUT, "%s: units of %zu bytes are too long",
                         r->what, unit_bytes);
    if (bytes > INT_MAX) {
        count = units;
        MPI_Type_contiguous((int)unit_bytes, MPI_BYTE, &type);
        MPI_Type_commit(&type);
    }
    code = send ? MPI_Send_init(at, count, type, o->peer, r->at->made,
                                r->at->comm, q)
                : MPI_Recv_init(at, count, type, o->peer, r->at->made,
                                r->at->comm, q);
    if (type != MPI_BYTE) MPI_Type_free(&type);
    WEFT_TRY(weft_mpi_check(code, send ? "MPI_Send_init" : "MPI_Recv_init"));
    r->peer[r->nreceives + r->nsends] = o->peer;
    *(send ? &r->nsends : &r->nreceives) += 1;
    if (send) r->bytes += bytes;
    return WEFT_OK;
}

/* The messages of one direction: overlaps of `mine` with what peers hold or
 * want, in the rows that begin at `base`. */
static weft_status add_all(weft_redistribute *r, bool send, weft_span mine,
                           const weft_overlap *o, int n, char *base,
                           size_t unit_bytes)
{
    const int me = r->at->group->rank;

    for (int i = 0; i < n; i++) {
        char *at = base + (size_t)(o[i].units.from - mine.from) * unit_bytes;

        if (o[i].peer != me) {
            WEFT_TRY(add(r, send, &o[i], at, unit_bytes));
        } else if (send) {
            r->from = at;
            r->own = (size_t)weft_span_units(o[i].units) * unit_bytes;
        } else {
            r->to = at;
        }
    }
    return WEFT_OK;
}

static weft_status connect(weft_redistribute *r,
                           const weft_redistribute_spec *s, weft_overlap *o)
{
    const int me = r->at->group->rank, n = r->at->group->size;
    const weft_span have = s->have[me], want = s->want[me];

    WEFT_TRY(add_all(r, false, want, o, weft_overlaps(want, s->have, n, o),
                     s->all, s->unit_bytes));
    return add_all(r, true, have, o, weft_overlaps(have, s->want, n, o),
                   s->mine, s->unit_bytes);
}

weft_status weft_redistribute_create(weft_crossroads *c,
                                     const weft_redistribute_spec *s,
                                     weft_redistribute **out)
{
    const size_t ranks = (size_t)c->group->size;
    weft_redistribute *r =
        calloc(1, sizeof *r + 2 * ranks * sizeof(MPI_Request));
    int *peer = malloc(2 * ranks * sizeof *peer);
    weft_overlap *o = malloc(ranks * sizeof *o);
    weft_status st = WEFT_OK;

    WEFT_MUST(weft_crossing_is_valid(s->have, s->want, c->group->size));
    if (r && o && peer) {
        r->at = c;
        r->peer = peer;
        r->class = s->class;
        r->what = s->what;
        st = connect(r, s, o);
    } else {
        st = weft_fail(WEFT_ENOMEM, "out of memory for requests");
        free(peer);
    }
    free(o);
    if (st == WEFT_OK) {
        c->made++;
        *out = r;
        return WEFT_OK;
    }
    weft_redistribute_destroy(r);
    return st;
}

void weft_redistribute_destroy(weft_redistribute *r)
{
    if (!r) return;
    if (r->at && r->at->last == r) r->at->last = NULL;
    for (int i = 0; i < r->nreceives + r->nsends; i++)
        MPI_Request_free(&r->request[i]);
    free(r->peer);
    free(r);
}

/* ---- run ----------------------------------------------------------------- */

static weft_status complete(weft_redistribute *r, int first, int n, bool *open)
{
    if (!*open) return WEFT_OK;
    *open = false;
    for (int i = first; i < first + n; i++) {
        const weft_awaited a = {.comm = r->at->group,
                                .peer = r->peer[i],
                                .out = i >= r->nreceives,
                                .what = r->what,
                                .class = weft_class_name[r->class]};

        WEFT_TRY(weft_watch_wait(&r->request[i], &a));
    }
    return WEFT_OK;
}

weft_status weft_redistribute_ready(weft_redistribute *r)
{
    return complete(r, r->nreceives, r->nsends, &r->sending);
}

weft_status weft_redistribute_post(weft_redistribute *r)
{
    const int n = r->nreceives + r->nsends;

    WEFT_MUST(!r->receiving && !r->sending);
    if (r->own && r->to != r->from) memcpy(r->to, r->from, r->own);
    if (!n) return WEFT_OK;
    r->receiving = r->nreceives > 0;
    r->sending = r->nsends > 0;
    r->at->last = r;
    r->at->traffic->bytes[r->class] += r->bytes;
    r->at->traffic->messages[r->class] += (uint64_t)r->nsends;
    return weft_mpi_check(MPI_Startall(n, r->request), r->what);
}

weft_status weft_redistribute_wait(weft_redistribute *r)
{
    const double start = weft_clock();
    const weft_status st = complete(r, 0, r->nreceives, &r->receiving);
    const double waited = weft_clock() - start;

    r->at->traffic->exposed_s += waited;
    r->at->traffic->exposed_by[r->class] += waited;
    return st;
}

/* Asking about one message lets MPI progress all of them. */
void weft_crossroads_poll(weft_crossroads *c)
{
    int done;

    if (c->last && (c->last->sending || c->last->receiving))
        MPI_Request_get_status(c->last->request[0], &done, MPI_STATUS_IGNORE);
}
