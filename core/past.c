/*
 * The exchange in the plan: slots, the memory of the past, and the messages.
 */
#include <stdlib.h>
#include <string.h>

#include "core/mail.h"

enum { ALIGN = 64 };

/* ---- slots --------------------------------------------------------------- */

int weft_slot_rows(const weft_exchange *x, const weft_slot *s, int patch)
{
    return weft_cut_units(&x->cut, patch) * s->spec.rows_per_unit;
}

/* A border comes from the neighbour alone, so the neighbour must hold it. */
static weft_status check_border(const weft_exchange *x, const weft_slot *s)
{
    const int most =
        s->spec.above > s->spec.below ? s->spec.above : s->spec.below;

    for (int p = 0; p < x->cut.n && x->cut.n > 1; p++)
        if (weft_slot_rows(x, s, p) < most)
            return weft_fail(WEFT_EINPUT,
                             "%s needs %d rows of its neighbours, patch %d of "
                             "%d has %d: use fewer ranks",
                             s->spec.layer, most, p, x->cut.n,
                             weft_slot_rows(x, s, p));
    return WEFT_OK;
}

static size_t bytes_of(const weft_exchange *x, const weft_slot *s, int patch)
{
    return (size_t)weft_slot_rows(x, s, patch) * s->spec.row_bytes;
}

static void link_neighbours(const weft_exchange *x, weft_slot *s)
{
    const size_t above = (size_t)s->spec.above * s->spec.row_bytes;
    const size_t below = (size_t)s->spec.below * s->spec.row_bytes;
    const int me = x->cut.me;

    if (me > 0) s->link[s->nlinks++] = (weft_link){me - 1, above, below};
    if (me < x->cut.n - 1)
        s->link[s->nlinks++] = (weft_link){me + 1, below, above};
}

/* In the order of distance, so that not everybody sends to patch 0 first. */
static void link_all(const weft_exchange *x, weft_slot *s)
{
    const size_t mine = bytes_of(x, s, x->cut.me);

    for (int d = 1; d < x->cut.n; d++) {
        const int peer = (x->cut.me + d) % x->cut.n;

        s->link[s->nlinks++] = (weft_link){peer, bytes_of(x, s, peer), mine};
    }
}

/* Only what displaced evaluations look at later must outlive an evaluation. */
static void set_depth(const weft_exchange *x, weft_slot *s)
{
    const weft_old old = s->spec.old;
    const int lag = x->sched.lag;

    s->kept = lag > 0 && (old == WEFT_OLD_SHOWN || old == WEFT_OLD_PAIRED);
    s->depth = s->kept ? lag : 1;
    s->mine_depth = s->kept && old == WEFT_OLD_PAIRED ? lag + 1 : s->depth;
}

static void *take(size_t n, size_t size) { return calloc(n ? n : 1, size); }

/* The tables of a slot. */
static bool allocate(const weft_exchange *x, weft_slot *s)
{
    const size_t n = (size_t)x->cut.n, in = (size_t)s->depth;
    const size_t out = (size_t)s->mine_depth;

    s->link = take(n + 1, sizeof *s->link);
    s->in_at = take(in * (n + 1), sizeof *s->in_at);
    s->in = take(in, sizeof *s->in);
    s->in_last = take(in, sizeof *s->in_last);
    s->in_t = take(in, sizeof *s->in_t);
    s->out_at = take(out * (n + 1), sizeof *s->out_at);
    s->mine_at = take(out, sizeof *s->mine_at);
    s->out = take(out, sizeof *s->out);
    s->out_last = take(out, sizeof *s->out_last);
    s->part = take(n, sizeof *s->part);
    s->then = take(n, sizeof *s->then);
    s->rows = take(n, sizeof *s->rows);
    s->rows_alone = take(n, sizeof *s->rows_alone);
    return s->link && s->in_at && s->in && s->in_last && s->in_t && s->out_at &&
           s->mine_at && s->out && s->out_last && s->part && s->then &&
           s->rows && s->rows_alone;
}

static void free_slot(weft_slot *s)
{
    for (int k = 0; s->in && k < s->depth; k++) free(s->in[k].parcel);
    for (int k = 0; s->out && k < s->mine_depth; k++) free(s->out[k].parcel);
    free(s->link);
    free(s->in_at);
    free(s->in);
    free(s->in_last);
    free(s->in_t);
    free(s->out_at);
    free(s->mine_at);
    free(s->out);
    free(s->out_last);
    free(s->part);
    free(s->then);
    free(s->rows);
    free(s->rows_alone);
}

