#include "tests/wrong.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Stands before another transport. What leaves goes by way of a copy. */
typedef struct wrapper {
    weft_transport base;
    const weft_transport *inner;
    weft_wrong how;
    unsigned seed;
} wrapper;

typedef struct shadow {
    weft_mail mail; /* the inner transport's */
    char **given;   /* [n]: what was given the time before */
} shadow;

static wrapper *of(const weft_exchange *x) { return (wrapper *)(void *)x->via; }

static void dawdle(wrapper *w)
{
    if (w->how != WEFT_SLOW) return;
    w->seed = w->seed * 1103515245u + 12345u;
    if (w->seed >> 30 == 0) usleep(w->seed >> 16 & 0x3ff);
}

bool weft_wrong_needs_lag(weft_wrong how) { return how == WEFT_WRONG_MINE; }

/* ---- plan ---------------------------------------------------------------- */

static weft_status prepare(weft_exchange *x, weft_mail *m)
{
    const wrapper *w = of(x);
    shadow *s = calloc(1, sizeof *s);

    if (!s) return weft_fail(WEFT_ENOMEM, "out of memory for a test");
    s->mail = *m;
    m->via = s;
    s->given = calloc((size_t)m->n + 1, sizeof *s->given);
    s->mail.parcel = calloc((size_t)m->n + 1, sizeof *m->parcel);
    if (!s->given || !s->mail.parcel)
        return weft_fail(WEFT_ENOMEM, "out of memory for a test");
    for (int i = 0; i < m->n; i++) {
        s->mail.parcel[i] = m->parcel[i];
        if (m->out && w->how != WEFT_SLOW)
            s->mail.parcel[i].at = calloc(1, m->parcel[i].bytes);
        s->given[i] = calloc(1, m->parcel[i].bytes);
    }
    return w->inner->prepare(x, &s->mail);
}

static void forget(weft_exchange *x, weft_mail *m)
{
    const wrapper *w = of(x);
    shadow *s = m->via;

    if (!s) return;
    w->inner->forget(x, &s->mail);
    for (int i = 0; i < m->n; i++) {
        if (m->out && w->how != WEFT_SLOW) free(s->mail.parcel[i].at);
        free(s->given[i]);
    }
    free(s->mail.parcel);
    free(s->given);
    free(s);
}

static void release(weft_exchange *x)
{
    wrapper *w = of(x);

    if (w->inner->release) w->inner->release(x);
    free(w);
}

/* ---- run ----------------------------------------------------------------- */

/* Pixels one further on. The last of them may be one that a peer is sending
 * just now: reading it is the mistake that this transport is there to make, so
 * the thread sanitizer need not report it. */
__attribute__((no_sanitize("thread"))) static void
copy_shifted(char *out, const weft_parcel *p)
{
    const volatile char *from = p->at + p->unit;

    for (size_t i = 0; i < p->bytes; i++) out[i] = from[i];
}

static void send_parcel(const wrapper *w, const weft_mail *m, shadow *s, int i)
{
    const weft_parcel *p = &m->parcel[i];
    const bool border = m->class == WEFT_BORDER;
    char *out = s->mail.parcel[i].at;

    memcpy(out, p->at, p->bytes);
    if (m->class == WEFT_CONTROL) return;
    if (w->how == WEFT_WRONG_LATE) memcpy(out, s->given[i], p->bytes);
    if (w->how == WEFT_WRONG_SHIFTED && border) copy_shifted(out, p);
    if (w->how == WEFT_WRONG_MINE && !border && i == m->n - 1) {
        memcpy(out, p->at, p->bytes);
        memcpy(p->at, s->given[i], p->bytes);
        memcpy(s->given[i], out, p->bytes);
        return;
    }
    memcpy(s->given[i], p->at, p->bytes);
}

static weft_status start(weft_exchange *x, weft_mail *m)
{
    wrapper *w = of(x);
    shadow *s = m->via;

    dawdle(w);
    for (int i = 0; i < m->n && m->out && w->how != WEFT_SLOW; i++)
        send_parcel(w, m, s, i);
    return w->inner->start(x, &s->mail);
}

/* The message from the neighbour that lies there, or NULL. */
static const weft_parcel *from(const weft_exchange *x, const weft_mail *m,
                               int down, int right)
{
    const int peer = weft_cut_neighbour(&x->cut, x->cut.me, down, right);

    for (int i = 0; i < m->n && peer >= 0; i++)
        if (m->parcel[i].peer == peer) return &m->parcel[i];
    return NULL;
}

static void swap(const weft_parcel *a, const weft_parcel *b)
{
    for (size_t i = 0; a && b && i < a->bytes && i < b->bytes; i++) {
        const char c = a->at[i];

        a->at[i] = b->at[i];
        b->at[i] = c;
    }
}

/* All that comes of a border is here. */
static void mix_up(const wrapper *w, const weft_exchange *x, const weft_mail *m)
{
    if (w->how == WEFT_WRONG_SWAPPED) swap(from(x, m, -1, 0), from(x, m, 1, 0));
    if (w->how == WEFT_WRONG_COLUMNS) swap(from(x, m, 0, -1), from(x, m, 0, 1));
    for (int down = -1; down <= 1 && w->how == WEFT_WRONG_CORNERS; down += 2)
        swap(from(x, m, down, -1), from(x, m, down, 1));
}

static weft_status wait(weft_exchange *x, weft_mail *m, int i)
{
    wrapper *w = of(x);
    shadow *s = m->via;

    dawdle(w);
    WEFT_TRY(w->inner->wait(x, &s->mail, i));
    if (m->class == WEFT_BORDER && !m->out && i == m->n - 1) mix_up(w, x, m);
    return WEFT_OK;
}

static bool arrived(weft_exchange *x, weft_mail *m, int i)
{
    wrapper *w = of(x);
    shadow *s = m->via;

    return w->inner->arrived(x, &s->mail, i);
}

static void poll(weft_exchange *x)
{
    const wrapper *w = of(x);

    if (w->inner->poll) w->inner->poll(x);
}

void weft_wrong_wrap(weft_exchange *x, weft_wrong how)
{
    static _Atomic unsigned wraps; /* so that no two are slow alike */
    wrapper *w = calloc(1, sizeof *w);

    WEFT_MUST(w && x->settled == 0);
    *w =
        (wrapper){.base = {.name = "wrong",
                           .prepare = prepare,
                           .start = start,
                           .wait = wait,
                           .arrived = arrived,
                           .poll = poll,
                           .forget = forget,
                           .release = release},
                  .inner = x->via,
                  .how = how,
                  .seed = 1u + 7919u * (unsigned)x->cut.me + 104729u * wraps++};
    x->via = &w->base;
}
