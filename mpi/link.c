#include "mpi/link.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "mpi/internal.h"

enum {
    FEW = 4,
    ROUNDS = 200,    /* of small messages */
    SMALL = 64,      /* bytes */
    FIRST = 1 << 18, /* bytes, to learn how many are enough */
    LEAST = 1 << 18,
    MOST = 1 << 26,
    CHUNK = 20000, /* multiplications between two polls, some 20 us */
    TAG = 0,
};

/* A stream is to take this long. */
static const double LONG_S = 0.2;

typedef struct pair {
    const weft_comm *comm;
    int peer;
    bool first;
    char *out, *in; /* [MOST] */
    MPI_Request r[2 * ROUNDS];
} pair;

static weft_status await(const pair *p, MPI_Request *r)
{
    const weft_awaited a = {
        .comm = p->comm, .peer = p->peer, .what = "measuring the link"};

    return weft_watch_wait(r, &a);
}

static weft_status check(int code) { return weft_mpi_check(code, "MPI_Isend"); }

/* ---- messages ------------------------------------------------------------ */

static weft_status send(pair *p, size_t bytes, MPI_Request *r)
{
    return check(
        MPI_Isend(p->out, (int)bytes, MPI_BYTE, p->peer, TAG, p->comm->mpi, r));
}

static weft_status receive(pair *p, size_t bytes, MPI_Request *r)
{
    return check(
        MPI_Irecv(p->in, (int)bytes, MPI_BYTE, p->peer, TAG, p->comm->mpi, r));
}

static weft_status send_now(pair *p, size_t bytes)
{
    WEFT_TRY(send(p, bytes, p->r));
    return await(p, p->r);
}

static weft_status receive_now(pair *p, size_t bytes)
{
    WEFT_TRY(receive(p, bytes, p->r));
    return await(p, p->r);
}

/* To the peer and back. */
static weft_status bounce(pair *p, size_t there, size_t back)
{
    if (p->first) {
        WEFT_TRY(send_now(p, there));
        return receive_now(p, back);
    }
    WEFT_TRY(receive_now(p, there));
    return send_now(p, back);
}

/* n of them, both ways, not waited for. */
static weft_status cross(pair *p, int n, size_t bytes)
{
    for (int i = 0; i < n; i++) WEFT_TRY(receive(p, bytes, &p->r[i]));
    for (int i = 0; i < n; i++) WEFT_TRY(send(p, bytes, &p->r[n + i]));
    return WEFT_OK;
}

static weft_status finish(pair *p, int n)
{
    for (int i = 0; i < 2 * n; i++) WEFT_TRY(await(p, &p->r[i]));
    return WEFT_OK;
}

/* ---- times --------------------------------------------------------------- */

static weft_status time_bounce(pair *p, int n, size_t there, double *s)
{
    double start;

    WEFT_TRY(bounce(p, SMALL, SMALL));
    start = weft_clock();
    for (int i = 0; i < n; i++) WEFT_TRY(bounce(p, there, SMALL));
    *s = (weft_clock() - start) / n;
    return WEFT_OK;
}

static weft_status time_cross(pair *p, size_t bytes, double *s)
{
    double start;

    WEFT_TRY(bounce(p, SMALL, SMALL));
    start = weft_clock();
    WEFT_TRY(cross(p, 1, bytes));
    WEFT_TRY(finish(p, 1));
    *s = weft_clock() - start;
    return WEFT_OK;
}

/* Multiplications that take a processor, and a poll now and then, as between
 * the tasks of a pool. */
static double compute(pair *p, int chunks, int requests)
{
    const double start = weft_clock();
    volatile float x = 1;
    int here;

    for (int i = 0; i < chunks; i++) {
        float y = x;

        for (int k = 0; k < CHUNK; k++) y = y * 0.999999f + 1e-7f;
        x = y;
        if (requests) MPI_Testall(requests, p->r, &here, MPI_STATUSES_IGNORE);
    }
    return weft_clock() - start;
}

