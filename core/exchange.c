#include "core/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"

const char *const weft_class_name[WEFT_CLASSES] = {
    [WEFT_BORDER] = "border",
    [WEFT_KV] = "kv",
    [WEFT_MOMENTS] = "moments",
    [WEFT_LATENTS] = "latents",
    [WEFT_REDISTRIBUTE] = "redistribute",
    [WEFT_OUTPUT] = "output",
    [WEFT_CONTROL] = "control",
};

weft_status weft_exchange_init(weft_exchange *x, const weft_transport *via,
                               const weft_cut *cut, weft_schedule sched)
{
    if (sched.lag != 0)
        return weft_fail(WEFT_EINPUT,
                         "the %s exchange keeps no past: lag %d is not "
                         "supported by this version",
                         via->name, sched.lag);
    memset(x, 0, sizeof *x);
    x->via = via;
    x->cut = *cut;
    x->sched = sched;
    x->t = -1;
    return WEFT_OK;
}

void weft_exchange_release(weft_exchange *x)
{
    if (x->via && x->via->release) x->via->release(x);
    for (int i = 0; i < x->nslots; i++) {
        free(x->slot[i].part);
        free(x->slot[i].rows);
    }
    free(x->slot);
    memset(x, 0, sizeof *x);
}

int weft_slot_rows(const weft_exchange *x, const weft_slot *s, int patch)
{
    return weft_cut_units(&x->cut, patch) * s->spec.rows_per_unit;
}

void *weft_slot_part(const weft_exchange *x, const weft_slot *s, int patch)
{
    return s->base + (size_t)x->cut.first[patch] *
                         (size_t)s->spec.rows_per_unit * s->spec.row_bytes;
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

weft_status weft_exchange_declare(weft_exchange *x, const weft_slot_spec *spec,
                                  int *slot)
{
    const size_t n = (size_t)x->cut.n;
    weft_slot s = {.spec = *spec, .put_at = -1, .got_at = -1};

    WEFT_TRY(grow(x));
    if (spec->reach == WEFT_REACH_BORDER) {
        WEFT_TRY(check_border(x, &s));
    } else {
        s.part = calloc(n, sizeof *s.part);
        s.rows = calloc(n, sizeof *s.rows);
        if (!s.part || !s.rows) {
            free(s.part);
            free(s.rows);
            return weft_fail(WEFT_ENOMEM, "out of memory for slots");
        }
    }
    s.id = x->nslots;
    x->slot[x->nslots] = s;
    *slot = x->nslots++;
    return WEFT_OK;
}

weft_status weft_exchange_bind(weft_exchange *x, int slot, void *base)
{
    weft_slot *s = &x->slot[slot];

    s->base = base;
    for (int p = 0; p < x->cut.n && s->part; p++) {
        s->part[p] = weft_slot_part(x, s, p);
        s->rows[p] = weft_slot_rows(x, s, p);
    }
    return x->via->bind(x, s);
}

void weft_exchange_next(weft_exchange *x) { x->t++; }

/* Beyond the edge of the image there are zeros. */
static void clear_edges(const weft_exchange *x, const weft_slot *s)
{
    const size_t row = s->spec.row_bytes, above = (size_t)s->spec.above * row,
                 below = (size_t)s->spec.below * row;
    const int me = x->cut.me;

    if (me == 0) memset(s->base - above, 0, above);
    if (me == x->cut.n - 1)
        memset(s->base + (size_t)weft_slot_rows(x, s, me) * row, 0, below);
}

weft_status weft_exchange_put(weft_exchange *x, int slot)
{
    weft_slot *s = &x->slot[slot];

    WEFT_MUST(slot < x->nslots && s->base && s->put_at < x->t);
    if (s->spec.reach == WEFT_REACH_BORDER) clear_edges(x, s);
    s->put_at = x->t;
    s->posted = weft_clock();
    return x->via->post(x, s);
}

weft_status weft_exchange_get(weft_exchange *x, int slot, weft_view *seen)
{
    weft_slot *s = &x->slot[slot];
    const double asked = weft_clock();

    WEFT_MUST(slot < x->nslots && s->put_at == x->t && s->got_at < x->t);
    WEFT_TRY(x->via->wait(x, s));
    s->got_at = x->t;
    if (x->cut.n > 1) {
        x->traffic.exposed_s += weft_clock() - asked;
        x->traffic.hidden_s += asked - s->posted;
    }
    *seen = (weft_view){.n = s->part ? x->cut.n : 0,
                        .age = weft_lag(x->sched, x->t),
                        .part = s->part,
                        .rows = s->rows};
    return WEFT_OK;
}

void weft_exchange_poll(weft_exchange *x)
{
    if (x->via->poll) x->via->poll(x);
}

bool weft_exchange_awaits(const weft_exchange *x, int slot, bool above)
{
    const weft_slot_spec *spec = &x->slot[slot].spec;

    if (above) return spec->above > 0 && x->cut.me > 0;
    return spec->below > 0 && x->cut.me < x->cut.n - 1;
}

static weft_status nothing(weft_exchange *x, weft_slot *s)
{
    (void)x, (void)s;
    return WEFT_OK;
}

const weft_transport weft_solo = {
    .name = "solo", .bind = nothing, .post = nothing, .wait = nothing};
