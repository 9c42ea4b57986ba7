/*
 * The exchange in a step: who may look at what, and how old it is.
 *
 * In step, at evaluation t:      displaced by lag L:
 *   open, put   send t             open, put   send t
 *   put         receive t          get         show t - L
 *   get         show t             done        receive t, where t - L was
 *
 * Place k of a slot's ring holds the evaluations t with t % depth == k, and
 * remembers which one it is, so that no other age can ever be shown.
 */
#include "core/exchange.h"

#include <string.h>

#include "core/checked.h"
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

int weft_lag(const weft_schedule *s, int t)
{
    const int displaced = t - s->warmup;

    if (displaced < 0) return 0;
    if (s->refresh && displaced % s->refresh == s->refresh - 1) return 0;
    return s->lag;
}

/* Of the evaluation under way; the slot may be always in step. */
static int age_of(const weft_exchange *x, const weft_slot *s)
{
    return s->spec.old == WEFT_OLD_REFUSED ? 0 : x->lag;
}

static bool is_absent(const weft_exchange *x, const weft_slot *s)
{
    return x->lag > 0 && s->spec.old == WEFT_OLD_ABSENT;
}

/* ---- messages ------------------------------------------------------------ */

/* This rank was at work until now. */
static void count_work(weft_exchange *x)
{
    const double now = weft_clock(), passed = now - x->counted;
    bool any = false;

    for (int c = 0; c < WEFT_CLASSES; c++)
        if (x->leaving[c]) {
            x->traffic.hidden_by[c] += passed;
            any = true;
        }
    if (any) x->traffic.hidden_s += passed;
    x->counted = now;
}

/* It was blocked. */
static void count_wait(weft_exchange *x, weft_class class)
{
    const double now = weft_clock(), waited = now - x->counted;

    x->traffic.exposed_s += waited;
    x->traffic.exposed_by[class] += waited;
    if (x->sched.lag && x->t + x->behind >= x->sched.warmup)
        x->traffic.exposed_async_s += waited;
    x->counted = now;
}

void weft_exchange_left(weft_exchange *x, weft_mail *m)
{
    while (m->of) m = m->of;
    if (!m->leaving) return;
    count_work(x);
    m->leaving = false;
    x->leaving[m->class]--;
}

static bool is_here(weft_exchange *x, weft_mail *m)
{
    bool here = true;

    for (int i = 0; i < m->n && here; i++) here = x->via->arrived(x, m, i);
    return here;
}

weft_status weft_mail_start(weft_exchange *x, weft_mail *m)
{
    WEFT_MUST(!m->under_way);
    if (!m->n) return WEFT_OK;
    WEFT_TRY(x->via->start(x, m));
    m->under_way = true;
    if (!m->out) return WEFT_OK;
    x->traffic.messages[m->class] += (uint64_t)m->n;
    for (int i = 0; i < m->n; i++)
        x->traffic.bytes[m->class] += m->parcel[i].bytes;
    count_work(x);
    weft_trace_add(x->trace, WEFT_TRACE_POST, x->t, m->layer,
                   weft_class_name[m->class], x->counted);
    m->leaving = true;
    x->leaving[m->class]++;
    if (is_here(x, m)) weft_exchange_left(x, m);
    return WEFT_OK;
}

/* Parcels from .. to of a mail that is under way. */
static weft_status wait(weft_exchange *x, weft_mail *m, int from, int to)
{
    double start;

    count_work(x);
    start = x->counted;
    for (int i = from; i < to; i++) WEFT_TRY(x->via->wait(x, m, i));
    count_wait(x, m->class);
    weft_trace_add(x->trace, WEFT_TRACE_WAIT, x->t, m->layer,
                   weft_class_name[m->class], start);
    return WEFT_OK;
}

weft_status weft_mail_finish(weft_exchange *x, weft_mail *m)
{
    if (!m || !m->under_way) return WEFT_OK;
    WEFT_TRY(wait(x, m, 0, m->n));
    weft_exchange_left(x, m);
    m->under_way = false;
    return WEFT_OK;
}

