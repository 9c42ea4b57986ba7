#include "mpi/total.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "mpi/internal.h"

/* What a rank of a line sends of one row lies together in `room`: all rows of
 * the first strips, then all rows of the next. */
typedef struct total_mpi {
    const weft_comm *group;
    MPI_Comm comm;
    weft_traffic *traffic;
    int unit, most, units, across;
    const int *first_strip;
    weft_span mine, state; /* what I send of what I have */
    double *room;          /* [stretches of the image][most] */
    int nfrom, nto;        /* myself not among them */
    weft_overlap *from, *to;
    MPI_Request *request; /* [nfrom + nto] */
} total_mpi;

static size_t rows_of(const total_mpi *m, int units)
{
    return (size_t)units * (size_t)m->unit;
}

/* Strips of a row that `rank` has. */
static size_t strips_of(const total_mpi *m, int rank)
{
    const int *first = m->first_strip + rank % m->across;

    return (size_t)(first[1] - first[0]);
}

/* Where the stretches of `rank` from row `row` on are in `room`. */
static double *room_of(const total_mpi *m, int rank, size_t row, int k)
{
    const size_t before = (size_t)m->first_strip[rank % m->across];

    return m->room +
           (rows_of(m, m->units) * before + row * strips_of(m, rank)) *
               (size_t)k;
}

/* Sums of `units` of a rank. */
static size_t sums_of(const total_mpi *m, int rank, int units, int k)
{
    return rows_of(m, units) * strips_of(m, rank) * (size_t)k;
}

/* ---- run ----------------------------------------------------------------- */

static weft_status post(total_mpi *m, const double *mine, int k)
{
    int n = 0;

    for (int i = 0; i < m->nfrom; i++) {
        const weft_span s = m->from[i].units;
        const int peer = m->from[i].peer;

        WEFT_TRY(weft_mpi_check(
            MPI_Irecv(room_of(m, peer, rows_of(m, s.from), k),
                      (int)sums_of(m, peer, weft_span_units(s), k), MPI_DOUBLE,
                      peer, 0, m->comm, &m->request[n++]),
            "receiving sums"));
    }
    for (int i = 0; i < m->nto; i++) {
        const int count =
            (int)sums_of(m, m->group->rank, weft_span_units(m->mine), k);

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

static void add_up(const total_mpi *m, int k, double *total)
{
    memset(total, 0, (size_t)k * sizeof *total);
    for (size_t y = 0; y < rows_of(m, m->units); y++)
        for (int c = 0; c < m->across; c++)
            weft_total_add(room_of(m, c, y, k), strips_of(m, c), k, total);
}

static weft_status sum(const weft_total *t, const double *each, int k,
                       double *total)
{
    total_mpi *m = t->via;
    const int me = m->group->rank, units = weft_span_units(m->mine);
    const int before = units ? m->mine.from - m->state.from : 0;
    const double *mine = each + sums_of(m, me, before, k);
    const double start = weft_clock();
    double waited;

    WEFT_MUST(k <= m->most);
    WEFT_TRY(post(m, mine, k));
    if (units)
        memcpy(room_of(m, me, rows_of(m, m->mine.from), k), mine,
               sums_of(m, me, units, k) * sizeof *mine);
    WEFT_TRY(complete(m));
    waited = weft_clock() - start;
    m->traffic->exposed_s += waited;
    m->traffic->exposed_by[WEFT_CONTROL] += waited;
    add_up(m, k, total);
    return WEFT_OK;
}

/* ---- plan ---------------------------------------------------------------- */

/* What the line of `rank` sends. */
static weft_span sent_by(const weft_total_spec *s, int rank)
{
    return weft_roles_span(s->roles, 0, rank / s->across);
}

static weft_span kept_by(const weft_total_spec *s, int rank)
{
    return s->roles->state[rank / s->across];
}

/* Whoever keeps state wants the image. */
static void list_peers(total_mpi *m, const weft_total_spec *s)
{
    for (int i = 0; i < s->group->size; i++) {
        const weft_span theirs = sent_by(s, i);

        if (i == s->group->rank) continue;
        if (weft_span_units(m->state) && weft_span_units(theirs))
            m->from[m->nfrom++] = (weft_overlap){i, theirs};
        if (weft_span_units(m->mine) && weft_span_units(kept_by(s, i)))
            m->to[m->nto++] = (weft_overlap){i, m->mine};
    }
}

static weft_status make(total_mpi *m, const weft_total_spec *s)
{
    const size_t n = (size_t)s->group->size;

    m->from = malloc(n * sizeof *m->from);
    m->to = malloc(n * sizeof *m->to);
    m->request = malloc(2 * n * sizeof *m->request);
    m->room = malloc(rows_of(m, m->units) * (size_t)m->first_strip[m->across] *
                     (size_t)m->most * sizeof *m->room);
    if (!m->from || !m->to || !m->request || !m->room)
        return weft_fail(WEFT_ENOMEM, "out of memory for sums");
    list_peers(m, s);
    WEFT_TRY(
        weft_mpi_check(MPI_Comm_dup(s->group->mpi, &m->comm), "MPI_Comm_dup"));
    return weft_mpi_check(MPI_Comm_set_errhandler(m->comm, MPI_ERRORS_RETURN),
                          "MPI_Comm_set_errhandler");
}

/* As if what this rank keeps were all. */
static weft_total alone(const weft_total_spec *s)
{
    const weft_cell cell = {s->unit, s->strip, s->columns};
    const int *strip = s->first_strip + s->group->rank % s->across;
    const int rows = weft_span_units(kept_by(s, s->group->rank)) * s->unit;

    return weft_total_solo(rows,
                           weft_cell_column(&cell, strip[1]) -
                               weft_cell_column(&cell, strip[0]),
                           s->strip);
}

weft_status weft_total_mpi_create(const weft_total_spec *s, weft_total *t)
{
    total_mpi *m;
    weft_status st;

    *t = alone(s);
    t->pixels = (double)s->roles->units * s->unit * s->columns;
    if (weft_roles_keep_all(s->roles) && s->across == 1) return WEFT_OK;
    m = calloc(1, sizeof *m);
    if (!m) return weft_fail(WEFT_ENOMEM, "out of memory for sums");
    *m = (total_mpi){.group = s->group,
                     .comm = MPI_COMM_NULL,
                     .traffic = s->traffic,
                     .unit = s->unit,
                     .most = s->most,
                     .units = s->roles->units,
                     .across = s->across,
                     .first_strip = s->first_strip,
                     .mine = sent_by(s, s->group->rank),
                     .state = kept_by(s, s->group->rank)};
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