static weft_status grow(weft_exchange *x)
{
    const int room = x->room ? 2 * x->room : 64;
    weft_slot *more;

    if (x->nslots < x->room) return WEFT_OK;
    more = realloc(x->slot, (size_t)room * sizeof *more);
    if (!more) return weft_fail(WEFT_ENOMEM, "out of memory for slots");
    x->slot = more;
    x->room = room;
    return WEFT_OK;
}

weft_status weft_exchange_declare(weft_exchange *x, const weft_slot_spec *spec,
                                  int *slot)
{
    weft_slot s = {.spec = *spec,
                   .id = x->nslots,
                   .opened_at = -1,
                   .put_at = -1,
                   .got_at = -1,
                   .done_at = -1};

    WEFT_TRY(grow(x));
    if (spec->reach == WEFT_REACH_BORDER) WEFT_TRY(check_border(x, &s));
    set_depth(x, &s);
    if (!allocate(x, &s)) {
        free_slot(&s);
        return weft_fail(WEFT_ENOMEM, "out of memory for slots");
    }
    if (spec->reach == WEFT_REACH_BORDER)
        link_neighbours(x, &s);
    else
        link_all(x, &s);
    for (int p = 0; p < x->cut.n; p++) s.rows[p] = weft_slot_rows(x, &s, p);
    s.rows_alone[x->cut.me] = s.rows[x->cut.me];
    for (int k = 0; k < s.depth; k++) s.in_t[k] = -1;
    x->slot[x->nslots] = s;
    *slot = x->nslots++;
    return WEFT_OK;
}

void weft_exchange_bind(weft_exchange *x, int slot, void *base)
{
    WEFT_MUST(slot >= x->settled && slot < x->nslots);
    x->slot[slot].base = base;
}

/* ---- memory -------------------------------------------------------------- */

/* Pieces of the past, one after the other. Without memory they are counted. */
typedef struct room {
    char *base;
    size_t at;
} room;

