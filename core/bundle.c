/*
 * Slots that travel together while they are displaced: small things that are
 * wanted one evaluation later, so that one message does for many of them.
 *
 * Their places lie one behind the other, by peer; the mail begins at those of
 * the first slot. It leaves when the last of them was put, and is received when
 * the last was looked at. In step each travels alone, between the same places.
 */
#include <stdlib.h>

#include "core/mail.h"

enum { TAG = 1 << 14 }; /* beyond those of slots */

static bool follows(const weft_exchange *x, const weft_slot *a,
                    const weft_slot *b)
{
    return weft_schedule_bundles(&x->sched) && a->kept && b->kept &&
           a->spec.reach == WEFT_REACH_ALL && b->spec.reach == a->spec.reach &&
           a->spec.bundle && a->spec.bundle == b->spec.bundle &&
           a->spec.class == b->spec.class && a->depth == b->depth &&
           a->mine_depth == b->mine_depth;
}

void weft_bundle_slots(weft_exchange *x, int from)
{
    int before[WEFT_CLASSES];

    for (int c = 0; c < WEFT_CLASSES; c++) before[c] = -1;
    for (int i = from; i < x->nslots; i++) {
        weft_slot *s = &x->slot[i];
        const int b = before[s->spec.class];

        before[s->spec.class] = i;
        s->first = s->last = i;
        s->next = -1;
        if (b < 0 || !follows(x, &x->slot[b], s)) continue;
        s->first = x->slot[b].first;
        x->slot[b].next = i;
        for (int k = s->first; k >= 0; k = x->slot[k].next) x->slot[k].last = i;
    }
}

static weft_status make(weft_exchange *x, const weft_slot *s, int k, bool out,
                        weft_mail *m)
{
    char *const *at = (out ? s->out_at : s->in_at) + k * s->nlinks;

    *m =
        (weft_mail){.class = s->spec.class,
                    .tag = TAG + s->id,
                    .out = out,
                    .layer = s->spec.layer,
                    .parcel = calloc((size_t)s->nlinks + 1, sizeof *m->parcel)};
    if (!m->parcel) return weft_fail(WEFT_ENOMEM, "out of memory for messages");
    for (int l = 0; l < s->nlinks; l++) {
        weft_parcel *p = &m->parcel[m->n++];

        *p = (weft_parcel){
            .peer = s->link[l].peer, .at = at[l], .unit = sizeof(double)};
        for (int i = s->id; i >= 0; i = x->slot[i].next)
            p->bytes += out ? x->slot[i].link[l].out : x->slot[i].link[l].in;
    }
    return x->via->prepare(x, m);
}

weft_status weft_bundle_settle(weft_exchange *x, weft_slot *s)
{
    if (s->first != s->id || s->next < 0) return WEFT_OK;
    s->in_all = calloc((size_t)s->depth, sizeof *s->in_all);
    s->out_all = calloc((size_t)s->mine_depth, sizeof *s->out_all);
    if (!s->in_all || !s->out_all)
        return weft_fail(WEFT_ENOMEM, "out of memory for messages");
    for (int k = 0; k < s->depth; k++)
        WEFT_TRY(make(x, s, k, false, &s->in_all[k]));
    for (int k = 0; k < s->mine_depth; k++)
        WEFT_TRY(make(x, s, k, true, &s->out_all[k]));
    return WEFT_OK;
}

static void forget(weft_exchange *x, weft_mail *m)
{
    if (m->parcel) x->via->forget(x, m);
    free(m->parcel);
}

void weft_bundle_release(weft_exchange *x, weft_slot *s)
{
    for (int k = 0; s->in_all && k < s->depth; k++) forget(x, &s->in_all[k]);
    for (int k = 0; s->out_all && k < s->mine_depth; k++)
        forget(x, &s->out_all[k]);
    free(s->in_all);
    free(s->out_all);
    s->in_all = s->out_all = NULL;
}

weft_status weft_bundle_send(weft_exchange *x, weft_slot *s)
{
    weft_slot *first = &x->slot[s->first];
    const int k = x->t % s->mine_depth;
    weft_mail *m = first->out_all ? &first->out_all[k] : &s->out[k];

    if (s->id != s->last) return WEFT_OK;
    WEFT_TRY(weft_mail_start(x, m));
    for (int i = s->first; i >= 0; i = x->slot[i].next)
        x->slot[i].out_last[k] = m;
    return WEFT_OK;
}

weft_status weft_bundle_receive(weft_exchange *x, weft_slot *s)
{
    weft_slot *first = &x->slot[s->first];
    const int k = x->t % s->depth;
    weft_mail *m = first->in_all ? &first->in_all[k] : &s->in[k];

    if (s->id != s->last) return WEFT_OK;
    for (int i = s->first; i >= 0; i = x->slot[i].next)
        WEFT_TRY(weft_mail_finish(x, x->slot[i].in_last[k]));
    WEFT_TRY(weft_mail_start(x, m));
    for (int i = s->first; i >= 0; i = x->slot[i].next) {
        x->slot[i].in_last[k] = m;
        x->slot[i].in_t[k] = x->t;
    }
    return WEFT_OK;
}
