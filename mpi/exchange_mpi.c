#include "mpi/exchange_mpi.h"

#include <limits.h>
#include <stdlib.h>

#include "core/mail.h"
#include "mpi/internal.h"

/* The requests of one mail, a parcel each. */
typedef struct requests {
    int n, under_way; /* index into exchange_mpi.under_way, or -1 */
    weft_mail *mail;
    MPI_Request request[];
} requests;

typedef struct exchange_mpi {
    weft_exchange base;
    MPI_Comm comm[WEFT_CLASSES]; /* made when a class first has a mail */
    const weft_comm *patches;
    requests **under_way; /* started and not known to be complete */
    int nunder_way, room, next;
} exchange_mpi;

/* ---- plan: requests ------------------------------------------------------ */

/* Collective: every patch prepares the same mails in the same order. */
static weft_status open_class(exchange_mpi *m, weft_class class)
{
    MPI_Request r;

    if (m->comm[class] != MPI_COMM_NULL) return WEFT_OK;
    WEFT_TRY(weft_watch_all(MPI_Comm_idup(m->patches->mpi, &m->comm[class], &r),
                            &r, m->patches, "MPI_Comm_idup"));
    return weft_mpi_check(
        MPI_Comm_set_errhandler(m->comm[class], MPI_ERRORS_RETURN),
        "MPI_Comm_set_errhandler");
}

/* Units are counted where bytes do not fit MPI's int. */
static weft_status add(exchange_mpi *m, const weft_mail *mail,
                       const weft_parcel *p, MPI_Request *r)
{
    const MPI_Comm comm = m->comm[mail->class];
    MPI_Datatype type = MPI_BYTE;
    size_t count = p->bytes;
    int code;

    if (count > INT_MAX) {
        count = p->bytes / p->unit;
        if (p->unit > INT_MAX || count > INT_MAX)
            return weft_fail(WEFT_EINPUT, "%s: rows of %zu bytes are too long",
                             mail->layer, p->unit);
        MPI_Type_contiguous((int)p->unit, MPI_BYTE, &type);
        MPI_Type_commit(&type);
    }
    code = mail->out ? MPI_Send_init(p->at, (int)count, type, p->peer,
                                     mail->tag, comm, r)
                     : MPI_Recv_init(p->at, (int)count, type, p->peer,
                                     mail->tag, comm, r);
    if (type != MPI_BYTE) MPI_Type_free(&type);
    return weft_mpi_check(code, mail->out ? "MPI_Send_init" : "MPI_Recv_init");
}

/* So that no start needs memory. */
static weft_status make_room(exchange_mpi *m)
{
    requests **more =
        realloc(m->under_way, (size_t)(m->room + 1) * sizeof *more);

    if (!more) return weft_fail(WEFT_ENOMEM, "out of memory for requests");
    m->under_way = more;
    m->room++;
    return WEFT_OK;
}

static weft_status prepare(weft_exchange *x, weft_mail *mail)
{
    exchange_mpi *m = (exchange_mpi *)x;
    requests *q;

    WEFT_TRY(open_class(m, mail->class));
    WEFT_TRY(make_room(m));
    q = calloc(1, sizeof *q + (size_t)mail->n * sizeof(MPI_Request));
    if (!q) return weft_fail(WEFT_ENOMEM, "out of memory for requests");
    mail->via = q;
    q->mail = mail;
    q->under_way = -1;
    for (; q->n < mail->n; q->n++)
        WEFT_TRY(add(m, mail, &mail->parcel[q->n], &q->request[q->n]));
    return WEFT_OK;
}

static void forget(weft_exchange *x, weft_mail *mail)
{
    requests *q = mail->via;

    (void)x;
    for (int i = 0; q && i < q->n; i++) MPI_Request_free(&q->request[i]);
    free(q);
    mail->via = NULL;
}

/* ---- run ----------------------------------------------------------------- */

static void enter(exchange_mpi *m, requests *q)
{
    if (q->under_way >= 0) return;
    q->under_way = m->nunder_way;
    m->under_way[m->nunder_way++] = q;
}

static void leave(exchange_mpi *m, requests *q)
{
    const int i = q->under_way;

    if (i < 0) return;
    m->under_way[i] = m->under_way[--m->nunder_way];
    m->under_way[i]->under_way = i;
    q->under_way = -1;
}

static weft_status start(weft_exchange *x, weft_mail *mail)
{
    exchange_mpi *m = (exchange_mpi *)x;
    requests *q = mail->via;

    enter(m, q);
    return weft_mpi_check(MPI_Startall(q->n, q->request), mail->layer);
}

/* A persistent request that is complete is inactive: waiting for it again
 * returns at once. */
static weft_status wait(weft_exchange *x, weft_mail *mail, int i)
{
    exchange_mpi *m = (exchange_mpi *)x;
    requests *q = mail->via;
    const weft_awaited a = {.comm = m->patches,
                            .peer = mail->parcel[i].peer,
                            .out = mail->out,
                            .what = mail->layer,
                            .class = weft_class_name[mail->class],
                            .lane = x->name ? x->name : "",
                            .evaluation = x->t,
                            .slot = mail->tag};

    if (i == q->n - 1) leave(m, q);
    return weft_watch_wait(&q->request[i], &a);
}

static bool arrived(weft_exchange *x, weft_mail *mail, int i)
{
    requests *q = mail->via;
    int here = 0;

    (void)x;
    return MPI_Test(&q->request[i], &here, MPI_STATUS_IGNORE) == MPI_SUCCESS &&
           here;
}

/* A test lets MPI move everything, of all lanes; they take turns in being
 * tested, so that each is known to be complete before long. */
static void poll(weft_exchange *x)
{
    exchange_mpi *m = (exchange_mpi *)x;
    requests *q;
    int here = 0;

    if (!m->nunder_way) return;
    m->next = (m->next + 1) % m->nunder_way;
    q = m->under_way[m->next];
    if (MPI_Testall(q->n, q->request, &here, MPI_STATUSES_IGNORE) ==
            MPI_SUCCESS &&
        here) {
        leave(m, q);
        weft_exchange_left(x, q->mail);
    }
}

static void release(weft_exchange *x)
{
    exchange_mpi *m = (exchange_mpi *)x;

    free(m->under_way);
    for (int c = 0; c < WEFT_CLASSES; c++)
        if (m->comm[c] != MPI_COMM_NULL) MPI_Comm_free(&m->comm[c]);
}

static const weft_transport transport = {.name = "mpi",
                                         .prepare = prepare,
                                         .start = start,
                                         .wait = wait,
                                         .arrived = arrived,
                                         .poll = poll,
                                         .forget = forget,
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
