/*
 * The exchange in the plan: slots, the memory of the past, and the messages.
 */
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"

enum { ALIGN = 64 };

/* ---- slots --------------------------------------------------------------- */

size_t weft_slot_bytes(const weft_exchange *x, const weft_slot *s, int p)
{
    const weft_rect r = weft_cut_rect(&x->cut, &s->spec.cell, p);

    return weft_rect_pixels(&r) * (size_t)s->spec.n * s->spec.pixel_bytes;
}

static int larger(int a, int b) { return a > b ? a : b; }

/* A border comes from the neighbours alone, so they must hold it. */
static weft_status check_border(const weft_exchange *x, const weft_slot *s)
{
    const weft_border *b = &s->spec.border;
    const int rows = larger(b->above, b->below);
    const int columns = larger(b->left, b->right);

    for (int p = 0; p < x->cut.n && x->cut.n > 1; p++) {
        const weft_rect r = weft_cut_rect(&x->cut, &s->spec.cell, p);

        if (r.rows < rows)
            return weft_fail(WEFT_EINPUT,
                             "%s needs %d rows of its neighbours, patch %d of "
                             "%d has %d: use fewer ranks",
                             s->spec.layer, rows, p, x->cut.n, r.rows);
        if (weft_cut_across(&x->cut) > 1 && r.columns < columns)
            return weft_fail(WEFT_EINPUT,
                             "%s needs %d columns of its neighbours, patch %d "
                             "of %d has %d: use fewer columns of patches",
                             s->spec.layer, columns, p, x->cut.n, r.columns);
    }
    return WEFT_OK;
}