/* What was sent until evaluation t is here, as floats. */
static weft_status bring(weft_exchange *x, weft_slot *s, int t)
{
    if (!weft_is_coded(x, s))
        return weft_mail_finish(x, s->in_last[t % s->depth]);
    for (; s->decoded < t; s->decoded++) {
        const int u = s->decoded + 1, k = u % s->depth;

        if (s->in_t[k] != u && s->spec.old == WEFT_OLD_ABSENT) continue;
        WEFT_MUST(s->in_t[k] == u);
        WEFT_TRY(weft_mail_finish(x, s->in_last[k]));
        weft_coded_receive(x, s, u);
    }
    return WEFT_OK;
}

/* Is this an image's first message of a slot whose others need it? */
static bool is_first(const weft_exchange *x, const weft_slot *s)
{
    return x->t == 0 && weft_is_residual(x, s);
}

/* Of evaluation t, into its place. What came there before is here by now, or
 * will not be looked at. */
static weft_status receive(weft_exchange *x, weft_slot *s)
{
    const int k = x->t % s->depth;
    weft_mail *m = is_first(x, s) ? &s->first_in : &s->in[k];

    if (s->in_t[k] >= 0) WEFT_TRY(bring(x, s, s->in_t[k]));
    WEFT_TRY(weft_mail_start(x, m));
    s->in_last[k] = m;
    s->in_t[k] = x->t;
    return WEFT_OK;
}

static weft_status send(weft_exchange *x, weft_slot *s)
{
    const int k = x->t % s->mine_depth;
    weft_mail *m = is_first(x, s) ? &s->first_out : &s->out[k];

    if (is_first(x, s))
        weft_coded_send_first(s);
    else if (weft_is_coded(x, s))
        weft_coded_send(x, s, k);
    WEFT_TRY(weft_mail_start(x, m));
    s->out_last[k] = m;
    return WEFT_OK;
}

/* What I sent from here has left. */
static weft_status vacate(weft_exchange *x, weft_slot *s)
{
    return weft_mail_finish(x, s->out_last[x->t % s->mine_depth]);
}

/* ---- evaluations --------------------------------------------------------- */

static weft_status drain(weft_exchange *x, weft_slot *s)
{
    for (int k = 0; k < s->depth; k++) {
        WEFT_TRY(weft_mail_finish(x, s->in_last[k]));
        s->in_t[k] = -1;
    }
    for (int k = 0; k < s->mine_depth; k++)
        WEFT_TRY(weft_mail_finish(x, s->out_last[k]));
    s->opened_at = s->put_at = s->got_at = s->done_at = s->decoded = -1;
    return WEFT_OK;
}

weft_status weft_exchange_restart(weft_exchange *x)
{
    for (int i = 0; i < x->settled; i++) WEFT_TRY(drain(x, &x->slot[i]));
    WEFT_TRY(weft_drift_restart(x));
    weft_checked_restart(x);
    x->t = -1;
    x->behind = 0;
    return WEFT_OK;
}

weft_status weft_exchange_resume(weft_exchange *x, int done)
{
    const int most = x->sched.warmup - x->sched.lag;

    WEFT_TRY(weft_exchange_restart(x));
    x->behind = done < most ? done : most;
    return WEFT_OK;
}

static weft_status set_lag(weft_exchange *x)
{
    bool drifted;

    x->lag = weft_lag(&x->sched, x->t + x->behind);
    WEFT_TRY(weft_drift_decide(x, &drifted));
    if (!drifted || !x->lag) return WEFT_OK;
    x->lag = 0;
    x->traffic.drifted++;
    return WEFT_OK;
}

/* ---- put ----------------------------------------------------------------- */

/* What goes to the neighbours, to where it is sent from: all of it where the
 * activation will be gone, else only columns. */
static void pack_border(const weft_exchange *x, const weft_slot *s)
{
    char *const *at = s->out_at + x->t % s->mine_depth * s->nlinks;

    for (int l = 0; l < s->nlinks; l++)
        if (s->kept || s->link[l].right)
            weft_border_pack(s, &s->link[l], at[l]);
}

/* What came in evaluation t to where it is looked at. */
static void show_border(const weft_slot *s, int t)
{
    char *const *at = s->in_at + t % s->depth * s->nlinks;

    for (int l = 0; l < s->nlinks; l++)
        if (s->link[l].in)
            memcpy(weft_border_shown(s, &s->link[l]), at[l], s->link[l].in);
}

