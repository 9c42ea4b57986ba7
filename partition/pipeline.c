#include "partition/pipeline.h"

#include <stdlib.h>
#include <string.h>

enum { FORECAST_BATCHES = 48 };

/* ---- making -------------------------------------------------------------- */

weft_status weft_pipeline_make(const weft_pipeline_spec *s, weft_pipeline *p)
{
    WEFT_MUST(s->nstages > 0 && s->batches > 0);
    memset(p, 0, sizeof *p);
    if (s->flights < 1 || s->flights > WEFT_FLIGHTS)
        return weft_fail(WEFT_EINPUT,
                         "%d batches in flight: 1 to %d are possible",
                         s->flights, WEFT_FLIGHTS);
    p->spec = *s;
    p->free_at = calloc((size_t)s->roles->ranks, sizeof *p->free_at);
    if (!p->free_at)
        return weft_fail(WEFT_ENOMEM, "out of memory for a pipeline");
    return WEFT_OK;
}

void weft_pipeline_release(weft_pipeline *p)
{
    free(p->free_at);
    memset(p, 0, sizeof *p);
}

void weft_pipeline_restart(weft_pipeline *p)
{
    memset(p->flight, 0, sizeof p->flight);
    memset(p->free_at, 0, (size_t)p->spec.roles->ranks * sizeof *p->free_at);
    p->entered = p->left = 0;
}

/* ---- turns --------------------------------------------------------------- */

static double later(double a, double b) { return a > b ? a : b; }

/* When the ranks of a role are all free. */
static double role_free(const weft_pipeline *p, int role)
{
    const weft_role *r = &p->spec.roles->role[role];
    double at = 0;

    for (int i = r->rank0; i < r->rank0 + r->asked.ranks; i++)
        at = later(at, p->free_at[i]);
    return at;
}

/* When batch b's next stage could begin on some rank. */
static double begins(const weft_pipeline *p, int b)
{
    const int slot = b % p->spec.flights;
    const weft_stage *s = &p->spec.stage[p->flight[slot].next];
    const double ready = p->flight[slot].ready;
    double first = -1;

    for (int i = 0; i < s->n; i++) {
        const double at =
            later(ready, role_free(p, p->spec.lane[s->lane[i]].role));

        if (first < 0 || at < first) first = at;
    }
    return first < 0 ? ready : first;
}

/* A batch may not begin a stage before the one ahead of it has. */
static bool may_go(const weft_pipeline *p, int b)
{
    const int f = p->spec.flights;

    return b == p->left || p->flight[b % f].next < p->flight[(b - 1) % f].next;
}

/* The batch whose next stage can begin first; of equal ones the oldest. */
static int choose(const weft_pipeline *p)
{
    int best = p->left;
    double first = begins(p, best);

    for (int b = p->left + 1; b < p->entered; b++) {
        const double at = begins(p, b);

        if (at < first && may_go(p, b)) best = b, first = at;
    }
    return best;
}

static double evaluate(weft_pipeline *p, const weft_lane_cost *lane,
                       double ready)
{
    const weft_role *r = &p->spec.roles->role[lane->role];
    const double end = later(ready, role_free(p, lane->role)) + lane->seconds;

    for (int i = r->rank0; i < r->rank0 + r->asked.ranks; i++)
        p->free_at[i] = end;
    return end;
}

/* A slot is free again when the batch before has left it: its `ready`. */
static void enter(weft_pipeline *p)
{
    while (p->entered < p->spec.batches &&
           p->entered - p->left < p->spec.flights) {
        const int b = p->entered++;

        p->flight[b % p->spec.flights].next =
            b < p->spec.nbegun ? p->spec.begin[b] : 0;
    }
}

/* Whoever keeps state takes the last answers before it goes on, even where the
 * next stage asks nothing of it. */
static void take_answers(weft_pipeline *p, double ready)
{
    const weft_roles *r = p->spec.roles;

    for (int i = 0; i < r->ranks; i++)
        if (weft_span_units(r->state[i]))
            p->free_at[i] = later(p->free_at[i], ready);
}

bool weft_pipeline_done(const weft_pipeline *p)
{
    return p->left == p->spec.batches;
}

bool weft_pipeline_next(weft_pipeline *p, weft_turn *t)
{
    const weft_stage *s;
    double ready, end;

    enter(p);
    if (weft_pipeline_done(p)) return false;
    t->batch = choose(p);
    t->slot = t->batch % p->spec.flights;
    t->start = begins(p, t->batch);
    t->stage = p->flight[t->slot].next++;
    s = &p->spec.stage[t->stage];
    ready = end = p->flight[t->slot].ready;
    take_answers(p, ready);
    for (int i = 0; i < s->n; i++)
        end = later(end, evaluate(p, &p->spec.lane[s->lane[i]], ready));
    t->end = end;
    p->flight[t->slot].ready = end + p->spec.hop;
    if (t->stage + 1 == p->spec.nstages) p->left++;
    return true;
}

/* ---- the whole ----------------------------------------------------------- */

/* Of one batch, all ranks of a role together. */
static double work_of(const weft_pipeline_spec *s, int role)
{
    double sum = 0;

    for (int i = 0; i < s->nstages; i++)
        for (int k = 0; k < s->stage[i].n; k++)
            if (s->lane[s->stage[i].lane[k]].role == role)
                sum += s->lane[s->stage[i].lane[k]].seconds;
    return sum;
}

weft_forecast weft_pipeline_forecast(weft_pipeline *p)
{
    const weft_pipeline_spec *s = &p->spec;
    double half = 0, end = 0; /* when the batch in the middle left; the last */
    weft_forecast f = {0};
    weft_turn t;

    weft_pipeline_restart(p);
    while (p->left < FORECAST_BATCHES && weft_pipeline_next(p, &t)) {
        if (!s->stage[t.stage].leaves) continue;
        end = t.end;
        if (p->left == FORECAST_BATCHES / 2) half = end;
    }
    f.seconds = end;
    /* From then on it goes round: so much for each batch. */
    if (p->left < s->batches)
        f.seconds += (end - half) / (p->left - FORECAST_BATCHES / 2) *
                     (s->batches - p->left);
    for (int k = 0; k < s->roles->n && f.seconds > 0; k++)
        f.busy[k] = s->batches * work_of(s, k) / f.seconds;
    weft_pipeline_restart(p);
    return f;
}

bool weft_pipeline_is_valid(weft_pipeline *p, long turns)
{
    const int f = p->spec.flights, n = p->spec.nstages;
    int done[WEFT_FLIGHTS] = {0}; /* stages, of the batch in each slot */
    int left = 0;
    bool valid = true;
    weft_turn t;

    weft_pipeline_restart(p);
    for (long i = 0; i < turns && valid && weft_pipeline_next(p, &t); i++) {
        const int b = t.batch;

        valid = b >= left && b < left + f && b < p->spec.batches &&
                t.slot == b % f && t.stage == done[t.slot];
        /* It began after the one ahead did. */
        valid = valid && (b == left || done[(b - 1) % f] > t.stage);
        if (!valid || ++done[t.slot] < n) continue;
        valid = b == left++;
        done[t.slot] = 0;
    }
    weft_pipeline_restart(p);
    return valid;
}