/* In the order of distance, so that not everybody sends to patch 0 first. */
static void link_all(const weft_exchange *x, weft_slot *s)
{
    const size_t mine = weft_slot_bytes(x, s, x->cut.me);

    for (int d = 1; d < x->cut.n; d++) {
        const int peer = (x->cut.me + d) % x->cut.n;

        s->link[s->nlinks++] = (weft_link){
            .peer = peer, .in = weft_slot_bytes(x, s, peer), .out = mine};
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
    /* A residual is added to what was before it, in step too. */
    s->kept = s->kept || weft_is_residual(x, s);
    if (s->spec.class != WEFT_MOMENTS || x->sched.drift <= 0 || !lag) return;
    s->kept = true; /* for weft_exchange_before */
    if (s->mine_depth < 2) s->mine_depth = 2;
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
    s->in_wire = take(in * (n + 1), sizeof *s->in_wire);
    s->out_wire = take(out * (n + 1), sizeof *s->out_wire);
    s->part = take(n, sizeof *s->part);
    s->then = take(n, sizeof *s->then);
    s->rect = take(n, sizeof *s->rect);
    s->rect_alone = take(n, sizeof *s->rect_alone);
    return s->link && s->in_at && s->in && s->in_last && s->in_t && s->out_at &&
           s->mine_at && s->out && s->out_last && s->in_wire && s->out_wire &&
           s->part && s->then && s->rect && s->rect_alone;
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
    free(s->in_wire);
    free(s->out_wire);
    free(s->first_in.parcel);
    free(s->first_out.parcel);
    free(s->part);
    free(s->then);
    free(s->rect);
    free(s->rect_alone);
    weft_checked_free(s);
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
    const int me = x->cut.me;
    weft_slot s = {.spec = *spec,
                   .id = x->nslots,
                   .mine = weft_cut_rect(&x->cut, &spec->cell, me),
                   .opened_at = -1,
                   .put_at = -1,
                   .decoded = -1,
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
        weft_border_link(x, &s);
    else
        link_all(x, &s);
    for (int p = 0; p < x->cut.n; p++) {
        s.rect[p] = weft_cut_rect(&x->cut, &spec->cell, p);
        if (p == me) s.rect_alone[p] = s.rect[p];
    }
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

/* Room for `bytes` of each slot that travels with this one, one after the
 * other. */
static void place_together(weft_exchange *x, const weft_slot *s, int k, int l,
                           room *r)
{
    size_t bytes = 0;
    char *at;

    for (int i = s->id; i >= 0; i = x->slot[i].next)
        bytes += l < 0 ? weft_slot_bytes(x, &x->slot[i], x->cut.me)
                       : x->slot[i].link[l].in;
    at = piece(r, bytes);
    for (int i = s->id; i >= 0 && at; i = x->slot[i].next) {
        weft_slot *o = &x->slot[i];

        if (l < 0)
            o->mine_at[k] = at;
        else
            o->in_at[k * o->nlinks + l] = at;
        at += l < 0 ? weft_slot_bytes(x, o, x->cut.me) : o->link[l].in;
    }
}

/* The past of a slot, and of those that travel with it. */
static void place_kept(weft_exchange *x, weft_slot *s, room *r)
{
    if (s->first != s->id) return;
    for (int k = 0; k < s->depth; k++)
        for (int l = 0; l < s->nlinks; l++) place_together(x, s, k, l, r);
    if (s->spec.reach == WEFT_REACH_ALL)
        for (int k = 0; k < s->mine_depth; k++) place_together(x, s, k, -1, r);
}

static void place_out(weft_slot *s, room *r)
{
    for (int i = 0; i < s->mine_depth * s->nlinks; i++)
        s->out_at[i] = s->spec.reach == WEFT_REACH_ALL
                           ? s->mine_at[i / s->nlinks]
                           : piece(r, s->link[i % s->nlinks].out);
}

/* The columns at my sides, and those that leave. */
static void place_columns(const weft_exchange *x, weft_slot *s, room *r)
{
    for (int right = 0; right < 2; right++) {
        size_t before = 0;
        const size_t bytes = weft_border_side(x, s, right, &before);
        char *at = piece(r, bytes);

        s->side[right] = bytes && at ? at + before : NULL;
    }
    for (int l = 0; l < s->nlinks && !s->kept; l++)
        if (s->link[l].right) s->out_at[l] = piece(r, s->link[l].out);
}

/* Messages of a slot that is coded, beside its floats. */
static void place_coded(const weft_exchange *x, weft_slot *s, room *r)
{
    const bool all = s->spec.reach == WEFT_REACH_ALL;

    for (int i = 0; i < s->depth * s->nlinks; i++)
        s->in_wire[i] = piece(r, weft_coded_in(x, s, &s->link[i % s->nlinks]));
    for (int i = 0; i < s->mine_depth * s->nlinks; i++)
        s->out_wire[i] =
            all && i % s->nlinks
                ? s->out_wire[i - 1]
                : piece(r, weft_coded_out(x, s, &s->link[i % s->nlinks]));
    if (weft_is_residual(x, s))
        s->held = piece(r, weft_slot_bytes(x, s, x->cut.me));
}

static size_t place_all(weft_exchange *x, int from, char *base)
{
    room r = {.base = base};

    weft_bundle_slots(x, from);
    for (int i = from; i < x->nslots; i++) {
        if (x->slot[i].kept) place_kept(x, &x->slot[i], &r);
        if (x->slot[i].kept) place_out(&x->slot[i], &r);
        if (weft_is_coded(x, &x->slot[i])) place_coded(x, &x->slot[i], &r);
        if (x->slot[i].spec.reach == WEFT_REACH_BORDER)
            place_columns(x, &x->slot[i], &r);
    }
    return r.at;
}

/* Where patch p's part lies in room for the whole image: one after the other.
 */
static char *whole_at(const weft_slot *s, int p)
{
    const weft_rect *r = &s->rect[p];
    const size_t pixels = (size_t)r->row * (size_t)s->spec.cell.width +
                          (size_t)r->rows * (size_t)r->column;

    return s->base + pixels * (size_t)s->spec.n * s->spec.pixel_bytes;
}

/* Received in place: where borders are shown, or the peers' parts of the whole
 * image. Columns that leave have their place already. */
static void place_here(const weft_exchange *x, const weft_slot *s)
{
    const bool all = s->spec.reach == WEFT_REACH_ALL;

    if (all) s->mine_at[0] = whole_at(s, x->cut.me);
    for (int l = 0; l < s->nlinks; l++) {
        const weft_link *link = &s->link[l];

        s->in_at[l] =
            all ? whole_at(s, link->peer) : weft_border_shown(s, link);
        if (all)
            s->out_at[l] = s->mine_at[0];
        else if (!link->right)
            s->out_at[l] = weft_border_rows(s, link);
    }
}

size_t weft_exchange_past_bytes(weft_exchange *x)
{
    WEFT_MUST(x->settled == 0); /* counting forgets the places */
    return place_all(x, 0, NULL);
}

/* ---- messages ------------------------------------------------------------ */

/* One of a slot's mails; `coded`: it is not f32. */
static weft_status make_mail(weft_exchange *x, const weft_slot *s, bool out,
                             bool coded, char *const *at, weft_mail *m)
{
    *m = (weft_mail){.class = s->spec.class,
                     .tag = s->id,
                     .out = out,
                     .layer = s->spec.layer,
                     .parcel = take((size_t)s->nlinks, sizeof *m->parcel)};
    if (!m->parcel) return weft_fail(WEFT_ENOMEM, "out of memory for messages");
    for (int l = 0; l < s->nlinks; l++) {
        const weft_link *link = &s->link[l];
        const size_t bytes = out ? link->out : link->in;
        const weft_rect *r = &s->rect[out ? x->cut.me : link->peer];
        weft_parcel p = {.peer = link->peer,
                         .at = at[l],
                         .bytes = bytes,
                         .unit = s->spec.pixel_bytes};

        if (!bytes) continue;
        if (coded) {
            p.bytes = (out ? weft_coded_out : weft_coded_in)(x, s, link);
            p.unit = s->spec.reach == WEFT_REACH_ALL ? p.bytes / (size_t)r->rows
                                                     : p.bytes;
        }
        m->parcel[m->n++] = p;
    }
    return x->via->prepare(x, m);
}

static weft_status make_mails(weft_exchange *x, weft_slot *s)
{
    const bool coded = weft_is_coded(x, s);
    char *const *in = coded ? s->in_wire : s->in_at;
    char *const *out = coded ? s->out_wire : s->out_at;

    for (int k = 0; k < s->depth; k++)
        WEFT_TRY(make_mail(x, s, false, coded, in + k * s->nlinks, &s->in[k]));
    for (int k = 0; k < s->mine_depth; k++)
        WEFT_TRY(make_mail(x, s, true, coded, out + k * s->nlinks, &s->out[k]));
    if (!weft_is_residual(x, s)) return WEFT_OK;
    WEFT_TRY(make_mail(x, s, false, false, s->in_at, &s->first_in));
    return make_mail(x, s, true, false, s->out_at, &s->first_out);
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
        WEFT_TRY(weft_checked_settle(x, s));
        WEFT_TRY(make_mails(x, s));
        WEFT_TRY(weft_bundle_settle(x, s));
    }
    return weft_drift_settle(x);
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
    if (sched.refresh < 0 || !(sched.drift >= 0) ||
        (sched.drift > 0 && sched.moments == WEFT_OLD_ABSENT))
        return weft_fail(WEFT_EINPUT,
                         "in step every %d evaluations, or by a drift of %g, "
                         "is not possible%s",
                         sched.refresh, sched.drift,
                         sched.moments == WEFT_OLD_ABSENT ? " without moments"
                                                          : "");
    memset(x, 0, sizeof *x);
    x->via = via;
    x->cut = *cut;
    x->sched = sched;
    if (cut->n == 1) x->sched.lag = 0;
    x->t = -1;
    return WEFT_CHECKED ? weft_exchange_check(x) : WEFT_OK;
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
        forget(x, &s->first_in);
        forget(x, &s->first_out);
        weft_bundle_release(x, s);
    }
    weft_drift_release(x);
    if (x->via && x->via->release) x->via->release(x);
    for (int i = 0; i < x->nslots; i++) free_slot(&x->slot[i]);
    for (int i = 0; i < x->npasts; i++) free(x->past[i]);
    free(x->past);
    free(x->slot);
    free(x->checks);
    memset(x, 0, sizeof *x);
}
