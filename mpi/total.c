#include "mpi/total.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "mpi/internal.h"

typedef struct total_mpi {
    const weft_comm *group;
    MPI_Comm comm;
    weft_traffic *traffic;
    int unit, most, units;
    weft_span mine, state; /* what I send of what I have */
    double *room;          /* [rows of the image][most] */
    int nfrom, nto;        /* myself not among them */
    weft_overlap *from, *to;
    MPI_Request *request; /* [nfrom + nto] */
} total_mpi;

static size_t rows_of(const total_mpi *m, int units)
{
    return (size_t)units * (size_t)m->unit;
}

/* ---- run ----------------------------------------------------------------- */

static weft_status post(total_mpi *m, const double *mine, int k)
{
    int n = 0;

    for (int i = 0; i < m->nfrom; i++) {
        const weft_span s = m->from[i].units;

        WEFT_TRY(weft_mpi_check(
            MPI_Irecv(m->room + rows_of(m, s.from) * (size_t)k,
                      (int)rows_of(m, weft_span_units(s)) * k, MPI_DOUBLE,
                      m->from[i].peer, 0, m->comm, &m->request[n++]),
            "receiving sums"));
    }
    for (int i = 0; i < m->nto; i++) {
        const int count = (int)rows_of(m, weft_span_units(m->mine)) * k;

        WEFT_TRY(
            weft_mpi_check(MPI_Isend(mine, count, MPI_DOUBLE, m->to[i].peer, 0,
                                     m->comm, &m->request[n++]),
                           "sending sums"));
        m->traffic->messages[WEFT_CONTROL]++;
        m->traffic->bytes[WEFT_CONTROL] += (size_t)count * sizeof *mine;
    }
    return WEFT_OK;
}

static weft_status complete(total_mpi *m)
{
    for (int i = 0; i < m->nfrom + m->nto; i++) {
        const bool out = i >= m->nfrom;
        const weft_awaited a = {.comm = m->group,
                                .peer = out ? m->to[i - m->nfrom].peer
                                            : m->from[i].peer,
                                .out = out,
                                .what = "sums over the image",
                                .class = weft_class_name[WEFT_CONTROL]};

        WEFT_TRY(weft_watch_wait(&m->request[i], &a));
    }
    return WEFT_OK;
}

static weft_status sum(const weft_total *t, const double *rowwise, int k,
                       double *total)
{
    total_mpi *m = t->via;
    const int before =
        weft_span_units(m->mine) ? m->mine.from - m->state.from : 0;
    const double *mine = rowwise + rows_of(m, before) * (size_t)k;
    const double start = weft_clock();
    weft_total all = weft_total_solo((int)rows_of(m, m->units));
    double waited;

    WEFT_MUST(k <= m->most);
    WEFT_TRY(post(m, mine, k));
    if (weft_span_units(m->mine))
        memcpy(m->room + rows_of(m, m->mine.from) * (size_t)k, mine,
               rows_of(m, weft_span_units(m->mine)) * (size_t)k * sizeof *mine);
    WEFT_TRY(complete(m));
    waited = weft_clock() - start;
    m->traffic->exposed_s += waited;
    m->traffic->exposed_by[WEFT_CONTROL] += waited;
    return weft_total_sum(&all, m->room, k, total);
}

/* ---- plan ---------------------------------------------------------------- */

static bool all_hold_all(const weft_total_spec *s, int units)
{
    for (int i = 0; i < s->group->size; i++)
        if (weft_span_units(s->state[i]) &&
            weft_span_units(s->state[i]) != units)
            return false;
    return true;
}

static int without(weft_overlap *o, int n, int peer)
{
    int kept = 0;

    for (int i = 0; i < n; i++)
        if (o[i].peer != peer) o[kept++] = o[i];
    return kept;
}

/* Whoever keeps state wants all rows. */
static void list_peers(total_mpi *m, const weft_total_spec *s)
{
    const int n = s->group->size, me = s->group->rank;
    const weft_span whole = {0, m->units};

    if (weft_span_units(m->state))
        m->nfrom =
            without(m->from, weft_overlaps(whole, s->have, n, m->from), me);
    for (int i = 0; i < n && weft_span_units(m->mine); i++)
        if (i != me && weft_span_units(s->state[i]))
            m->to[m->nto++] = (weft_overlap){i, m->mine};
}

static weft_status make(total_mpi *m, const weft_total_spec *s)
{
    const size_t n = (size_t)s->group->size;

    m->from = malloc(n * sizeof *m->from);
    m->to = malloc(n * sizeof *m->to);
    m->request = malloc(2 * n * sizeof *m->request);
    m->room = malloc(rows_of(m, m->units) * (size_t)m->most * sizeof *m->room);
    if (!m->from || !m->to || !m->request || !m->room)
        return weft_fail(WEFT_ENOMEM, "out of memory for sums");
    list_peers(m, s);
    WEFT_TRY(
        weft_mpi_check(MPI_Comm_dup(s->group->mpi, &m->comm), "MPI_Comm_dup"));
    return weft_mpi_check(MPI_Comm_set_errhandler(m->comm, MPI_ERRORS_RETURN),
                          "MPI_Comm_set_errhandler");
}

weft_status weft_total_mpi_create(const weft_total_spec *s, weft_total *t)
{
    const weft_span state = s->state[s->group->rank];
    int units = 0;
    total_mpi *m;
    weft_status st;

    for (int i = 0; i < s->group->size; i++)
        units += weft_span_units(s->have[i]);
    *t = weft_total_solo(weft_span_units(state) * s->unit);
    t->image_rows = units * s->unit;
    if (all_hold_all(s, units)) return WEFT_OK;
    m = calloc(1, sizeof *m);
    if (!m) return weft_fail(WEFT_ENOMEM, "out of memory for sums");
    *m = (total_mpi){.group = s->group,
                     .comm = MPI_COMM_NULL,
                     .traffic = s->traffic,
                     .unit = s->unit,
                     .most = s->most,
                     .units = units,
                     .mine = s->have[s->group->rank],
                     .state = state};
    t->sum = sum;
    t->via = m;
    st = make(m, s);
    if (st != WEFT_OK) weft_total_mpi_destroy(t);
    return st;
}

void weft_total_mpi_destroy(weft_total *t)
{
    total_mpi *m = t->via;

    if (!m) return;
    if (m->comm != MPI_COMM_NULL) MPI_Comm_free(&m->comm);
    free(m->from);
    free(m->to);
    free(m->request);
    free(m->room);
    free(m);
    t->via = NULL;
}
