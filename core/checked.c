#include "core/checked.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes before and behind whatever is shown. */
enum { GUARD = 4096, ALIGN = 64, NOT_A_NUMBER = 0xff };

/* There with the address sanitizer, else NULL. */
void __asan_poison_memory_region(void const volatile *at, size_t n)
    __attribute__((weak));
void __asan_unpoison_memory_region(void const volatile *at, size_t n)
    __attribute__((weak));

/* What a message says of itself, behind its bytes. */
typedef struct stamp {
    int image, t, tag;
    int nput;       /* its slot was the how manieth put of the evaluation */
    uint64_t order; /* of the puts up to that */
} stamp;

/* A mail as the transport has it: stamped copies of the exchange's parcels. */
typedef struct shadow {
    weft_mail mail;
    int slot; /* whose put it belongs to; -1: to none */
    stamp stamp;
    bool *here; /* [n] */
    char *memory;
} shadow;

/* A copy that is shown. */
typedef struct copy {
    char *at;
    size_t bytes;
} copy;

struct weft_watched {
    int nput;
    uint64_t order;
    char *memory;
    copy *part, *then; /* ALL: [n], n of `then` if it may be shown */
    copy side[2];      /* BORDER: from the first spare row on */
    size_t before[2];  /* bytes above row 0 */
    const char **part_at, **then_at;
};

/* ---- words --------------------------------------------------------------- */

static _Noreturn void refuse(const weft_exchange *x, const char *layer,
                             int slot, const char *fmt, ...) WEFT_PRINTF(4, 5);

