/*
 * In step again, when too much changed: every peer says how much its moments
 * moved in an evaluation, and two evaluations later all of them know.
 *
 * At the end of evaluation t a record of mine goes to everybody; it travels
 * during t + 1, and is looked at when t + 2 begins. By then each peer has long
 * put what t + 1 looked at, so nobody waits. The records are added in the order
 * of patches: the decision is the same on all, and every time.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mail.h"

enum { AHEAD = 2 }; /* evaluations from a measurement to what it leads to */

typedef struct record {
    double changed, size;
} record;

struct weft_ballot {
    record now;         /* of the evaluation under way */
    record *all[AHEAD]; /* [n] */
    weft_mail in[AHEAD], out[AHEAD];
    int at[AHEAD]; /* which evaluation; -1 */
};

static weft_status make(weft_exchange *x, weft_ballot *b, int k, bool out)
{
    weft_mail *m = out ? &b->out[k] : &b->in[k];

    *m = (weft_mail){.class = WEFT_CONTROL,
                     .out = out,
                     .layer = "drift",
                     .parcel = calloc((size_t)x->cut.n, sizeof *m->parcel)};
    if (!m->parcel) return weft_fail(WEFT_ENOMEM, "out of memory for messages");
    for (int d = 1; d < x->cut.n; d++) {
        const int peer = (x->cut.me + d) % x->cut.n;

        m->parcel[m->n++] =
            (weft_parcel){.peer = peer,
                          .at = (char *)&b->all[k][out ? x->cut.me : peer],
                          .bytes = sizeof(record),
                          .unit = sizeof(record)};
    }
    return x->via->prepare(x, m);
}

weft_status weft_drift_settle(weft_exchange *x)
{
    weft_ballot *b;

    if (x->ballot || x->sched.drift <= 0 || !x->sched.lag) return WEFT_OK;
    x->ballot = b = calloc(1, sizeof *b);
    if (!b) return weft_fail(WEFT_ENOMEM, "out of memory for messages");
    for (int k = 0; k < AHEAD; k++) {
        b->at[k] = -1;
        b->all[k] = calloc((size_t)x->cut.n, sizeof *b->all[k]);
        if (!b->all[k])
            return weft_fail(WEFT_ENOMEM, "out of memory for messages");
        WEFT_TRY(make(x, b, k, false));
        WEFT_TRY(make(x, b, k, true));
    }
    return WEFT_OK;
}

void weft_drift_release(weft_exchange *x)
{
    weft_ballot *b = x->ballot;

    for (int k = 0; b && k < AHEAD; k++) {
        if (b->in[k].parcel) x->via->forget(x, &b->in[k]);
        if (b->out[k].parcel) x->via->forget(x, &b->out[k]);
        free(b->in[k].parcel);
        free(b->out[k].parcel);
        free(b->all[k]);
    }
    free(b);
    x->ballot = NULL;
}

weft_status weft_drift_restart(weft_exchange *x)
{
    weft_ballot *b = x->ballot;

    for (int k = 0; b && k < AHEAD; k++) {
        WEFT_TRY(weft_mail_finish(x, &b->in[k]));
        WEFT_TRY(weft_mail_finish(x, &b->out[k]));
        b->at[k] = -1;
    }
    if (b) b->now = (record){0, 0};
    return WEFT_OK;
}

const void *weft_exchange_before(const weft_exchange *x, int slot)
{
    const weft_slot *s = &x->slot[slot];

    if (!x->ballot || x->t < 1) return NULL;
    return s->mine_at[(x->t - 1) % s->mine_depth];
}

void weft_exchange_moved(weft_exchange *x, int slot, double changed,
                         double size)
{
    const weft_slot *s = &x->slot[slot];
    const double weight = (double)weft_rect_pixels(&s->mine);
    record *now = &x->ballot->now;

    if (size > 0) now->changed += weight * changed / size;
    now->size += weight;
}

weft_status weft_drift_publish(weft_exchange *x)
{
    weft_ballot *b = x->ballot;
    const int k = x->t % AHEAD;

    if (!b || x->t < 1) return WEFT_OK;
    WEFT_TRY(weft_mail_finish(x, &b->out[k]));
    b->all[k][x->cut.me] = b->now;
    b->now = (record){0, 0};
    b->at[k] = x->t;
    WEFT_TRY(weft_mail_start(x, &b->in[k]));
    return weft_mail_start(x, &b->out[k]);
}

weft_status weft_drift_decide(weft_exchange *x, bool *in_step)
{
    weft_ballot *b = x->ballot;
    const int k = x->t % AHEAD;
    record sum = {0, 0};

    *in_step = false;
    if (!b || x->t < AHEAD || b->at[k] != x->t - AHEAD) return WEFT_OK;
    WEFT_TRY(weft_mail_finish(x, &b->in[k]));
    for (int p = 0; p < x->cut.n; p++) {
        sum.changed += b->all[k][p].changed;
        sum.size += b->all[k][p].size;
    }
    /* What is not a number is a reason, too. */
    *in_step =
        sum.size > 0 && !(sqrt(sum.changed / sum.size) <= x->sched.drift);
    return WEFT_OK;
}