/* `chunks` with `n` messages each way under way. */
static weft_status compute_among(pair *p, int chunks, int n, size_t bytes,
                                 double *s)
{
    WEFT_TRY(bounce(p, SMALL, SMALL));
    *s = weft_clock();
    WEFT_TRY(cross(p, n, bytes));
    compute(p, chunks, 2 * n);
    *s = weft_clock() - *s;
    return finish(p, n);
}

/* How much longer they take than alone; the best of several, for a processor
 * may be slowed down by others at any moment. */
static weft_status time_busy(pair *p, int chunks, int n, size_t bytes,
                             double *more)
{
    double alone = INFINITY, with = INFINITY, s;

    for (int i = 0; i < FEW; i++) {
        WEFT_TRY(bounce(p, SMALL, SMALL));
        alone = fmin(alone, compute(p, chunks, 0));
        WEFT_TRY(compute_among(p, chunks, n, bytes, &s));
        with = fmin(with, s);
    }
    *more = fmax(with - alone, 0);
    return WEFT_OK;
}

/* ---- both ends ----------------------------------------------------------- */

static size_t enough(double bytes_per_s)
{
    const double bytes = bytes_per_s * LONG_S;

    return bytes < LEAST ? LEAST : bytes > MOST ? MOST : (size_t)bytes;
}

/* Both ends count by the number of the first. */
static weft_status agree_on(pair *p, double *n)
{
    memcpy(p->out, n, sizeof *n);
    if (p->first) return send_now(p, sizeof *n);
    WEFT_TRY(receive_now(p, sizeof *n));
    memcpy(n, p->in, sizeof *n);
    return WEFT_OK;
}

static weft_status measure(pair *p, weft_link_times *t)
{
    const double chunk = compute(p, 200, 0) / 200;
    const int chunks = (int)(1.5 * LONG_S / chunk) + 1;
    double s, bytes, rounds;

    WEFT_TRY(time_bounce(p, FEW, SMALL, &s));
    rounds = LONG_S / s < FEW ? FEW : LONG_S / s > ROUNDS ? ROUNDS : LONG_S / s;
    WEFT_TRY(agree_on(p, &rounds));
    WEFT_TRY(time_bounce(p, (int)rounds, SMALL, &s));
    t->latency_s = s / 2;
    WEFT_TRY(time_bounce(p, 3, FIRST, &s));
    bytes = (double)enough(FIRST / s);
    WEFT_TRY(agree_on(p, &bytes));
    WEFT_TRY(time_bounce(p, 2, (size_t)bytes, &s));
    t->one_way_bytes_per_s = bytes / (s - t->latency_s);
    WEFT_TRY(time_cross(p, (size_t)bytes, &s));
    t->bytes_per_s = bytes / s;
    bytes =
        (double)(size_t)(bytes / 2); /* so that it ends while they compute */
    WEFT_TRY(time_busy(p, chunks, 1, (size_t)bytes, &s));
    t->byte_s = s / (2 * bytes);
    WEFT_TRY(time_busy(p, chunks, ROUNDS, SMALL, &s));
    t->message_s = s / (2 * ROUNDS);
    return WEFT_OK;
}

static weft_status measure_pair(const weft_comm *c, int peer, bool first,
                                weft_link_times *t)
{
    pair p = {.comm = c, .peer = peer, .first = first};
    weft_status st;

    p.out = calloc(1, MOST);
    p.in = calloc(1, MOST);
    st = p.out && p.in ? measure(&p, t)
                       : weft_fail(WEFT_ENOMEM, "out of memory for a link");
    free(p.out);
    free(p.in);
    return st;
}

weft_status weft_link_measure(const weft_comm *c, int a, int b,
                              weft_link_times *t)
{
    weft_status st = WEFT_OK;
    double fact[5] = {0};

    *t = (weft_link_times){0};
    if (c->rank == a) st = measure_pair(c, b, true, t);
    if (c->rank == b) {
        weft_link_times theirs;

        st = measure_pair(c, a, false, &theirs);
    }
    WEFT_TRY(weft_comm_agree(c, st));
    memcpy(fact, t, sizeof fact);
    WEFT_TRY(weft_comm_sum(c, fact, 5));
    memcpy(t, fact, sizeof fact);
    return WEFT_OK;
}
