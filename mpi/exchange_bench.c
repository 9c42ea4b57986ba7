#include "mpi/exchange_bench.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mail.h"

/* An exchange's own transport, with another start. */
typedef struct wrapped {
    weft_transport table;
    const weft_transport *inner;
    weft_mail *coming; /* put receives first, then sends */
} wrapped;

static void release(weft_exchange *x)
{
    wrapped *w = (wrapped *)x->via;

    x->via = w->inner;
    free(w);
    if (x->via->release) x->via->release(x);
}

/* ---- none ---------------------------------------------------------------- */

/* Zeros where a peer's rows would have come: what lies there otherwise may be
 * other layers' numbers, which as moments need not be any. The past, which
 * belongs to the exchange, is zeros from the beginning. */
static weft_status start_nothing(weft_exchange *x, weft_mail *m)
{
    if (m->out || (x->sched.lag && m->class != WEFT_MOMENTS)) return WEFT_OK;
    for (int i = 0; i < m->n; i++)
        memset(m->parcel[i].at, 0, m->parcel[i].bytes);
    return WEFT_OK;
}

/* ---- blocking ------------------------------------------------------------ */

static weft_status finish(weft_exchange *x, const wrapped *w, weft_mail *m)
{
    for (int i = 0; m && i < m->n; i++) WEFT_TRY(w->inner->wait(x, m, i));
    return WEFT_OK;
}

static weft_status start_and_wait(weft_exchange *x, weft_mail *m)
{
    wrapped *w = (wrapped *)x->via;
    double from;

    WEFT_TRY(w->inner->start(x, m));
    if (!m->out) {
        w->coming = m;
        return WEFT_OK;
    }
    from = weft_clock();
    WEFT_TRY(finish(x, w, w->coming));
    w->coming = NULL;
    WEFT_TRY(finish(x, w, m));
    x->traffic.exposed_s += weft_clock() - from;
    return WEFT_OK;
}

weft_status weft_exchange_measure(weft_exchange *x, weft_bench_link link)
{
    wrapped *w;

    WEFT_MUST(x->settled == 0);
    if (link == WEFT_LINK_REAL || x->cut.n == 1) return WEFT_OK;
    if (link == WEFT_LINK_BLOCKING && x->sched.lag)
        return weft_fail(WEFT_EINPUT, "bench.link: blocking measures what is "
                                      "exchanged in step; it needs "
                                      "parallel.exchange: sync");
    w = malloc(sizeof *w);
    if (!w) return weft_fail(WEFT_ENOMEM, "out of memory for an exchange");
    w->inner = x->via;
    w->coming = NULL;
    w->table = link == WEFT_LINK_NONE ? weft_solo : *x->via;
    w->table.start = link == WEFT_LINK_NONE ? start_nothing : start_and_wait;
    w->table.release = release;
    x->via = &w->table;
    return WEFT_OK;
}