static char *piece(room *r, size_t bytes)
{
    char *at = r->base ? r->base + r->at : NULL;

    r->at += (bytes + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

/* Bytes of the past of a slot; with memory, its places in it. */
static void place_kept(const weft_exchange *x, weft_slot *s, room *r)
{
    for (int i = 0; i < s->depth * s->nlinks; i++)
        s->in_at[i] = piece(r, s->link[i % s->nlinks].in);
    if (s->spec.reach == WEFT_REACH_ALL)
        for (int k = 0; k < s->mine_depth; k++)
            s->mine_at[k] = piece(r, bytes_of(x, s, x->cut.me));
    for (int i = 0; i < s->mine_depth * s->nlinks; i++)
        s->out_at[i] = s->spec.reach == WEFT_REACH_ALL
                           ? s->mine_at[i / s->nlinks]
                           : piece(r, s->link[i % s->nlinks].out);
}

static size_t place_all(const weft_exchange *x, int from, char *base)
{
    room r = {.base = base};

    for (int i = from; i < x->nslots; i++)
        if (x->slot[i].kept) place_kept(x, &x->slot[i], &r);
    return r.at;
}

/* Where patch p begins in a buffer of the whole image. */
static char *whole_at(const weft_exchange *x, const weft_slot *s, int p)
{
    return s->base + (size_t)x->cut.first[p] * (size_t)s->spec.rows_per_unit *
                         s->spec.row_bytes;
}

/* Received in place: spare rows, or the peers' rows of the whole image. */
static void place_here(const weft_exchange *x, const weft_slot *s)
{
    const size_t row = s->spec.row_bytes;
    char *end = s->base + bytes_of(x, s, x->cut.me);

    if (s->spec.reach == WEFT_REACH_ALL)
        s->mine_at[0] = whole_at(x, s, x->cut.me);
    for (int l = 0; l < s->nlinks; l++) {
        const int peer = s->link[l].peer;

        if (s->spec.reach == WEFT_REACH_ALL) {
            s->in_at[l] = whole_at(x, s, peer);
            s->out_at[l] = s->mine_at[0];
        } else if (peer < x->cut.me) {
            s->in_at[l] = s->base - (size_t)s->spec.above * row;
            s->out_at[l] = s->base;
        } else {
            s->in_at[l] = end;
            s->out_at[l] = end - (size_t)s->spec.above * row;
        }
    }
}

size_t weft_exchange_past_bytes(const weft_exchange *x)
{
    WEFT_MUST(x->settled == 0); /* counting forgets the places */
    return place_all(x, 0, NULL);
}

/* ---- messages ------------------------------------------------------------ */

static weft_status make_mail(weft_exchange *x, const weft_slot *s, bool out,
                             char *const *at, weft_mail *m)
{
    *m = (weft_mail){.class = s->spec.class,
                     .tag = s->id,
                     .out = out,
                     .layer = s->spec.layer,
                     .parcel = take((size_t)s->nlinks, sizeof *m->parcel)};
    if (!m->parcel) return weft_fail(WEFT_ENOMEM, "out of memory for messages");
    for (int l = 0; l < s->nlinks; l++) {
        const size_t bytes = out ? s->link[l].out : s->link[l].in;

        if (bytes)
            m->parcel[m->n++] = (weft_parcel){.peer = s->link[l].peer,
                                              .at = at[l],
                                              .bytes = bytes,
                                              .unit = s->spec.row_bytes};
    }
    return x->via->prepare(x, m);
}

static weft_status make_mails(weft_exchange *x, weft_slot *s)
{
    for (int k = 0; k < s->depth; k++)
        WEFT_TRY(make_mail(x, s, false, s->in_at + k * s->nlinks, &s->in[k]));
    for (int k = 0; k < s->mine_depth; k++)
        WEFT_TRY(make_mail(x, s, true, s->out_at + k * s->nlinks, &s->out[k]));
    return WEFT_OK;
}

static weft_status make_past(weft_exchange *x)
{
    const size_t bytes = place_all(x, x->settled, NULL);
    char **more = realloc(x->past, ((size_t)x->npasts + 1) * sizeof *more);
    char *base;

    if (!more) return weft_fail(WEFT_ENOMEM, "out of memory for an exchange");
    x->past = more;
    base = aligned_alloc(ALIGN, bytes + ALIGN);
    if (!base)
        return weft_fail(WEFT_ENOMEM,
                         "out of memory: %zu bytes of past activations", bytes);
    memset(base, 0, bytes + ALIGN);
    x->past[x->npasts++] = base;
    place_all(x, x->settled, base);
    return WEFT_OK;
}

weft_status weft_exchange_settle(weft_exchange *x)
{
    WEFT_TRY(make_past(x));
    for (; x->settled < x->nslots; x->settled++) {
        weft_slot *s = &x->slot[x->settled];

        WEFT_MUST(s->base);
        if (!s->kept) place_here(x, s);
        WEFT_TRY(make_mails(x, s));
    }
    return WEFT_OK;
}

/* ---- life ---------------------------------------------------------------- */

weft_status weft_exchange_init(weft_exchange *x, const weft_transport *via,
                               const weft_cut *cut, weft_schedule sched)
{
    if (sched.lag < 0 || sched.warmup < sched.lag)
        return weft_fail(WEFT_EINPUT,
                         "a warm-up of %d evaluations is too short to look %d "
                         "back: it must be at least the lag",
                         sched.warmup, sched.lag);
    memset(x, 0, sizeof *x);
    x->via = via;
    x->cut = *cut;
    x->sched = sched;
    if (cut->n == 1) x->sched.lag = 0;
    x->t = -1;
    return WEFT_OK;
}

static void forget(weft_exchange *x, weft_mail *m)
{
    if (m->parcel) x->via->forget(x, m);
}

void weft_exchange_release(weft_exchange *x)
{
    if (x->settled) (void)weft_exchange_restart(x);
    for (int i = 0; i < x->nslots; i++) {
        weft_slot *s = &x->slot[i];

        for (int k = 0; k < s->depth; k++) forget(x, &s->in[k]);
        for (int k = 0; k < s->mine_depth; k++) forget(x, &s->out[k]);
    }
    if (x->via && x->via->release) x->via->release(x);
    for (int i = 0; i < x->nslots; i++) free_slot(&x->slot[i]);
    for (int i = 0; i < x->npasts; i++) free(x->past[i]);
    free(x->past);
    free(x->slot);
    memset(x, 0, sizeof *x);
}