static void refuse(const weft_exchange *x, const char *layer, int slot,
                   const char *fmt, ...)
{
    char why[256], all[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    snprintf(all, sizeof all,
             "patch %d, lane %s, evaluation %d, %s (slot %d): %s", x->cut.me,
             x->name ? x->name : "-", x->t, layer, slot, why);
    WEFT_BUG(all);
}

static void must(const weft_exchange *x, const weft_slot *s, bool ok,
                 const char *else_what)
{
    if (!ok) refuse(x, s->spec.layer, s->id, "%s", else_what);
}

/* ---- transport: in the plan ---------------------------------------------- */

/* With room for the stamp, in whole units. */
static size_t stamped(const weft_parcel *p)
{
    return p->bytes + (sizeof(stamp) + p->unit - 1) / p->unit * p->unit;
}

/* Mails are prepared while their slot is settled: its own, and those of the
 * bundle that it is the first of, which belong to the last. */
static int slot_of(const weft_exchange *x, const weft_mail *m)
{
    const weft_slot *s = &x->slot[x->settled];

    if (m->class == WEFT_CONTROL) return -1;
    return m->tag == s->id ? s->id : s->last;
}

static weft_status prepare(weft_exchange *x, weft_mail *m)
{
    shadow *s = calloc(1, sizeof *s);
    size_t bytes = 1;

    m->via = s;
    if (!s) return weft_fail(WEFT_ENOMEM, "out of memory for checks");
    s->mail = *m;
    s->mail.of = m;
    s->slot = slot_of(x, m);
    for (int i = 0; i < m->n; i++) bytes += stamped(&m->parcel[i]);
    s->memory = calloc(1, bytes);
    s->here = calloc((size_t)m->n + 1, sizeof *s->here);
    s->mail.parcel = calloc((size_t)m->n + 1, sizeof *s->mail.parcel);
    if (!s->memory || !s->here || !s->mail.parcel)
        return weft_fail(WEFT_ENOMEM, "out of memory for checks");
    bytes = 0;
    for (int i = 0; i < m->n; i++) {
        weft_parcel *p = &s->mail.parcel[i];

        *p = m->parcel[i];
        p->at = s->memory + bytes;
        p->bytes = stamped(&m->parcel[i]);
        bytes += p->bytes;
    }
    return x->checks->inner->prepare(x, &s->mail);
}

static void forget(weft_exchange *x, weft_mail *m)
{
    shadow *s = m->via;

    if (!s) return;
    if (s->mail.parcel) x->checks->inner->forget(x, &s->mail);
    free(s->mail.parcel);
    free(s->memory);
    free(s->here);
    free(s);
    m->via = NULL;
}

static void release(weft_exchange *x)
{
    if (x->checks->inner->release) x->checks->inner->release(x);
}

/* ---- transport: in a step ------------------------------------------------ */

static stamp make_stamp(const weft_exchange *x, const shadow *s)
{
    const struct weft_watched *w =
        s->slot < 0 ? NULL : x->slot[s->slot].watched;

    return (stamp){.image = x->checks->image,
                   .t = x->t,
                   .tag = s->mail.tag,
                   .nput = w ? w->nput : 0,
                   .order = w ? w->order : 0};
}

static weft_status start(weft_exchange *x, weft_mail *m)
{
    shadow *s = m->via;

    s->stamp = make_stamp(x, s);
    for (int i = 0; i < m->n; i++) {
        const weft_parcel *p = &m->parcel[i];
        char *at = s->mail.parcel[i].at;

        s->here[i] = false;
        if (m->out) {
            memcpy(at, p->at, p->bytes);
            memcpy(at + p->bytes, &s->stamp, sizeof s->stamp);
        } else {
            memset(p->at, NOT_A_NUMBER, p->bytes);
        }
    }
    return x->checks->inner->start(x, &s->mail);
}

static void compare(const weft_exchange *x, const weft_mail *m, int peer,
                    const stamp *got, const stamp *want)
{
    if (got->tag != want->tag)
        refuse(x, m->layer, want->tag,
               "from patch %d came a message of slot %d", peer, got->tag);
    if (got->image != want->image || got->t != want->t)
        refuse(x, m->layer, want->tag,
               "from patch %d came what it put in evaluation %d of image %d; "
               "evaluation %d of image %d is wanted",
               peer, got->t, got->image, want->t, want->image);
    if (got->order != want->order)
        refuse(x, m->layer, want->tag,
               "patch %d and this one differ in what was put before it: it was "
               "put as number %d there, as number %d here",
               peer, got->nput, want->nput);
}

/* Parcel i has come, or has left. */
static void receive(const weft_exchange *x, const weft_mail *m, int i)
{
    shadow *s = m->via;
    const weft_parcel *p = &m->parcel[i];
    const char *at = s->mail.parcel[i].at;
    stamp got;

    if (s->here[i]) return;
    if (m->out) {
        if (memcmp(at, p->at, p->bytes) != 0)
            refuse(x, m->layer, m->tag,
                   "what goes to patch %d was written over before it had left",
                   p->peer);
        return;
    }
    s->here[i] = true;
    memcpy(&got, at + p->bytes, sizeof got);
    compare(x, m, p->peer, &got, &s->stamp);
    memcpy(p->at, at, p->bytes);
}

static weft_status wait(weft_exchange *x, weft_mail *m, int i)
{
    shadow *s = m->via;

    WEFT_TRY(x->checks->inner->wait(x, &s->mail, i));
    receive(x, m, i);
    return WEFT_OK;
}

static bool arrived(weft_exchange *x, weft_mail *m, int i)
{
    shadow *s = m->via;

    if (!x->checks->inner->arrived(x, &s->mail, i)) return false;
    if (!m->out) receive(x, m, i);
    return true;
}

static void poll(weft_exchange *x)
{
    if (x->checks->inner->poll) x->checks->inner->poll(x);
}

static const weft_transport transport = {.name = "checked",
                                         .prepare = prepare,
                                         .start = start,
                                         .wait = wait,
                                         .arrived = arrived,
                                         .poll = poll,
                                         .forget = forget,
                                         .release = release};

weft_status weft_exchange_check(weft_exchange *x)
{
    WEFT_MUST(x->nslots == 0);
    if (x->checks) return WEFT_OK;
    x->checks = calloc(1, sizeof *x->checks);
    if (!x->checks) return weft_fail(WEFT_ENOMEM, "out of memory for checks");
    x->checks->inner = x->via;
    x->via = &transport;
    return WEFT_OK;
}

/* ---- views --------------------------------------------------------------- */

/* With guards around it. Without memory it is counted. */
static copy place(char *base, size_t *at, size_t bytes)
{
    const copy c = {base ? base + *at + GUARD : NULL, bytes};

    *at += GUARD + (bytes + ALIGN - 1) / ALIGN * ALIGN;
    return c;
}

static size_t place_all(const weft_exchange *x, const weft_slot *s, char *base)
{
    struct weft_watched *w = s->watched;
    size_t at = 0;

    for (int p = 0; p < x->cut.n && w->part; p++) {
        w->part[p] = place(base, &at, weft_slot_bytes(x, s, p));
        if (w->then) w->then[p] = place(base, &at, w->part[p].bytes);
    }
    for (int right = 0; right < 2 && !w->part; right++)
        w->side[right] =
            place(base, &at, weft_border_side(x, s, right, &w->before[right]));
    return at + GUARD;
}

static bool allocate(const weft_exchange *x, weft_slot *s)
{
    const size_t n = (size_t)x->cut.n;
    struct weft_watched *w = s->watched = calloc(1, sizeof *w);

    if (!w) return false;
    if (s->spec.reach == WEFT_REACH_ALL) {
        w->part = calloc(n, sizeof *w->part);
        w->part_at = calloc(n, sizeof *w->part_at);
        w->then_at = calloc(n, sizeof *w->then_at);
        if (s->spec.old == WEFT_OLD_PAIRED)
            w->then = calloc(n, sizeof *w->then);
        if (!w->part || !w->part_at || !w->then_at ||
            (s->spec.old == WEFT_OLD_PAIRED && !w->then))
            return false;
    }
    w->memory = malloc(place_all(x, s, NULL));
    return w->memory != NULL;
}

weft_status weft_checked_settle(weft_exchange *x, weft_slot *s)
{
    size_t bytes;

    if (!x->checks) return WEFT_OK;
    if (!allocate(x, s))
        return weft_fail(WEFT_ENOMEM, "out of memory for checks");
    bytes = place_all(x, s, s->watched->memory);
    memset(s->watched->memory, NOT_A_NUMBER, bytes);
    if (__asan_poison_memory_region)
        __asan_poison_memory_region(s->watched->memory, bytes);
    return WEFT_OK;
}

void weft_checked_free(weft_slot *s)
{
    struct weft_watched *w = s->watched;

    if (!w) return;
    free(w->memory);
    free(w->part);
    free(w->then);
    free(w->part_at);
    free(w->then_at);
    free(w);
}

static void show_copy(const copy *c, const char *from)
{
    if (__asan_unpoison_memory_region)
        __asan_unpoison_memory_region(c->at, c->bytes);
    if (from)
        memcpy(c->at, from, c->bytes);
    else
        memset(c->at, NOT_A_NUMBER, c->bytes);
}

/* A copy that nobody may look at. */
static void hide_copy(const copy *c)
{
    show_copy(c, NULL);
    if (__asan_poison_memory_region)
        __asan_poison_memory_region(c->at, c->bytes);
}

static void hide(const weft_exchange *x, const weft_slot *s)
{
    const struct weft_watched *w = s->watched;

    for (int p = 0; p < x->cut.n && w->part; p++) {
        hide_copy(&w->part[p]);
        if (w->then) hide_copy(&w->then[p]);
    }
    for (int right = 0; right < 2 && !w->part; right++)
        hide_copy(&w->side[right]);
}

static void show_part(const weft_slot *s, int p, bool here, const weft_view *v)
{
    const struct weft_watched *w = s->watched;

    w->part_at[p] = w->part[p].at;
    if (w->then) w->then_at[p] = w->then[p].at;
    if (!v->rect[p].rows) return;
    show_copy(&w->part[p], here ? v->part[p] : NULL);
    if (v->then) show_copy(&w->then[p], here ? v->then[p] : NULL);
}

void weft_checked_show(const weft_exchange *x, const weft_slot *s, bool all,
                       weft_view *v)
{
    const struct weft_watched *w = s->watched;

    if (!x->checks) return;
    for (int p = 0; p < v->n; p++) show_part(s, p, all || p == v->me, v);
    for (int right = 0; right < 2 && !w->part; right++) {
        if (!v->side[right]) continue;
        show_copy(&w->side[right], v->side[right] - w->before[right]);
        v->side[right] = w->side[right].at + w->before[right];
    }
    v->part = w->part_at;
    if (v->then) v->then = w->then_at;
}

void weft_checked_here(const weft_exchange *x, const weft_slot *s, int p)
{
    const struct weft_watched *w = s->watched;

    if (!x->checks || !s->part[p]) return;
    show_copy(&w->part[p], s->part[p]);
    if (w->then) show_copy(&w->then[p], s->then[p]);
}

/* Is what lies beside my rows wanted for another slot too? */
static bool is_shared(const weft_exchange *x, const weft_slot *s)
{
    for (int i = 0; i < x->nslots; i++) {
        const weft_slot *o = &x->slot[i];

        if (o != s && o->base == s->base && o->put_at == x->t &&
            o->done_at < x->t)
            return true;
    }
    return false;
}

/* What comes from the neighbours is not here, or has been looked at. */
static void spoil_border(const weft_exchange *x, const weft_slot *s)
{
    if (s->spec.reach != WEFT_REACH_BORDER || is_shared(x, s)) return;
    for (int l = 0; l < s->nlinks; l++)
        if (s->link[l].in)
            memset(weft_border_shown(s, &s->link[l]), NOT_A_NUMBER,
                   s->link[l].in);
}

/* ---- calls --------------------------------------------------------------- */

void weft_checked_restart(weft_exchange *x)
{
    if (!x->checks) return;
    x->checks->image++;
    x->checks->nput = 0;
    x->checks->order = 0;
}

void weft_checked_next(weft_exchange *x)
{
    for (int i = 0; i < x->nslots && x->checks && x->t >= 0; i++) {
        const weft_slot *s = &x->slot[i];

        must(x, s, s->put_at == x->t, "the evaluation ends without a put()");
        must(x, s, s->got_at == x->t, "the evaluation ends without a get()");
        hide(x, s);
    }
    if (!x->checks) return;
    x->checks->nput = 0;
    x->checks->order = 0;
}

void weft_checked_open(weft_exchange *x, const weft_slot *s)
{
    if (!x->checks) return;
    must(x, s, s->put_at < x->t, "open() after put()");
    must(x, s, s->opened_at < x->t, "open() twice");
}

void weft_checked_put(weft_exchange *x, weft_slot *s)
{
    struct weft_checks *c = x->checks;

    if (!c) return;
    must(x, s, s->put_at < x->t, "put() twice in an evaluation");
    must(x, s, s->spec.reach == WEFT_REACH_BORDER || s->opened_at == x->t,
         "put() without open()");
    c->order = (c->order ^ (uint64_t)(s->id + 1)) * 0x100000001b3u;
    s->watched->nput = ++c->nput;
    s->watched->order = c->order;
    spoil_border(x, s);
}

void weft_checked_look(const weft_exchange *x, const weft_slot *s,
                       const char *call)
{
    char words[64];

    if (!x->checks || (s->put_at == x->t && s->got_at < x->t)) return;
    snprintf(words, sizeof words, "%s %s", call,
             s->put_at == x->t ? "after get()" : "without a put()");
    must(x, s, false, words);
}

void weft_checked_done(const weft_exchange *x, const weft_slot *s)
{
    if (!x->checks || s->done_at == x->t) return;
    must(x, s, s->got_at == x->t, "done() without a get()");
    hide(x, s);
    spoil_border(x, s);
}
