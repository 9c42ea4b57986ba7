#include "mpi/exchange_mpi.h"

#include <limits.h>
#include <stdlib.h>

#include "mpi/internal.h"

/* The requests of one slot: receives first, then sends. */
typedef struct slot_requests {
    int n;
    bool done; /* completed by polling, before anybody asked */
    uint64_t bytes;
    int messages; /* sent in one evaluation */
    MPI_Request request[];
} slot_requests;

typedef struct exchange_mpi {
    weft_exchange base;
    MPI_Comm comm[WEFT_CLASSES]; /* made when a class first has a slot */
    const weft_comm *patches;
    slot_requests *under_way; /* posted last and not yet complete, or NULL */
} exchange_mpi;

/* ---- plan: requests ------------------------------------------------------ */

/* Collective: every patch binds the same slots in the same order. */
static weft_status open_class(exchange_mpi *m, weft_class class)
{
    if (m->comm[class] != MPI_COMM_NULL) return WEFT_OK;
    WEFT_TRY(weft_mpi_check(MPI_Comm_dup(m->patches->mpi, &m->comm[class]),
                            "MPI_Comm_dup"));
    return weft_mpi_check(
        MPI_Comm_set_errhandler(m->comm[class], MPI_ERRORS_RETURN),
        "MPI_Comm_set_errhandler");
}

/* A persistent message of `rows` rows of slot s to or from `peer`. Rows are
 * the unit of counting where bytes do not fit MPI's int. */
static weft_status add(exchange_mpi *m, weft_slot *s, bool send, int peer,
                       void *at, int rows)
{
    slot_requests *q = s->via;
    MPI_Request *r = &q->request[q->n];
    const size_t bytes = (size_t)rows * s->spec.row_bytes;
    const MPI_Comm comm = m->comm[s->spec.class];
    MPI_Datatype type = MPI_BYTE;
    int count = (int)bytes, code;

    if (rows == 0) return WEFT_OK;
    if (s->spec.row_bytes > INT_MAX)
        return weft_fail(WEFT_EINPUT, "%s: rows of %zu bytes are too long",
                         s->spec.layer, s->spec.row_bytes);
    if (bytes > INT_MAX) {
        count = rows;
        MPI_Type_contiguous((int)s->spec.row_bytes, MPI_BYTE, &type);
        MPI_Type_commit(&type);
    }
    code = send ? MPI_Send_init(at, count, type, peer, s->id, comm, r)
                : MPI_Recv_init(at, count, type, peer, s->id, comm, r);
    if (type != MPI_BYTE) MPI_Type_free(&type);
    WEFT_TRY(weft_mpi_check(code, send ? "MPI_Send_init" : "MPI_Recv_init"));
    q->n++;
    if (send) q->messages++, q->bytes += bytes;
    return WEFT_OK;
}

static weft_status bind_border(exchange_mpi *m, weft_slot *s)
{
    const weft_exchange *x = &m->base;
    const int me = x->cut.me, up = me - 1, down = me + 1;
    const int above = s->spec.above, below = s->spec.below;
    const int rows = weft_slot_rows(x, s, me);
    const size_t row = s->spec.row_bytes;
    char *top = s->base, *end = s->base + (size_t)rows * row;

    if (up >= 0) {
        WEFT_TRY(add(m, s, false, up, top - (size_t)above * row, above));
        WEFT_TRY(add(m, s, true, up, top, below));
    }
    if (down < x->cut.n) {
        WEFT_TRY(add(m, s, false, down, end, below));
        WEFT_TRY(add(m, s, true, down, end - (size_t)above * row, above));
    }
    return WEFT_OK;
}

/* Peers in the order of distance, so that not everybody sends to patch 0
 * first. */