weft_status weft_exchange_open(weft_exchange *x, int slot, void **mine)
{
    weft_slot *s = &x->slot[slot];

    WEFT_MUST(slot < x->settled && s->spec.reach == WEFT_REACH_ALL);
    weft_checked_open(x, s);
    WEFT_MUST(x->t >= 0 && s->put_at < x->t);
    WEFT_TRY(vacate(x, s));
    s->opened_at = x->t;
    *mine = s->mine_at[x->t % s->mine_depth];
    return WEFT_OK;
}

weft_status weft_exchange_put(weft_exchange *x, int slot)
{
    weft_slot *s = &x->slot[slot];

    weft_checked_put(x, s);
    WEFT_MUST(slot < x->settled && x->t >= 0 && s->put_at < x->t);
    if (s->spec.reach == WEFT_REACH_BORDER) {
        WEFT_TRY(vacate(x, s));
        weft_border_clear(x, s);
        pack_border(x, s);
    } else {
        WEFT_MUST(s->opened_at == x->t);
    }
    s->put_at = x->t;
    if (is_absent(x, s)) return WEFT_OK;
    if (age_of(x, s) > 0 && s->first != s->last) return weft_bundle_send(x, s);
    if (age_of(x, s) == 0) WEFT_TRY(receive(x, s));
    return send(x, s);
}

/* ---- get ----------------------------------------------------------------- */

/* What this evaluation shows, on its way or here. */
static weft_mail *shown(const weft_exchange *x, const weft_slot *s)
{
    const int t = x->t - age_of(x, s), k = t % s->depth;

    if (is_absent(x, s)) return NULL;
    WEFT_MUST(t >= 0 && s->in_t[k] == t);
    return s->in_last[k];
}

static void point_at(const weft_exchange *x, weft_slot *s, weft_view *v)
{
    const int age = age_of(x, s), then = x->t - age;

    for (int l = 0; l < s->nlinks; l++) {
        const int p = s->link[l].peer;

        s->part[p] = s->then[p] = s->in_at[then % s->depth * s->nlinks + l];
    }
    s->part[x->cut.me] = s->mine_at[x->t % s->mine_depth];
    s->then[x->cut.me] = s->mine_at[then % s->mine_depth];
    v->n = x->cut.n;
    v->me = x->cut.me;
    v->part = s->part;
    v->rect = is_absent(x, s) ? s->rect_alone : s->rect;
    v->across = weft_cut_across(&x->cut);
    if (age && s->spec.old == WEFT_OLD_PAIRED) v->then = s->then;
}

static void show(weft_exchange *x, weft_slot *s, weft_view *v)
{
    *v = (weft_view){.age = is_absent(x, s) ? 0 : age_of(x, s)};
    if (s->spec.reach == WEFT_REACH_ALL) {
        point_at(x, s, v);
    } else {
        if (s->kept) show_border(s, x->t - v->age);
        v->side[0] = s->side[0];
        v->side[1] = s->side[1];
    }
    if (v->age > x->traffic.max_age) x->traffic.max_age = v->age;
}

weft_status weft_exchange_get(weft_exchange *x, int slot, weft_view *seen)
{
    weft_slot *s = &x->slot[slot];
    weft_mail *m;

    weft_checked_look(x, s, "get()");
    WEFT_MUST(slot < x->settled && s->put_at == x->t && s->got_at < x->t);
    m = shown(x, s);
    if (m) WEFT_TRY(bring(x, s, x->t - age_of(x, s)));
    s->got_at = x->t;
    show(x, s, seen);
    weft_checked_show(x, s, true, seen);
    return WEFT_OK;
}

weft_status weft_exchange_look(weft_exchange *x, int slot, weft_view *seen)
{
    weft_slot *s = &x->slot[slot];

    weft_checked_look(x, s, "look()");
    WEFT_MUST(slot < x->settled && s->put_at == x->t && s->got_at < x->t);
    WEFT_MUST(s->spec.reach == WEFT_REACH_ALL);
    show(x, s, seen);
    weft_checked_show(x, s, false, seen);
    return WEFT_OK;
}

/* Coded parts come all at once. */
static weft_status await_coded(weft_exchange *x, weft_slot *s, bool to_wait,
                               bool *here)
{
    weft_mail *m = shown(x, s);

    *here = to_wait || !m->under_way || is_here(x, m);
    return *here ? bring(x, s, x->t - age_of(x, s)) : WEFT_OK;
}

/* Is part p of what is on its way here? */
static weft_status await_part(weft_exchange *x, weft_mail *m, int p,
                              bool to_wait, bool *here)
{
    int i = 0;

    while (m->parcel[i].peer != p) i++;
    if (to_wait) return wait(x, m, i, i + 1);
    *here = x->via->arrived(x, m, i);
    return WEFT_OK;
}

weft_status weft_exchange_await(weft_exchange *x, int slot, int p, bool to_wait,
                                bool *here)
{
    weft_slot *s = &x->slot[slot];
    weft_mail *m;

    weft_checked_look(x, s, "await()");
    m = shown(x, s);
    *here = true;
    if (!m || p == x->cut.me) return WEFT_OK;
    if (weft_is_coded(x, s))
        WEFT_TRY(await_coded(x, s, to_wait, here));
    else if (m->under_way)
        WEFT_TRY(await_part(x, m, p, to_wait, here));
    if (*here) weft_checked_here(x, s, p);
    return WEFT_OK;
}

/* What was seen of a slot will not be looked at again. */
static weft_status finish(weft_exchange *x, weft_slot *s)
{
    if (s->got_at < 0 || s->done_at == s->got_at) return WEFT_OK;
    s->done_at = s->got_at;
    /* In place, rows that leave lie in memory that is about to change. */
    if (!s->kept) WEFT_TRY(vacate(x, s));
    if (is_absent(x, s) || age_of(x, s) == 0) return WEFT_OK;
    return s->first == s->last ? receive(x, s) : weft_bundle_receive(x, s);
}

weft_status weft_exchange_done(weft_exchange *x, int slot)
{
    weft_checked_done(x, &x->slot[slot]);
    return finish(x, &x->slot[slot]);
}

weft_status weft_exchange_next(weft_exchange *x)
{
    WEFT_MUST(x->settled == x->nslots);
    weft_checked_next(x);
    for (int i = 0; i < x->nslots; i++) WEFT_TRY(finish(x, &x->slot[i]));
    if (x->t >= 0) WEFT_TRY(weft_drift_publish(x));
    x->t++;
    return set_lag(x);
}

void weft_exchange_poll(weft_exchange *x)
{
    if (x->via->poll) x->via->poll(x);
}

bool weft_exchange_awaits(const weft_exchange *x, int slot, bool above)
{
    const weft_border *b = &x->slot[slot].spec.border;

    return (above ? b->above : b->below) > 0 &&
           weft_cut_neighbour(&x->cut, x->cut.me, above ? -1 : 1, 0) >= 0;
}

bool weft_exchange_awaits_columns(const weft_exchange *x, int slot, bool left)
{
    return x->slot[slot].side[left ? 0 : 1] != NULL;
}

bool weft_exchange_gives_columns(const weft_exchange *x, int slot)
{
    const weft_slot *s = &x->slot[slot];

    for (int l = 0; l < s->nlinks; l++)
        if (s->link[l].right && s->link[l].out) return true;
    return false;
}

bool weft_exchange_is_put(const weft_exchange *x, int slot)
{
    return x->slot[slot].put_at == x->t;
}

bool weft_exchange_ready(weft_exchange *x, int slot)
{
    weft_slot *s = &x->slot[slot];
    weft_mail *m = shown(x, s);

    return !m || !m->under_way || is_here(x, m);
}

/* ---- alone --------------------------------------------------------------- */

static weft_status nothing(weft_exchange *x, weft_mail *m)
{
    (void)x, (void)m;
    return WEFT_OK;
}

static weft_status no_wait(weft_exchange *x, weft_mail *m, int i)
{
    (void)x, (void)m, (void)i;
    return WEFT_OK;
}

static bool always(weft_exchange *x, weft_mail *m, int i)
{
    (void)x, (void)m, (void)i;
    return true;
}

static void nought(weft_exchange *x, weft_mail *m) { (void)x, (void)m; }

const weft_transport weft_solo = {.name = "solo",
                                  .prepare = nothing,
                                  .start = nothing,
                                  .wait = no_wait,
                                  .arrived = always,
                                  .forget = nought};