static weft_status bind_all(exchange_mpi *m, weft_slot *s)
{
    const weft_exchange *x = &m->base;
    const int me = x->cut.me, n = x->cut.n;

    for (int d = 1; d < n; d++) {
        const int from = (me - d + n) % n;

        WEFT_TRY(add(m, s, false, from, weft_slot_part(x, s, from),
                     weft_slot_rows(x, s, from)));
    }
    for (int d = 1; d < n; d++)
        WEFT_TRY(add(m, s, true, (me + d) % n, weft_slot_part(x, s, me),
                     weft_slot_rows(x, s, me)));
    return WEFT_OK;
}

static weft_status bind(weft_exchange *x, weft_slot *s)
{
    exchange_mpi *m = (exchange_mpi *)x;
    const int most =
        s->spec.reach == WEFT_REACH_BORDER ? 4 : 2 * (x->cut.n - 1);

    WEFT_TRY(open_class(m, s->spec.class));
    s->via =
        calloc(1, sizeof(slot_requests) + (size_t)most * sizeof(MPI_Request));
    if (!s->via) return weft_fail(WEFT_ENOMEM, "out of memory for requests");
    return s->spec.reach == WEFT_REACH_BORDER ? bind_border(m, s)
                                              : bind_all(m, s);
}

/* ---- run ----------------------------------------------------------------- */

static weft_status post(weft_exchange *x, weft_slot *s)
{
    exchange_mpi *m = (exchange_mpi *)x;
    slot_requests *q = s->via;

    if (!q->n) return WEFT_OK;
    q->done = false;
    m->under_way = q;
    x->traffic.bytes[s->spec.class] += q->bytes;
    x->traffic.messages[s->spec.class] += (uint64_t)q->messages;
    return weft_mpi_check(MPI_Startall(q->n, q->request), s->spec.layer);
}

static weft_status wait(weft_exchange *x, weft_slot *s)
{
    exchange_mpi *m = (exchange_mpi *)x;
    slot_requests *q = s->via;

    if (m->under_way == q) m->under_way = NULL;
    if (!q->n || q->done) return WEFT_OK;
    return weft_mpi_check(MPI_Waitall(q->n, q->request, MPI_STATUSES_IGNORE),
                          s->spec.layer);
}

/* Testing one set of requests lets MPI progress all of them. */
static void poll(weft_exchange *x)
{
    exchange_mpi *m = (exchange_mpi *)x;
    int done = 0;

    if (!m->under_way) return;
    if (MPI_Testall(m->under_way->n, m->under_way->request, &done,
                    MPI_STATUSES_IGNORE) == MPI_SUCCESS &&
        done) {
        m->under_way->done = true;
        m->under_way = NULL;
    }
}

static void release(weft_exchange *x)
{
    exchange_mpi *m = (exchange_mpi *)x;

    for (int i = 0; i < x->nslots; i++) {
        slot_requests *q = x->slot[i].via;

        for (int k = 0; q && k < q->n; k++) MPI_Request_free(&q->request[k]);
        free(q);
    }
    for (int c = 0; c < WEFT_CLASSES; c++)
        if (m->comm[c] != MPI_COMM_NULL) MPI_Comm_free(&m->comm[c]);
}

static const weft_transport transport = {.name = "mpi",
                                         .bind = bind,
                                         .post = post,
                                         .wait = wait,
                                         .poll = poll,
                                         .release = release};

weft_status weft_exchange_mpi_create(const weft_comm *patches,
                                     const weft_cut *cut, weft_schedule sched,
                                     weft_exchange **x)
{
    exchange_mpi *m = calloc(1, sizeof *m);
    weft_status st;

    WEFT_MUST(patches->size == cut->n && patches->rank == cut->me);
    if (!m) return weft_fail(WEFT_ENOMEM, "out of memory for an exchange");
    m->patches = patches;
    for (int c = 0; c < WEFT_CLASSES; c++) m->comm[c] = MPI_COMM_NULL;
    st = weft_exchange_init(&m->base, cut->n == 1 ? &weft_solo : &transport,
                            cut, sched);
    if (st != WEFT_OK)
        free(m);
    else
        *x = &m->base;
    return st;
}

void weft_exchange_mpi_destroy(weft_exchange *x)
{
    if (!x) return;
    weft_exchange_release(x);
    free(x);
}
